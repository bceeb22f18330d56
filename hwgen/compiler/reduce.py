"""Convolutions and pooling as `Work`: weights, channel ranges, requantisation, border regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.density import Density
from hwgen.compiler.maps import Layout, View
from hwgen.compiler.weight_zero import zero_point
from hwgen.compiler.work import Chunk, Work
from hwgen.config import SMALLEST, Config
from hwgen.derive import Derived
from hwgen.golden.fixedpoint import average_requant
from hwgen.isa import Mode
from hwgen.model.graph import Conv, Pool, Requant


@dataclass(frozen=True)
class Site:
    """Where an operator is computed: layer number, operand views and zero points, output rows."""

    layer: int
    source: View
    result: View
    rows: range
    in_zero: int
    out_zero: int
    density: Density = field(default_factory=Density)
    form: str = SMALLEST
    """How weights are stored (`hwgen.compiler.weight_store`)."""


Weights = Callable[[int, int, Chunk], NDArray[Any]]


def _dense(weight: NDArray[Any], first_channel: int, mode: Mode, p: int, word: int) -> Weights:
    """Return the ``weights`` function of a dense (slice of a) convolution; ``weight`` is (out, kh, kw, in)."""

    def pick(first: int, count: int, chunk: Chunk) -> NDArray[Any]:
        c0 = chunk.word * word - first_channel
        part = weight[:, chunk.ky : chunk.ky + chunk.rows, :, c0 : c0 + chunk.channels]
        part = part.reshape(len(part), -1)
        if mode is Mode.PIXEL:
            return part[first : first + count]
        out = np.zeros((count * p, part.shape[1]), part.dtype)
        rows = part[first * p : (first + count) * p]
        out[: len(rows)] = rows
        return out.reshape(count, p, -1).transpose(0, 2, 1)

    return pick


def _depthwise(weight: NDArray[Any], p: int) -> Weights:
    """Return the ``weights`` function of a depthwise convolution; ``weight`` is (channels, kh, kw)."""

    def pick(first: int, count: int, chunk: Chunk) -> NDArray[Any]:
        part = weight[:, chunk.ky : chunk.ky + chunk.rows].reshape(len(weight), -1)
        out = np.zeros((count * p, part.shape[1]), part.dtype)
        rows = part[first * p : (first + count) * p]
        out[: len(rows)] = rows
        return out.reshape(count, p, -1).transpose(0, 2, 1)

    return pick


def _slice(requant: Requant, outputs: range) -> Requant:
    where = slice(outputs.start, outputs.stop)
    return replace(requant, multiplier=requant.multiplier[where], shift=requant.shift[where])


def as_column(op: Conv, site: Site, config: Config) -> tuple[Conv, Site]:
    """Return a convolution over its whole map as one over a column of all the pixels, when a kernel row is too long.

    A chunk of the reduction is made of kernel rows; a column can be cut at every pixel.
    """
    view, layout, (out, kh, kw, depth) = site.source, site.source.layout, op.weight.shape
    word = Derived(config).word
    short = kw <= config.segments // 2 and kw * config.vector <= config.wmem_words and kw * word <= config.amem_words
    whole = (kh, kw) == (layout.height, layout.width) and (view.first, view.last) == (0, kh)
    if short or layout.tight or not whole or not layout.linear or any(op.pad) or op.dilation != (1, 1):
        return op, site
    tall = Layout(kh * kw, 1, layout.channels, layout.pixel, layout.pixel)
    weight = op.weight.reshape(out, kh * kw, 1, depth)
    return replace(op, weight=weight), replace(site, source=View(view.name, tall, view.base, 0, kh * kw))


def as_rectangle(op: Pool, site: Site, config: Config) -> tuple[Pool, Site]:
    """Return an average over its whole map as one over the same pixels in shorter rows, when a row is too long."""
    view, layout, (kh, kw) = site.source, site.source.layout, op.kernel
    longest = min(config.amem_words, config.wmem_words * Derived(config).vectors_per_word)
    whole = op.kernel == layout.size and (view.first, view.last) == (0, kh) and not any(op.pad)
    if op.kind != "average" or kw <= longest or not whole or not layout.linear:
        return op, site
    width = max(n for n in range(1, longest + 1) if kh * kw % n == 0)
    height = kh * kw // width
    shorter = Layout(height, width, layout.channels, layout.pixel, width * layout.pixel)
    source = View(view.name, shorter, view.base, 0, height)
    return replace(op, kernel=(height, width)), replace(site, source=source)


def reads_pads(op: Conv, site: Site, config: Config) -> list[bool]:
    """Return whether not to read pad channels, or also to read them, with weights of zero, may be best.

    Where those are skipped, a kernel row is then one segment instead of one a tap, so that a lane looks at fewer
    windows. Windows count where a tap's channels in its last word have less than one effectual position.
    """
    if site.source.layout.tight:
        return [False]
    _, kh, kw, depth = op.weight.shape
    rest = depth % Derived(config).word
    few = rest * float((op.weight != 0).mean()) * (site.density.values if config.skip == "both" else 1) < 1
    return [False, True] if config.skip in ("weight", "both") and op.groups == 1 and kh * kw > 1 and rest and few else [
        False]  # fmt: skip


def conv_works(op: Conv, site: Site, mode: Mode, config: Config, *, pads: bool = False) -> list[Work]:
    """Lower a convolution; a grouped one becomes one `Work` per run of output vectors that read the same channels.

    With ``pads`` the pad channels are read too, with weights of zero.
    """
    d = Derived(config)
    out, kh, kw, per_group = op.weight.shape
    requant = Requant(
        np.broadcast_to(op.requant.multiplier, out),
        np.broadcast_to(op.requant.shift, out),
        op.requant.zero_point,
        op.requant.qmin,
        op.requant.qmax,
        op.requant.rounding,
    )
    # Every tap of a kernel row takes a segment when the channels do not fill their words; where the table is too short
    # for that, the pad channels are read too, with weights of zero.
    unit = d.word if kw > config.segments // 2 or pads else 1
    total = -(-per_group * op.groups // unit) * unit
    weight = op.weight if op.groups > 1 else np.pad(op.weight, ((0, 0), (0, 0), (0, 0), (0, total - per_group)))
    base = Work(
        site.layer,
        mode,
        site.source,
        site.result,
        site.rows,
        (kh, kw),
        op.stride,
        op.dilation,
        (op.pad[0], op.pad[2]),
        site.in_zero,
        0,
        requant,
        op.bias.astype(np.int64),
        range(0, total),
        range(0, out),
        _dense(weight, 0, mode, config.vector, d.word),
        density=site.density,
        weight_zero=zero_point(op.weight),
        alphabet=np.unique(op.weight),
        nonzero=float((op.weight != 0).mean()),
        form=site.form,
    )
    if op.groups == 1:
        return [base]
    if mode is Mode.DEPTHWISE:
        return [replace(base, weights=_depthwise(op.weight[..., 0], config.vector))]
    block = d.word if mode is Mode.PIXEL else config.vector
    group_out = out // op.groups
    spans: list[tuple[range, range]] = []
    for o in range(0, out, block):
        last = min(o + block, out) - 1
        low = o // group_out * per_group // d.word * d.word
        channels = range(low, -(-(last // group_out + 1) * per_group // unit) * unit)
        if spans and spans[-1][1] == channels:
            spans[-1] = (range(spans[-1][0].start, last + 1), channels)
        else:
            spans.append((range(o, last + 1), channels))
    works = []
    for outputs, channels in spans:
        dense = np.zeros((len(outputs), kh, kw, len(channels)), op.weight.dtype)
        for i, o in enumerate(outputs):
            at = o // group_out * per_group - channels.start
            dense[i, :, :, at : at + per_group] = op.weight[o]
        works.append(
            replace(
                base,
                outputs=outputs,
                channels=channels,
                requant=_slice(requant, outputs),
                bias=base.bias[outputs.start : outputs.stop],
                weights=_dense(dense, channels.start, mode, config.vector, d.word),
                dedupe={},
            )
        )
    return works


def _borders(size: int, out: int, kernel: int, stride: int, pad: int) -> Iterator[tuple[range, int]]:
    """Yield runs of outputs whose window covers the same number of inputs, with that number."""
    start, last = 0, -1
    for o in range(out + 1):
        n = -1 if o == out else min(o * stride - pad + kernel, size) - max(o * stride - pad, 0)
        if n != last and o:
            yield range(start, o), last
            start = o
        last = n


def pool_works(op: Pool, site: Site, config: Config) -> list[Work]:
    """Lower pooling to depthwise work with weights of one; an average gets one `Work` per region of equal count."""
    src, dst = site.source.layout, site.result.layout
    fill, mode = 0, Mode.DEPTHWISE
    channels = src.channels
    one = Requant(np.array([1 << 30]), np.array([1]), site.out_zero, op.qmin, op.qmax, "half_away")
    base = Work(
        site.layer,
        mode,
        site.source,
        site.result,
        site.rows,
        op.kernel,
        op.stride,
        (1, 1),
        (op.pad[0], op.pad[2]),
        site.in_zero,
        fill,
        one,
        np.zeros(1, np.int64),
        range(0, channels),
        range(0, channels),
        lambda first, count, chunk: np.ones((count, chunk.rows * op.kernel[1], config.vector), np.int8),
        scalar=True,
        density=site.density,
    )
    if op.kind == "max":
        # q - zp of padding must lose against every value.
        return [replace(base, maximum=True, fill=-(1 << config.act_bits))]
    if op.requant is not None:
        return [replace(base, requant=op.requant)]
    works = []
    top, bottom, left, right = op.counted
    down = _borders(src.height + top + bottom, dst.height, op.kernel[0], op.stride[0], op.pad[0] - top)
    across = list(_borders(src.width + left + right, dst.width, op.kernel[1], op.stride[1], op.pad[2] - left))
    for ys, ny in down:
        rows = range(max(ys.start, site.rows.start), min(ys.stop, site.rows.stop))
        for xs, nx in across if rows else ():
            bias, requant = _division(op, ny * nx, site.in_zero)
            works.append(replace(base, rows=rows, columns=xs, bias=np.array([bias]), requant=requant))
    return works


def _division(op: Pool, count: int, zero_point: int) -> tuple[int, Requant]:
    """Return what is added to the sum of ``q - zero_point`` of a window with divisor ``count``, and what follows."""
    if op.by_count is not None:
        return 0, op.by_count[count]
    multiplier, shift = average_requant(count)
    requant = Requant(np.array([multiplier]), np.array([shift]), 0, op.qmin, op.qmax, "half_away")
    return count * zero_point, requant


def concat_works(site: Site, offset: int, config: Config) -> list[Work]:
    """Copy a map to channels ``offset`` .. of the result by a 1 x 1 convolution with the identity (offset not a
    multiple of P)."""
    d, p = Derived(config), config.vector
    n, shift = site.source.layout.channels, offset % p
    outputs = range(offset - shift, offset + n)
    weight = np.zeros((len(outputs), 1, 1, n), np.int8)
    weight[np.arange(shift, shift + n), 0, 0, np.arange(n)] = 1
    requant = Requant(np.full(len(outputs), 1 << 30), np.full(len(outputs), 1), site.out_zero, rounding="half_away")
    works = []
    for part, mask in ((range(0, min(p, len(outputs))), (1 << p) - (1 << shift)), (range(p, len(outputs)), None)):
        if len(part):
            works.append(
                Work(
                    site.layer,
                    Mode.CHANNEL,
                    site.source,
                    site.result,
                    site.rows,
                    (1, 1),
                    (1, 1),
                    (1, 1),
                    (0, 0),
                    site.in_zero,
                    0,
                    _slice(requant, part),
                    np.zeros(len(part), np.int64),
                    range(0, n),
                    range(outputs.start + part.start, outputs.start + part.stop),
                    _dense(weight[part.start : part.stop], 0, Mode.CHANNEL, p, d.word),
                    mask=mask,
                    alphabet=np.arange(2, dtype=np.int8),
                    nonzero=1 / n,
                )
            )
    return works


def single_row(work: Work) -> Work:
    """Return the same 1 x 1 convolution over the map seen as one row, when that is possible (more even tiles)."""
    whole = work.rows == range(0, work.result.layout.height) and work.columns is None
    if (
        work.kernel == (1, 1)
        and work.stride == (1, 1)
        and work.pad == (0, 0)
        and whole
        and (
            work.source.layout.linear
            and work.result.layout.linear
            and work.source.layout.height > 1
            and work.source.layout.height == work.result.layout.height
            and work.source.layout.width == work.result.layout.width
            and work.source.first == 0
            and work.source.last == work.source.layout.height
        )
    ):
        return replace(work, source=work.source.flat(), result=work.result.flat(), rows=range(0, 1))
    return work
