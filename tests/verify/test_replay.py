"""Which of the machine's writes count when two runs are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compiler import Program, compile_graph
from hwgen.golden.machine import Machine
from hwgen.golden.machine_state import PostInfo
from hwgen.model.graph import Concat, Conv, Requant, Tensor, plain_graph
from hwgen.verify.replay import EXAMPLES, Vectors, compare_writes, of_machine
from tests.random_networks import CONFIGS

REQUANT = Requant(np.array([1 << 30]), np.array([1]), 0)


@pytest.fixture(scope="module")
def program() -> Program:
    """11 channels and 2 beside them, on a machine of words of 8: the copy of the 11 writes channels 11..15 as well."""
    channels = {"x": 11, "a": 11, "b": 2, "y": 13}
    tensors = {name: Tensor(name, (1, 1, 7, n), 0.1, 0) for name, n in channels.items()}
    ops = [*(Conv(name=name, inputs=("x",), output=name, weight=np.ones((channels[name], 1, 1, 11), np.int8),
                  bias=np.zeros(channels[name], np.int32), requant=REQUANT) for name in "ab"),
           Concat(name="y", inputs=("a", "b"), output="y")]
    return compile_graph(plain_graph("n", "tflite", tensors, ops, "x", "y"), CONFIGS["vector4"])


def writes(program: Program, poison: int) -> dict[int, PostInfo]:
    seen: dict[int, PostInfo] = {}
    image = program.image(np.ones((1, 7, 11), np.int8))
    Machine(program.config, poison=poison).run(
        program.commands, image, observe=lambda i, _, info: seen.update({i: info} if info else {}))
    return seen


def test_what_is_written_anew_does_not_count(program: Program) -> None:
    first, second = writes(program, 1), writes(program, 2)
    assert any((first[i].result[:, first[i].mask] != second[i].result[:, second[i].mask]).any() for i in first)
    found = compare_writes(program, first, {i: of_machine(v) for i, v in second.items()}, EXAMPLES, "test")
    assert found == ({}, [])


def test_what_stays_counts(program: Program) -> None:
    seen = writes(program, 1)
    for index, info in seen.items():
        wrong: dict[int, Vectors] = {i: of_machine(v) for i, v in seen.items()}
        wrong[index] = replace(wrong[index], values=info.result ^ np.int8(1))
        total, examples = compare_writes(program, seen, wrong, EXAMPLES, "test")
        assert total.total() and {m.command for m in examples} == {index}
