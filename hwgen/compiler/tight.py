"""Input maps whose pixels follow each other byte by byte.

A map of few channels fills a small part of its words: it is loaded, fetched and, where zeros are skipped, looked at for
nothing. The host gives an input as it has it, tightly, when its only reader is a convolution in channel mapping, which
streams single bytes: a kernel row is one segment.
"""

from __future__ import annotations

from collections.abc import Sequence

from hwgen.compiler import choose
from hwgen.compiler.density import Density, Profile
from hwgen.compiler.maps import Layout, View
from hwgen.compiler.reduce import Site, conv_works
from hwgen.config import SMALLEST, Config
from hwgen.derive import Derived
from hwgen.isa import Mode
from hwgen.model.graph import Conv, Graph, Op


def tight_input(
    name: str, graph: Graph, ops: Sequence[Op], config: Config, mappings: tuple[str, ...], profile: Profile,
    form: str = SMALLEST,
) -> Layout | None:  # fmt: skip
    """Return the tight layout of the input map ``name`` where that is possible and likely faster, else None."""
    readers = [op for op in ops if name in op.inputs]
    if config.skip == "none" or len(readers) != 1 or name in graph.output_maps:
        return None
    op = readers[0]
    if not isinstance(op, Conv) or not _possible(op, graph, config, mappings):
        return None
    tight = Layout.tightly(graph.tensors[op.inputs[0]].shape, config)
    best: dict[Layout, float] = {}
    for layout in (tight, Layout.of(graph.tensors[op.inputs[0]].shape, config)):
        modes = [Mode.CHANNEL] + [Mode.PIXEL] * ("pixel" in mappings and not layout.tight)
        for mode in modes:
            work = conv_works(op, _site(op, graph, layout, config, profile, form), mode, config)[0]
            for cycles, _ in choose.choose(work, config):
                best[layout] = min(cycles, best.get(layout, cycles))
    return tight if tight in best and best[tight] <= min(best.values()) else None


def _possible(op: Conv, graph: Graph, config: Config, mappings: tuple[str, ...]) -> bool:
    """True when a patch of tight pixels is what the convolution reads, in whole words."""
    word, (_, _, width, channels) = Derived(config).word, graph.tensors[op.inputs[0]].shape
    kw = op.weight.shape[2]
    outputs = graph.tensors[op.output].shape[2]
    # Bytes behind a row that ends within a word are no zero point.
    beyond = (outputs - 1) * op.stride[1] - op.pad[2] + kw > width and width * channels % word
    plain = op.groups == 1 and op.dilation[1] == 1 and not beyond and kw <= config.segments // 2
    return "channel" in mappings and 2 * channels <= word and width > 1 and plain


def _site(op: Conv, graph: Graph, layout: Layout, config: Config, profile: Profile, form: str) -> Site:
    tensors = graph.tensors
    result = Layout.of(tensors[op.output].shape, config)
    views = (View("input", layout, 0, 0, layout.height), View("output", result, 0, 0, result.height))
    zeros = (tensors[op.inputs[0]].zero_point, tensors[op.output].zero_point)
    return Site(0, *views, range(result.height), *zeros, profile.get(op.inputs[0], Density()), form)
