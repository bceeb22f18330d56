"""Maximum pooling of large windows, in stages: a maximum of maxima is exact.

The lanes compute a maximum in one go (there is none that goes on from the stored one), so a window must fit their
memory and the table of segments. A larger one is pooled down its columns first and along its rows then, and a long
column or row in pieces of equal length, which may overlap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from hwgen.config import Config
from hwgen.model.graph import Graph, Op, Pool, Tensor


@dataclass(frozen=True)
class _Axis:
    """A pooling along one axis: window, stride, padding in front, length of the map, number of results."""

    kernel: int
    stride: int
    pad: int
    size: int
    out: int


def staged(graph: Graph, ops: Sequence[Op], config: Config) -> tuple[Graph, list[Op], list[int]]:
    """Return the network and its operators with large maximum poolings in stages, and whose stage each operator is
    (an index into ``ops``)."""
    tensors, result, owner = dict(graph.tensors), list[Op](), list[int]()
    for index, op in enumerate(ops):
        stages = list(_stages(op, tensors, config)) if isinstance(op, Pool) and op.kind == "max" else [op]
        result += stages
        owner += [index] * len(stages)
    return replace(graph, tensors=tensors, ops=tuple(result)), result, owner


def _stages(op: Pool, tensors: dict[str, Tensor], config: Config) -> Iterator[Pool]:
    """Yield the stages of a pooling; their maps are added to ``tensors``."""
    tall, wide = config.segments // 2, config.amem_words
    if op.kernel[0] <= tall and op.kernel[0] * op.kernel[1] <= wide:
        yield op
        return
    source, target = tensors[op.inputs[0]], tensors[op.output]
    (height, width), (rows, columns) = source.shape[1:3], target.shape[1:3]
    down = list(_pieces(_Axis(op.kernel[0], op.stride[0], op.pad[0], height, rows), min(tall, wide)))
    across = list(_pieces(_Axis(op.kernel[1], op.stride[1], op.pad[2], width, columns), wide))
    steps = [*((s, True) for s in down if s.kernel > 1 or s.stride > 1),
             *((s, False) for s in across if s.kernel > 1 or s.stride > 1)]  # fmt: skip
    at = source
    lowest = -(1 << config.act_bits - 1)
    for number, (step, vertical) in enumerate(steps):
        _, height, width, channels = at.shape
        shape = (1, step.out, width, channels) if vertical else (1, height, step.out, channels)
        last = number == len(steps) - 1
        out = target if last else replace(source, name=f"{op.output}/{number}", shape=shape, view=None)
        behind = max(0, (step.out - 1) * step.stride + step.kernel - step.size - step.pad)
        yield replace(
            op, inputs=(at.name,), output=out.name,
            kernel=(step.kernel, 1) if vertical else (1, step.kernel),
            stride=(step.stride, 1) if vertical else (1, step.stride),
            pad=(step.pad, behind, 0, 0) if vertical else (0, 0, step.pad, behind),
            qmin=op.qmin if last else lowest, qmax=op.qmax if last else 127,
        )  # fmt: skip
        tensors[out.name] = at = out


def _pieces(axis: _Axis, limit: int) -> Iterator[_Axis]:
    """Yield poolings with windows of at most ``limit``, one behind the other, that make up ``axis``."""
    while axis.kernel > limit:
        length, step = _piece(axis, limit)
        count = (axis.kernel - length) // step + 1
        stride = axis.stride if axis.out > 1 else step * count
        windows = (axis.out - 1) * (stride // step) + count
        yield _Axis(length, step, axis.pad, axis.size, windows)
        axis = _Axis(count, stride // step, 0, windows, axis.out)
    yield axis


def _piece(axis: _Axis, limit: int) -> tuple[int, int]:
    """Return length and distance of the pieces of a window: they cover it exactly, every window begins with one, and
    there are few of them, of few values."""
    found = [
        (max(length, (axis.kernel - length) // step + 1), length, step)
        for length in range(1, limit + 1)
        for step in range(1, length + 1)
        if (axis.kernel - length) % step == 0 and (axis.out == 1 or axis.stride % step == 0)
    ]
    _, length, step = min(found, key=lambda f: (f[0], -f[2]))
    return length, step
