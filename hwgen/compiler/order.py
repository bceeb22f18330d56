"""The order in which operators run: the one of the graph, but for residual branches."""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.compiler.program import macs
from hwgen.model.graph import Add, Conv, Graph, Op


def branches_first(graph: Graph, ops: Sequence[Op]) -> list[Op]:
    """Return the operators with the smaller of two convolutions that are added in front of the larger one.

    Only where both stand directly in front of the addition and the one behind does not read the other's result. The
    smaller one then fills time in which the larger one would wait for its input, where that is the result of the
    operator before; and the addition, whose pieces run between the tiles of the convolution in front of it, has more
    tiles to run between.
    """
    ops = list(ops)
    for i in range(2, len(ops)):
        a, b, add = ops[i - 2 : i + 1]
        if (
            isinstance(add, Add)
            and isinstance(a, Conv)
            and isinstance(b, Conv)
            and {a.output, b.output} == set(add.inputs)
            and a.output not in b.inputs
            and macs(b, graph) < macs(a, graph)
        ):
            ops[i - 2], ops[i - 1] = b, a
    return ops
