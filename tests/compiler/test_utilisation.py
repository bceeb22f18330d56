"""Layers over sound and other lines, on every preset: they run, multipliers are busy, refusals can be mended."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.files import plan
from hwgen.errors import HwgenError
from hwgen.model import load_model
from hwgen.model.graph import Concat, Graph, Pool, Tensor, plain_graph
from hwgen.presets import PRESETS, preset
from tests.compiler.test_lines import SEED, Line
from tests.random_networks import check_machine, check_rtl
from tests.shared_data import shared_file

FAST = ("tiny", "base", "huge")
CASES = ("audio_1x80.tflite", "globalmax28.onnx", "maxg.int8io.tflite")


def presets() -> list[object]:
    return [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in PRESETS]


def line(kernel: int, samples: int, out: int, stride: int, channels: int = 1) -> Graph:
    return Line((1, samples, channels), tall=False).conv((1, kernel), out, (1, stride)).graph()


def busy(graph: Graph, name: str) -> float:
    """Compile, compare with the golden graph, and return the share of the multipliers in per cent."""
    program = compile_graph(graph, preset(name))
    check_machine(SEED, graph, program)
    return 100 * float(plan(program)["utilisation"])


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("kernel", [80, 100])
def test_long_kernels(kernel: int, name: str) -> None:
    least = {"tiny": 90, "small": 85, "base": 70, "base-u8": 70, "base-sparse": 70, "sparse-fine": 65, "large": 28}
    assert busy(line(kernel, 400, 8, 1), name) >= least.get(name, 3)  # eight channels of 400 pixels fill no huge grid


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("kernel", "samples", "out"), [(80, 4000, 16), (100, 4000, 16), (80, 16000, 16),
                                                        (100, 16000, 16)])
def test_long_lines(kernel: int, samples: int, out: int, name: str) -> None:
    """On chip or through DRAM: stripes have room enough not to load the same samples again and again."""
    least = {"large": 55, "huge": 11}
    assert busy(line(kernel, samples, out, 4), name) >= least.get(name, 88)


@pytest.mark.parametrize(("kernel", "samples", "channels"), [
    (80, 4000, 1), pytest.param(80, 4000, 4, marks=pytest.mark.slow)])
def test_stripes_that_share_most_of_their_rows(kernel: int, samples: int, channels: int) -> None:
    """The result would fit on chip, and leave too little for stripes of the input."""
    assert busy(line(kernel, samples, 16, 4, channels), "tiny") >= 94


def test_one_more_tap_than_segments() -> None:
    assert busy(line(32, 400, 8, 1), "base") >= 64
    assert busy(line(40, 400, 8, 1), "base") >= 58


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("case", CASES)
def test_shown_cases(case: str, name: str) -> None:
    graph = load_model(shared_file("cases", case))
    check_machine(SEED, graph, compile_graph(graph, preset(name)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "base"])
def test_in_rtl(name: str) -> None:
    """Cycles are those that the cycle model says, but for memory that stalls."""
    for graph in (line(80, 400, 8, 1), *(load_model(shared_file("cases", case)) for case in CASES)):
        program = compile_graph(graph, preset(name))
        assert check_rtl(SEED, graph, program, "verilator") >= 0.8 * program.predicted


def joined(axis: int) -> Graph:
    made = Line((60, 50, 16), tall=False)
    b = made.b
    x = b.requantize(made.at)
    y = b.convolve(x, b.weight((16, 1, 1, 16)), 1, zero_point=b.zero(x))
    assert y is not None
    return made.then(b.put(Concat, (x, y), (120, 50, 16) if axis == 1 else (60, 100, 16), b.zero(x), axis=axis)).graph()


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("name", ["tiny", "base"])
def test_rows_and_columns_are_joined_through_dram(axis: int, name: str) -> None:
    graph = joined(axis)
    program = compile_graph(graph, preset(name))
    assert graph.output not in program.chip
    check_machine(SEED, graph, program)


def deep() -> Graph:
    return Line((14, 14, 1024), tall=False).conv((3, 3), 3).graph()


def large_window() -> Graph:
    return Line((40, 40, 16), tall=False).conv((31, 31), 16, depthwise=True).graph()


REFUSED: dict[str, tuple[Callable[[], Graph], str]] = {
    "deep": (deep, "small"), "large_window": (large_window, "tiny"),
    "tall": (lambda: Line((230, 230, 3), tall=False).conv((11, 11), 5, (20, 20)).graph(), "tiny"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_remedies_help(name: str) -> None:
    make, small = REFUSED[name]
    graph = make()
    with pytest.raises(HwgenError, match="cannot hold a single tile") as refused:
        compile_graph(graph, preset(small))
    found = re.fullmatch(r"set act_kib = (\d+) in the configuration, or use --preset (\w+)", refused.value.remedy or "")
    assert found, refused.value.remedy
    for config in (preset(small).replace(act_kib=int(found[1])), preset(found[2])):
        check_machine(SEED, graph, compile_graph(graph, config))


def test_what_no_buffer_holds() -> None:
    tensors = {"x": Tensor("x", (1, 3, 3, 1 << 20), 0.1, 0), "y": Tensor("y", (1, 1, 1, 1 << 20), 0.1, 0)}
    op = Pool(name="p", inputs=("x",), output="y", kind="max", kernel=(3, 3), stride=(1, 1))
    with pytest.raises(HwgenError, match="split the layer or use a smaller input: no buffer of 4096 KiB or less"):
        compile_graph(plain_graph("deep", "tflite", tensors, [op], "x", "y"), preset("base"))
