"""Everything about a network that a configuration cannot run, found before anything is generated."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hwgen.compiler.maps import Layout
from hwgen.compiler.weight_zero import zero_point
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.golden import weight_stream
from hwgen.golden.fixedpoint import MAX_SHIFT
from hwgen.model.graph import Add, Concat, Conv, Graph, Op, Pad, Pool, Requantize, Reshape, requants

SHIFTS = range(-31, MAX_SHIFT + 1)
"""Multiplier shifts that POST can do."""


def preflight(graph: Graph, ops: list[Op], config: Config) -> None:
    """Raise one HwgenError that lists every operator ``config`` cannot run, with its remedy."""
    found = [(op.name, what, remedy) for op in ops for what, remedy in _problems(graph, op, config)]
    if not found:
        return
    lines = [f"{name}: {what} -> {remedy}" for name, what, remedy in found]
    raise HwgenError(
        f"config {config.name!r} cannot run {len(found)} operator{'s' * (len(found) > 1)}:\n  " + "\n  ".join(lines),
        where=graph.name,
        remedy="change the network or the configuration as said above",
    )


def _problems(graph: Graph, op: Op, config: Config) -> Iterator[tuple[str, str]]:
    layouts = {n: Layout.of(graph.tensors[n].shape, config) for n in (*op.inputs, op.output)}
    if isinstance(op, Conv):
        yield from _conv(graph, op, config)
    elif isinstance(op, Pool):
        if "depthwise" not in config.mappings:
            yield "pooling needs the depthwise mapping", "add 'depthwise' to mappings"
        elif op.kind == "max" and "max_pool" not in config.operators:
            yield "max pooling is not built", "add 'max_pool' to operators"
        elif op.kind == "average":
            yield from _sums(op.kernel[0] * op.kernel[1], graph.tensors[op.inputs[0]].zero_point, config)
    elif isinstance(op, Add):
        if "add" not in config.operators:
            yield "add is not built", "add 'add' to operators"
        if (op.multiplier[0], op.shift[0]) != (1 << 30, 0):
            yield "the first operand must be the one with the larger scale", "read the network with a reader of hwgen"
        if len({graph.tensors[n].shape for n in (*op.inputs, op.output)}) > 1:
            yield "the operands must have the same shape", "broadcast explicitly"
    elif isinstance(op, Reshape):
        a, b = layouts[op.inputs[0]], layouts[op.output]
        if not alias(a, b, config):
            yield (
                (f"reshape {a.height}x{a.width}x{a.channels} to {b.height}x{b.width}x{b.channels} moves bytes between "
                "words"),
                "reshape at the network's input or output, or keep the channel count",
            )
    elif not isinstance(op, Concat | Pad | Requantize):
        yield f"operator {type(op).__name__} is unknown to the compiler", "replace it"
    for requant in requants(op):
        if not np.isin(requant.shift, SHIFTS).all():
            yield (
                (f"requantisation shifts in [{requant.shift.min()}, {requant.shift.max()}] must be in "
                f"[{SHIFTS[0]}, {SHIFTS[-1]}]"),
                "choose a larger output scale",
            )
        yield from _range(requant.qmin, requant.qmax, config)


def alias(a: Layout, b: Layout, config: Config) -> bool:
    """True when a reshape from ``a`` to ``b`` moves no byte."""
    from hwgen.derive import Derived

    word = Derived(config).word
    packed = all(n.words == n.height * n.width * n.pixel for n in (a, b)) or (a.height, a.width) == (b.height, b.width)
    whole = a.channels == b.channels or (a.channels % word == 0 and b.channels % word == 0)
    return packed and whole and a.words == b.words


def _range(qmin: int, qmax: int, config: Config) -> Iterator[tuple[str, str]]:
    low, high = -(1 << config.act_bits - 1), (1 << config.act_bits - 1) - 1
    if config.act_bits < 8 and (qmin < low or qmax > high):
        yield (
            f"results in [{qmin}, {qmax}] do not fit {config.act_bits} bits",
            "quantise activations to fewer bits or raise act_bits",
        )


def _conv(graph: Graph, op: Conv, config: Config) -> Iterator[tuple[str, str]]:
    yield from _weights(op, config)
    weight = int(np.abs(op.weight.astype(np.int64)).reshape(len(op.weight), -1).sum(axis=1).max())
    yield from _sums(weight, graph.tensors[op.inputs[0]].zero_point, config)


def _weights(op: Conv, config: Config) -> Iterator[tuple[str, str]]:
    low, high = int(op.weight.min()), int(op.weight.max())
    try:
        zero = zero_point(op.weight)
    except ValueError:
        yield (
            f"weights less their zero points are in [{low}, {high}], more than 256 values with zero",
            "quantise the weights of a layer with one zero point: per tensor, or per channel symmetrically",
        )
        return
    bits = 9 if zero else weight_stream.value_bits(np.array([low, high]))
    if bits > config.weight_bits:
        yield (
            f"weights in [{low}, {high}] do not fit {config.weight_bits} bits",
            "use --preset base-u8, or set weight_bits = 9 in the configuration"
            if bits == 9
            else f"set weight_bits = {bits} in the configuration, or quantise weights to {config.weight_bits} bits",
        )


def _sums(weight: int, zero: int, config: Config) -> Iterator[tuple[str, str]]:
    """Check the largest sum of products with weights of total magnitude ``weight``; 32 bits wrap as in TFLite."""
    reach = max(zero + (1 << config.act_bits - 1), (1 << config.act_bits - 1) - 1 - zero)
    bound = weight * reach
    if config.acc_bits < 32 and bound >= 1 << config.acc_bits - 1:
        yield (
            f"sums up to {bound} do not fit {config.acc_bits} accumulator bits",
            f"set acc_bits to {bound.bit_length() + 1} or more",
        )
