"""The trained networks on generated Verilog: every byte of every layer, and the cycle model."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.benchmarks import LAYER_CYCLES, LAYER_TOLERANCE, MODEL_TOLERANCE
from hwgen.embedded import MODEL, digit_images
from hwgen.golden.inputs import quantize_input
from hwgen.model import load_model
from hwgen.presets import PRESETS, preset
from hwgen.verify import VerifyResult, verify
from tests.shared_data import INT8_NETWORKS, real_inputs, shared_file


def check_cycles(result: VerifyResult) -> None:
    """The cycle model is within its tolerance on every layer and in total."""
    assert abs(result.predicted - result.total) <= MODEL_TOLERANCE * result.total
    wrong = [
        (n.name, n.op, n.cycles, n.predicted)
        for n in result.layers
        if abs(n.cycles - n.predicted) > max(LAYER_CYCLES, LAYER_TOLERANCE * n.cycles)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("name", "network"),
    [
        pytest.param(p, n, marks=() if (p, n) == ("base", "resnet8_int8") else pytest.mark.nightly)
        for p in PRESETS
        for n in INT8_NETWORKS
    ],
)
@pytest.mark.slow
def test_trained_networks(name: str, network: str) -> None:
    path = shared_file("models", f"{network}.tflite")
    graph = load_model(path)
    shape = graph.tensors[graph.input].shape[1:]
    real = quantize_input(graph, real_inputs(network, 1)).reshape(-1, *shape)
    random = np.random.default_rng(7).integers(-128, 128, (1, *shape), dtype=np.int8)
    result = verify(path, preset(name), x=np.concatenate([real, random]), graph=graph)
    assert result.bit_exact, result.summary()
    assert result.reference is not None
    assert result.reference["different"] == 0
    check_cycles(result)


@pytest.mark.slow
def test_embedded_network_on_icarus() -> None:
    graph = load_model(MODEL)
    x = quantize_input(graph, digit_images()[0][:1])
    result = verify(MODEL, preset("tiny"), x=x, graph=graph, simulator="icarus")
    assert result.bit_exact, result.summary()


@pytest.mark.slow
def test_stalls_change_cycles_but_no_byte() -> None:
    graph = load_model(MODEL)
    x = quantize_input(graph, digit_images()[0][:1])
    calm = verify(MODEL, preset("tiny"), x=x, graph=graph, simulator="icarus")
    rough = verify(MODEL, preset("tiny"), x=x, graph=graph, simulator="icarus", stalls=40, seed=3)
    assert rough.bit_exact, rough.summary()
    assert rough.total > calm.total
