"""The ends of a network: what is the machine's of it, and when maps come from and go to DRAM."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.compiler.context import Tile
from hwgen.compiler.lower import boundary_tiles
from hwgen.compiler.order import branches_first
from hwgen.compiler.place import Placement
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.model.graph import Graph, Op, Reshape


@dataclass(frozen=True)
class Part:
    """The machine's part of a network: its operators, and its map of every input and output of the network (reshapes
    at the ends are the host's)."""

    ops: list[Op]
    inputs: dict[str, str]
    outputs: dict[str, str]


def device_part(graph: Graph) -> Part:
    """Return the operators to compile and the maps at their ends.

    Raises
    ------
    HwgenError
        When there is no operator.
    """
    ops = list(graph.ops)
    inputs = {name: _behind(ops, name, graph) for name in graph.input_maps}
    outputs = {name: _before(ops, name, set(inputs.values())) for name in graph.output_maps}
    if not ops:
        raise HwgenError("the network has no operator for the accelerator", where=graph.name)
    return Part(branches_first(graph, ops), inputs, outputs)


def _behind(ops: list[Op], name: str, graph: Graph) -> str:
    """Take reshapes that are all that reads a map out of ``ops``; return the map behind them."""
    readers = [op for op in ops if name in op.inputs]
    if len(readers) != 1 or not isinstance(readers[0], Reshape) or name in graph.output_maps:
        return name
    ops.remove(readers[0])
    return _behind(ops, readers[0].output, graph)


def _before(ops: list[Op], name: str, inputs: set[str]) -> str:
    """Take reshapes out of ``ops`` that make an output that nothing else reads; return the map before them."""
    maker = next((op for op in ops if op.output == name), None)
    if not isinstance(maker, Reshape) or any(name in op.inputs for op in ops) or name in inputs:
        return name
    ops.remove(maker)
    return _before(ops, maker.inputs[0], inputs)


def first_reader(ops: tuple[Op, ...] | list[Op], name: str, root: dict[str, str]) -> int | None:
    """Return the index of the first operator that reads a map, or what shares its memory."""
    return next((i for i, op in enumerate(ops) if any(root[n] == root[name] for n in op.inputs)), None)


def copies(
    graph: Graph, ops: list[Op], placement: Placement, config: Config
) -> tuple[dict[int, list[Tile]], dict[int, list[Tile]]]:
    """Return the copies of inputs in front of operators, and those of outputs behind them, by the operator's index.

    An input of a later operator comes an operator earlier, as does its place on chip.
    """
    before: dict[int, list[Tile]] = {}
    behind: dict[int, list[Tile]] = {}
    for name in graph.input_maps:
        reader = first_reader(ops, name, placement.root)
        if name in placement.chip and reader is not None:
            at = max(reader - 1, 0)
            before.setdefault(at, []).extend(
                boundary_tiles(at, placement.view(name), placement.dram[name], config, out=False))
    given = {placement.dram[name] for name in graph.input_maps}
    for name in graph.output_maps:
        if name in placement.chip and placement.dram[name] not in given:
            at = next(i for i, op in enumerate(ops) if op.output == name)
            behind.setdefault(at, []).extend(
                boundary_tiles(at, placement.view(name), placement.dram[name], config, out=True))
    return before, behind
