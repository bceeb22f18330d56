"""Rewrites of a float graph that change no value."""

from __future__ import annotations

from dataclasses import replace

from hwgen.compress.graph import Activation, Clamped, FloatGraph
from hwgen.model.graph import Op


def fuse_activations(graph: FloatGraph) -> FloatGraph:
    """Put each clamp that stands alone into the operator before it, where nothing else reads what lies between."""
    ops: list[Op] = list(graph.ops)
    shapes = dict(graph.shapes)
    for op in graph.ops:
        if not isinstance(op, Activation):
            continue
        (source,) = op.inputs
        before = next((o for o in ops if o.output == source), None)
        alone = source != graph.output and sum(source in o.inputs for o in ops) == 1
        if isinstance(before, Clamped) and alone:
            # Of two clamps in a row the second has the last word.
            low = min(max(before.lo, op.lo), op.hi)
            fused = replace(before, output=op.output, lo=low, hi=max(min(before.hi, op.hi), low))
            ops = [fused if o is before else o for o in ops if o is not op]
            del shapes[source]
    return replace(graph, ops=tuple(ops), shapes=shapes)
