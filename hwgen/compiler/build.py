"""The compiler's driver: place, lower, lay out the image, emit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hwgen.compiler import choose
from hwgen.compiler.arrange import Arrangement, arrange
from hwgen.compiler.context import Constant, Context, Image, Tile, emit
from hwgen.compiler.cost import CycleModel, layer_cycles
from hwgen.compiler.density import Profile, Samples, measure
from hwgen.compiler.ends import Part, copies, device_part
from hwgen.compiler.lower import Lowering
from hwgen.compiler.maps import Layout
from hwgen.compiler.packed import choose_packings
from hwgen.compiler.patch import Choice
from hwgen.compiler.pixel import PixelChoice
from hwgen.compiler.place import Placement
from hwgen.compiler.placements import places
from hwgen.compiler.prefetch import prefetch
from hwgen.compiler.preflight import preflight
from hwgen.compiler.program import LayerPlan, Program, macs
from hwgen.compiler.stages import staged
from hwgen.compiler.tight import tight_input
from hwgen.compiler.turn import GAIN, columns, turned, turned_samples, worth_turning
from hwgen.compiler.weight_store import check
from hwgen.compiler.work import Work
from hwgen.config import SMALLEST, Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.isa import encode
from hwgen.model.graph import Add, Conv, Graph, Op

LOOKAHEAD = 6
"""Tiles ahead of which weights are loaded."""

LATE = 1.05
"""A tile in pixel mapping gives its results all at its end, so the layer behind it begins later: it must be so much
better by itself."""

NEAR = 1.15
"""Choices whose estimate is above that of the best by more are not tried on the cycle model."""

PREFETCH_BEATS = 2
"""Bus cycles of a command, above which LOADs stay where they are: so many commands take the bus as long as the weights
that come earlier, and which of the two goes first is not known well enough."""

PAGE = 4096


def compile_graph(
    graph: Graph,
    config: Config,
    mappings: tuple[str, ...] | None = None,
    samples: Samples | None = None,
    weight_format: str = SMALLEST,
) -> Program:
    """Compile a quantised graph.

    Parameters
    ----------
    graph : Graph
    config : Config
    mappings : tuple of str, optional
        Restricts the mapping search (default: all that are built).
    samples : mapping of str to int8 array, optional
        Maps of some images by tensor name, shape (images, height, width, channels), where zero activations are
        skipped or maps are packed; without them they count as dense (behind a ReLU as half dense, to be packed).
    weight_format : str
        One of `hwgen.compiler.weight_store.CHOICES`.

    Raises
    ------
    HwgenError
        When an operator or a weight range is not supported by the configuration, or nothing fits.
    """
    check(weight_format, config)
    arranged, arrangement = arrange(graph, config, samples)
    ops = device_part(arranged).ops
    preflight(arranged, ops, config)
    kept = {n: maps[..., arrangement.kept[n]] if n in arrangement.kept else maps for n, maps in (samples or {}).items()}
    options = _Options(graph, config, mappings or config.mappings, weight_format, arrangement)
    other = turned(arranged, ops)
    try:
        program = _program(arranged, options, kept, turn=False)
    except HwgenError as error:
        if other is None:
            raise
        try:
            return _program(other, options, turned_samples(kept), turn=True)
        except HwgenError as again:
            # What is in the way of the narrower one is what is left to be mended.
            raise (again if columns(other) < columns(arranged) else error) from None
    if other is None or not worth_turning(arranged, ops, config):
        return program
    try:
        second = _program(other, options, turned_samples(kept), turn=True)
    except HwgenError:
        return program
    return second if second.predicted < GAIN * program.predicted else program


@dataclass(frozen=True)
class _Options:
    """What both ways to lay a network down have in common."""

    network: Graph
    config: Config
    mappings: tuple[str, ...]
    weight_format: str
    arrangement: Arrangement


def _program(machine: Graph, options: _Options, samples: Samples, *, turn: bool) -> Program:
    """Compile a network whose channels are arranged; with ``turn`` its height and width are swapped."""
    config, graph = options.config, options.network
    part = device_part(machine)
    trimmed, ops, owner = staged(machine, part.ops, config)
    trimmed = replace(trimmed, inputs=tuple(replace(port, map=part.inputs[port.map]) for port in graph.inputs),
                      outputs=tuple(replace(port, map=part.outputs[port.map]) for port in graph.outputs))  # fmt: skip
    layouts = {n: replace(Layout.of(t.shape, config), turned=turn) for n, t in trimmed.tensors.items()}
    profile = {n: measure(maps, machine.tensors[n].zero_point, config.vector) for n, maps in samples.items()}
    for name in trimmed.input_maps:
        tight = tight_input(name, trimmed, ops, config, options.mappings, profile, options.weight_format)
        layouts |= {name: replace(tight, turned=turn)} if tight else {}
    network = _Network(trimmed, ops, part, owner, profile)
    found = (_placed(network, placement, options) for placement in places(trimmed, layouts, config, tuple(ops)))
    return min(found, key=lambda program: program.predicted)


@dataclass(frozen=True)
class _Network:
    """What is compiled: ``ops`` are those of the machine, each of which is part of operator ``owner`` of ``part``."""

    graph: Graph
    ops: list[Op]
    part: Part
    owner: list[int]
    profile: Profile


def _placed(network: _Network, placement: Placement, options: _Options) -> Program:
    """Compile a network whose maps have their places."""
    config, graph, ops, owner = options.config, options.network, network.ops, network.owner
    trimmed, layouts = network.graph, placement.layouts
    given = {op.name: op for op in graph.ops}
    packings = choose_packings(trimmed, ops, placement, config, network.profile)
    lowering = Lowering(trimmed, config, placement, options.mappings, network.profile, packings,
                        partial(_fastest, last=len(ops) - 1), options.weight_format)  # fmt: skip
    before, behind = copies(trimmed, ops, placement, config)
    groups: list[list[Tile]] = []
    for index, op in enumerate(ops):
        if isinstance(op, Add) and groups and groups[-1] and _independent(placement, ops[index - 1], op, index):
            groups[-1:] = [[], lowering.beside(index, op, groups[-1])]
            behind[index] = behind.pop(index - 1, []) + behind.get(index, [])
        else:
            groups.append(lowering.tiles(index, op))
    tiles = [t for i, layer in enumerate(groups) for t in (*before.get(i, []), *layer, *behind.get(i, []))]

    constants, map_base = _constants(tiles, config)
    context = Context(config, Image(map_base, placement.dram_words))
    emit(context, tiles, LOOKAHEAD)
    if CycleModel(config).command_beats <= PREFETCH_BEATS:
        # Behind a full queue of LOADs no other command would be dispatched.
        prefetch(context.stream, config.queue - 1)
    context.stream.layer = len(ops) - 1
    context.stream.add("END", {})
    layers = [
        LayerPlan(
            op.name,
            op.source or type(op).__name__,
            *_split(lowering.picked.get(owner.index(i), ("none", "")), macs(given[op.name], graph)),
        )
        for i, op in enumerate(network.part.ops)
    ]
    for constant, layer_index in {t.block.constant: t.layer for t in tiles if t.block is not None}.items():
        layers[owner[layer_index]].weight_bytes += len(constant.weights)
    for index, entry in enumerate(context.stream.entries):
        entry.layer = owner[entry.layer]
        layers[entry.layer].commands.append(index)
    predicted = layer_cycles(
        context.stream.entries, CycleModel(config).finish_times(context.stream.entries), len(layers)
    )
    for plan, cycles in zip(layers, predicted, strict=True):
        plan.predicted = cycles
    command_base = -(-(map_base + placement.dram_words * Derived(config).word) // PAGE) * PAGE
    program = Program(
        graph,
        config,
        context.stream.entries,
        constants,
        map_base,
        placement.dram_words,
        command_base,
        layers,
        layouts,
        placement.chip,
        placement.dram,
        network.part.inputs,
        network.part.outputs,
        options.arrangement,
    )
    for entry in context.stream.entries:
        try:
            encode(entry.command())
        except ValueError as error:
            raise HwgenError(
                f"the layer is too large for the command set: {error}",
                where=layers[entry.layer].name,
                remedy="split the layer, or use a smaller input",
            ) from None
    return program


def _independent(placement: Placement, producer: Op, op: Add, index: int) -> bool:
    """True when an addition may start before its producer ends: it is on chip and overwrites nothing that one reads."""
    if not isinstance(producer, Conv) or index in placement.stripes or index - 1 in placement.stripes:
        return False

    def span(name: str) -> range:
        return range(placement.chip[name], placement.chip[name] + placement.layouts[name].words)

    # The sum may have been given the place of a map that is read for the last time.
    out = span(op.output)
    return all(out.stop <= span(n).start or span(n).stop <= out.start for n in producer.inputs)


def _split(picked: tuple[str, str], count: int) -> tuple[str, int, str]:
    return picked[0], count, picked[1]


def _fastest(
    ranked: list[tuple[float, Choice, Work]], config: Config, *, last: int
) -> tuple[Choice, Work, list[Tile]]:
    """Take the choice that the cycle model likes best when the layer runs by itself; ``last`` is the last layer."""
    best: tuple[float, Choice, Work, list[Tile]] | None = None
    for estimated, choice, work in ranked:
        if best is not None and estimated > NEAR * ranked[0][0]:
            break
        tiles = choose.tiles(work, choice, config)
        if tiles:
            cycles = layer_alone(tiles, config, end=work.layer in (0, last))
            cycles *= LATE if isinstance(choice, PixelChoice) else 1
            if best is None or cycles < best[0]:
                best = cycles, choice, work, tiles
    return best[1:] if best else (ranked[0][1], ranked[0][2], [])


def layer_alone(tiles: list[Tile], config: Config, *, end: bool) -> float:
    """Return the cycles of one layer by itself: computing with everything loaded, or loading its constants.

    Loading begins and ends beside that of its neighbours, but not at an ``end`` of the network.
    """
    _, base = _constants(tiles, config)
    context = Context(config, Image(base, 1), exact=False)
    emit(context, tiles, LOOKAHEAD)
    for tile in tiles:
        if tile.block is not None:
            tile.block.uses = 0
    entries = context.stream.entries
    model = CycleModel(config, loaded=True)
    loads = sum(e.args["count"] for e in entries if e.name == "LOAD") * model.beats
    alone = max(model.finish_times(entries))
    if loads < 0.6 * alone:
        return alone
    if end:
        return max(CycleModel(config).finish_times(entries))
    return max(alone, loads + len(entries) * model.command_beats)


def _constants(tiles: list[Tile], config: Config) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], int]:
    """Give every constant its DRAM address; return their bytes and the first page behind them."""
    found: dict[Constant, None] = {}
    for tile in tiles:
        if tile.block is not None:
            found.setdefault(tile.block.constant)
    parts, at = [np.zeros(0, np.uint8)], 0
    for constant in found:
        constant.dram = at
        parts += [constant.weights, constant.params]
        at += len(constant.weights) + len(constant.params)
    return np.concatenate(parts), -(-at // PAGE) * PAGE
