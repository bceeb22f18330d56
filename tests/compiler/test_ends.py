"""Networks of several inputs and outputs: maps that are given late, asked for in the middle, or both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.files import layout, program_files
from hwgen.model import load_model
from hwgen.model.graph import Graph, Reshape, plain_graph
from hwgen.presets import preset
from hwgen.verify.flow import verify
from tests.random_graphs import Builder
from tests.random_networks import check_machine, check_rtl
from tests.random_values import Limits
from tests.tflite_builder import TfliteBuilder

SEED = 6


def builder() -> Builder:
    return Builder(np.random.default_rng(8), Limits(macs=1 << 24, values=1 << 20), SEED)


def graph(b: Builder, *outputs: str | None) -> Graph:
    return plain_graph("ends", "tflite", b.tensors, b.ops, b.sources, [name for name in outputs if name is not None])


def late(size: int = 9) -> Graph:
    """An input that the last operator alone reads; outputs in the middle, one of which is read again."""
    b = builder()
    x = b.source((size, size, 12))
    y = b.convolve(x, b.weight((16, 3, 3, 12)), 1, pad=(1, 1, 1, 1))
    assert y is not None
    z = b.convolve(y, b.weight((16, 1, 1, 16)), 1)
    b.limits = Limits(macs=1 << 24, values=1 << 20, ends=True)
    assert z is not None
    last = None
    while last is None or len(b.sources) < 2:  # until its second operand is drawn from an input
        b.undo(2, 3)
        last = b.add(z)
    return graph(b, last, y, z)


def reshaped() -> Graph:
    """Reshapes at the ends are the host's: of an input, of an output that nothing else reads; not of one that is."""
    b = builder()
    flat = b.source((1, 1, 16 * 32))
    x = b.put(Reshape, (flat,), (4, 4, 32), b.zero(flat))
    y = b.requantize(x)
    one = b.put(Reshape, (y,), (16, 1, 32), b.zero(y))
    two = b.put(Reshape, (y,), (2, 8, 32), b.zero(y))
    return graph(b, one, b.requantize(two), two, y)


def untouched() -> Graph:
    """An input that is an output, as it is and reshaped, and one that nothing reads."""
    b = builder()
    x, other = b.source((4, 4, 16)), b.source((2, 2, 8))
    y = b.requantize(x)
    again = b.put(Reshape, (x,), (16, 1, 16), b.zero(x))
    return graph(b, x, y, again, other)


NETWORKS = {"late": late, "reshaped": reshaped, "untouched": untouched}


@pytest.mark.parametrize("config", ["tiny", "base", "base-sparse"])
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_machine(name: str, config: str) -> None:
    network = NETWORKS[name]()
    program = compile_graph(network, preset(config))
    check_machine(SEED, network, program)
    found = layout(program)
    assert [end["name"] for end in found["inputs"]] == list(network.input_maps)
    assert [end["name"] for end in found["outputs"]] == list(network.output_maps)
    assert all(found["tensors"][end["tensor"]]["dram"] is not None for end in found["inputs"] + found["outputs"])
    assert len(program_files(program)["image.bin"]) == program.bytes


def test_through_dram() -> None:
    network = late(40)
    program = compile_graph(network, preset("small").replace(act_kib=8))
    assert not set(program.chip) >= set(network.tensors)
    check_machine(SEED, network, program)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_in_rtl(name: str) -> None:
    network = NETWORKS[name]()
    check_rtl(SEED, network, compile_graph(network, preset("tiny")), "verilator")


@pytest.mark.slow
def test_file_of_two_inputs_and_two_outputs(tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    b = TfliteBuilder()
    x, y = b.tensor((1, 6, 6, 3), scale=0.02, zero_point=4), b.tensor((1, 6, 6, 3), scale=0.05, zero_point=-9)
    total = b.op("ADD", [x, y], b.tensor((1, 6, 6, 3), scale=0.06, zero_point=1))
    mean = b.op("MEAN", [total, b.constant(np.array([1, 2], np.int32))], b.tensor((1, 3), scale=0.03, zero_point=2))
    path = b.save(tmp_path / "ends.tflite", [x, y], [mean, total])
    assert len(load_model(path).inputs) == 2
    result = verify(path, preset("tiny"), random=2)
    assert result.bit_exact, result.summary()
