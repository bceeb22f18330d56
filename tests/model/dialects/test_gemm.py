"""Factors of Gemm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.model import load_model
from tests.model.dialects.judge import exact
from tests.model.onnx_networks import Net, quantise


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("float_bias", [False, True])
def test_factors(tmp_path: Path, per_channel: bool, float_bias: bool) -> None:
    net = Net(np.random.default_rng(7), (1, 12))
    beta = -3.0 if float_bias else 3.0
    output = net.node("Gemm", "x", net.random(5, 12), net.random(5), transB=1, alpha=0.25, beta=beta)
    path, _ = quantise(net, output, tmp_path, per_channel=per_channel,
                       extra_options={"QuantizeBias": not float_bias})
    exact(path, maps=2)


def test_a_negative_factor_is_refused(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(7), (1, 12))
    output = net.node("Gemm", "x", net.random(5, 12), net.random(5), transB=1, alpha=-0.25)
    path, _ = quantise(net, output, tmp_path)
    with pytest.raises(HwgenError, match="alpha and beta must be 1"):
        load_model(path)
