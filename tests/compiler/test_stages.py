"""Maximum pooling of windows that lanes do not hold, in stages."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.files import layout, plan
from hwgen.compiler.stages import staged
from hwgen.model.graph import Graph, Pool, Tensor, plain_graph
from hwgen.presets import preset
from tests.random_graphs import Builder
from tests.random_networks import CONFIGS, check_machine, check_rtl
from tests.random_values import Limits

SEED = 7
CASES = {
    "global": ((28, 28, 12), (28, 28), (1, 1), (0, 0, 0, 0)),
    "line": ((1, 3000, 5), (1, 3000), (1, 1), (0, 0, 0, 0)),
    "prime": ((67, 3, 4), (67, 3), (2, 1), (0, 0, 0, 0)),
    "not_all": ((70, 9, 8), (61, 5), (10, 3), (0, 0, 0, 0)),
    "sliding": ((50, 40, 9), (37, 3), (1, 2), (17, 18, 1, 1)),
    "strides": ((90, 12, 3), (40, 12), (6, 5), (39, 0, 11, 0)),
    "padded": ((20, 20, 8), (40, 40), (1, 1), (20, 0, 20, 0)),
}


def pooling(name: str) -> Graph:
    shape, kernel, stride, pad = CASES[name]
    b = Builder(np.random.default_rng(4), Limits(values=1 << 20), SEED)
    x = b.source(shape)
    y = b.pool(x, "max", kernel, stride, pad)
    assert y is not None
    return plain_graph(name, "tflite", b.tensors, b.ops, x, y)


@pytest.mark.parametrize("config", ["base", pytest.param("tiny", marks=pytest.mark.slow),
                                    pytest.param("cramped", marks=pytest.mark.slow),
                                    pytest.param("skip_both", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CASES)
def test_windows_of_any_size(name: str, config: str) -> None:
    graph = pooling(name)
    program = compile_graph(graph, CONFIGS[config])
    check_machine(SEED, graph, program)
    assert [x["name"] for x in plan(program)["layers"]] == [op.name for op in graph.ops]
    assert set(layout(program)["tensors"]) <= set(graph.tensors)


@pytest.mark.slow
def test_in_rtl() -> None:
    graph = pooling("strides")
    check_rtl(SEED, graph, compile_graph(graph, preset("tiny")), "verilator")


def test_narrow_activations() -> None:
    """What lies in the padding alone must stay a value that the machine has."""
    config = preset("small").replace(act_bits=5)
    graph = pooling("padded")
    tensors = {n: Tensor(n, t.shape, t.scale, t.zero_point % 16) for n, t in graph.tensors.items()}
    (op,) = graph.ops
    assert isinstance(op, Pool)
    narrow = plain_graph("narrow", "tflite", tensors, [op], op.inputs[0], op.output)
    _, ops, _ = staged(narrow, narrow.ops, config)
    assert len(ops) > 1 and all(isinstance(o, Pool) and o.qmin >= -16 for o in ops[:-1])


@pytest.mark.slow
def test_random_windows() -> None:
    rng = np.random.default_rng(SEED)
    config = preset("tiny").replace(segments=8)
    for case in range(40):
        kernel = tuple(int(rng.integers(1, 40)) for _ in range(2))
        stride = tuple(int(rng.integers(1, 12)) for _ in range(2))
        pad = tuple(int(rng.integers(0, k)) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
        shape = tuple(max(1, k - int(rng.integers(0, k)) + int(rng.integers(0, 30))) for k in kernel)
        b = Builder(np.random.default_rng(case), Limits(values=1 << 20), case)
        x = b.source((*shape, 2))  # type: ignore[arg-type]
        y = b.pool(x, "max", kernel, stride, pad)  # type: ignore[arg-type]
        if y is None:
            continue
        _, ops, owner = staged(plain_graph("g", "tflite", b.tensors, b.ops, x, y), b.ops, config)
        assert set(owner) == {0}
        program = compile_graph(plain_graph("g", "tflite", b.tensors, b.ops, x, y), config)
        check_machine(case, program.graph, program)
        assert ops[-1].output == y
