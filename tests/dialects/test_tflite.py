"""TFLite files of every exporter's dialect: the file's runtime, golden model and RTL agree on random networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hwgen.golden.graph import run
from hwgen.golden.inputs import random_inputs, to_maps
from hwgen.model import load_model
from tests.dialects.driver import NIGHTLY, Dialect, sweep
from tests.dialects.keras_networks import write_keras
from tests.dialects.tflite_networks import Style, write

pytest.importorskip("tflite_micro", reason="TFLite Micro is not installed (hwgen[reference])")

DIALECTS = {
    dialect.name: dialect for dialect in (
        Dialect("int8", partial(write, Style()), ("small", "vector4")),
        Dialect("keras", write_keras, ("small", "vector4")),
        Dialect("int8-float-ends", partial(write, Style("float32")), ("small", "axi128")),
        Dialect("int8-uint8-ends", partial(write, Style("uint8")), ("small", "vector16")),
        Dialect("uint8", partial(write, Style("uint8", "uint8", "uint8")), ("u8",)),
        Dialect("uint8-float-ends", partial(write, Style("float32", "uint8", "uint8")), ("u8",)),
        Dialect("int4-weights", partial(write, Style(weights="int4")), ("small", "narrow")),
    )
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_golden(name: str, tmp_path: Path) -> None:
    sweep(DIALECTS[name], range(6), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", DIALECTS)
def test_rtl(name: str, tmp_path: Path) -> None:
    sweep(DIALECTS[name], range(1000, 1000 + NIGHTLY), tmp_path, rtl=True)


def test_every_operator_is_drawn_and_results_are_not_all_clamped(tmp_path: Path) -> None:
    """What no seed reaches, nobody would miss; scales that end at the clamp everywhere would hide everything."""
    kinds: set[str] = set()
    lively = 0
    for seed in range(60):
        graph = load_model(write(Style(), seed, tmp_path))
        kinds |= {op.source for op in graph.ops} | {step.source for step in graph.host_steps}
        q = to_maps(graph, random_inputs(graph, 2, seed))
        lively += len(np.unique(run(graph, q, workers=1).output)) > 3
    assert kinds >= {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "PAD",
                     "ADD", "CONCATENATION", "RELU", "RELU6", "QUANTIZE", "SOFTMAX"}
    assert lively >= 40
