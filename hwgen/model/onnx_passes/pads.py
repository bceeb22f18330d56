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
        if pad.output in graph.output_maps or not users or not all(_takes(op) for op in users):
            continue
        ops = [_padded(op, pad) if op in users else op for op in ops if op is not pad]
        del tensors[pad.output]
    return replace(graph, ops=tuple(ops), tensors=tensors)


def _takes(op: Op) -> bool:
    return isinstance(op, Conv) or (isinstance(op, Pool) and op.requant is not None)


def _padded(op: Op, pad: Pad) -> Op:
    assert isinstance(op, Conv | Pool)
    own = op.pad
    total = (own[0] + pad.pad[0], own[1] + pad.pad[1], own[2] + pad.pad[2], own[3] + pad.pad[3])
    return replace(op, inputs=tuple(pad.inputs[0] if n == pad.output else n for n in op.inputs), pad=total)
