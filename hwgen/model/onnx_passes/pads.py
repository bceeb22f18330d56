"""Clean-ups of a graph after reading."""

from __future__ import annotations

from dataclasses import replace

from hwgen.model.graph import Conv, Graph, Op, Pad, Pool


def fold_pads(graph: Graph) -> Graph:
    """Move each `Pad` whose consumers all pad with the zero point (convolutions, averages with rescale) into them.

    The padded map and the map before it must share scale and zero point, as readers emit them.
    """
    ops = list(graph.ops)
    tensors = dict(graph.tensors)
    for pad in [op for op in ops if isinstance(op, Pad)]:
        users = [op for op in ops if pad.output in op.inputs]
        if pad.output in graph.output_maps or not users or not all(_takes(op, pad) for op in users):
            continue
        ops = [_padded(op, pad) if op in users else op for op in ops if op is not pad]
        del tensors[pad.output]
    return replace(graph, ops=tuple(ops), tensors=tensors)


def _takes(op: Op, pad: Pad) -> bool:
    """Whether an operator pads with the zero point; windows of a pooling must still hold a pixel."""
    if not isinstance(op, Pool):
        return isinstance(op, Conv)
    return op.requant is not None and all(n < op.kernel[i // 2] for i, n in enumerate(_total(op, pad)))


def _total(op: Conv | Pool, pad: Pad) -> tuple[int, int, int, int]:
    own, more = op.pad, pad.pad
    return (own[0] + more[0], own[1] + more[1], own[2] + more[2], own[3] + more[3])


def _padded(op: Op, pad: Pad) -> Op:
    assert isinstance(op, Conv | Pool)
    return replace(op, inputs=tuple(pad.inputs[0] if n == pad.output else n for n in op.inputs), pad=_total(op, pad))
