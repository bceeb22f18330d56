"""ONNX files of every exporter's dialect: ONNX Runtime on the file, golden model and RTL agree on random networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (hwgen[reference])")

from onnxruntime.quantization import QuantFormat, QuantType  # type: ignore[import-untyped]

from tests.dialects.driver import NIGHTLY, Dialect, sweep
from tests.dialects.onnx_floats import Floats
from tests.dialects.onnx_writers import Nncf, Pt2e, Qcdq, Qonnx, by_hand
from tests.model.onnx_networks import quantise


def by_onnxruntime(seed: int, folder: Path, **options: Any) -> Path:
    """The file of a seed, quantised by quantize_static."""
    floats = Floats(seed, calm=True)
    return quantise(floats, floats.grow(), folder, unsigned=options.pop("unsigned", seed % 2 == 1),
                    per_channel=options.pop("per_channel", seed % 3 > 0), **options)[0]


DIALECTS = {
    dialect.name: dialect for dialect in (
        Dialect("ort-qdq", by_onnxruntime, ("small", "vector4")),
        Dialect("ort-qdq-uint8", partial(by_onnxruntime, unsigned=True, weights=QuantType.QUInt8), ("u8",)),
        Dialect("ort-qoperator", partial(by_onnxruntime, form=QuantFormat.QOperator), ("small", "axi128")),
        Dialect("ort-int4", partial(by_onnxruntime, weights=QuantType.QInt4), ("small", "vector16")),
        Dialect("qcdq", partial(by_hand, Qcdq), ("small", "skip_both"), "its bias is lost"),
        Dialect("qonnx", partial(by_hand, Qonnx), ("small", "vector4"), "its bias is lost"),
        Dialect("nncf", partial(by_hand, Nncf), ("small", "axi128")),
        Dialect("pt2e", partial(by_hand, Pt2e), ("small", "vector16")),
    )
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_golden(name: str, tmp_path: Path) -> None:
    sweep(DIALECTS[name], range(6), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", DIALECTS)
def test_rtl(name: str, tmp_path: Path) -> None:
    sweep(DIALECTS[name], range(1000, 1000 + NIGHTLY), tmp_path, rtl=True)
