"""What a skip scheme sees of a layer: which weights and which activations are zero, and how they meet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.convolution import output_size
from hwgen.model.graph import Conv

Mask = NDArray[np.bool_]

EXACT_MACS = 1 << 26
"""Multiplications of a layer above which only some of its pixels (and input channels) are looked at."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution of one image; a fully connected layer is one whose kernel covers its map.

    Parameters
    ----------
    weights : bool array, shape (out_channels, kh, kw, in_channels // groups)
        True where a weight is not zero.
    inputs : bool array, shape (height, width, in_channels)
        True where an activation, less its zero point, is not zero.
    stride, dilation : (int, int)
    pad : (int, int, int, int)
        Top, bottom, left, right; padding is zero.
    groups : int
    pixels : int array, optional
        Output pixels that are looked at, as y * width + x; all of them by default.
    channels : int array, optional
        Input channels that input-stationary schemes look at; all of them by default.
    """

    weights: Mask
    inputs: Mask
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    pixels: NDArray[np.int64] | None = None
    channels: NDArray[np.int64] | None = None

    @property
    def output_shape(self) -> tuple[int, int]:
        """Height and width of the output."""
        (height, width, _), (_, kh, kw, _), (top, bottom, left, right) = self.inputs.shape, self.weights.shape, self.pad
        return (
            output_size(height, top + bottom, kh, self.dilation[0], self.stride[0]),
            output_size(width, left + right, kw, self.dilation[1], self.stride[1]),
        )

    @property
    def positions(self) -> int:
        """Products of one output (K)."""
        return int(np.prod(self.weights.shape[1:]))

    @property
    def macs(self) -> int:
        """Products of the layer, zeros and padding included."""
        height, width = self.output_shape
        return height * width * self.weights.size

    @property
    def sampled(self) -> bool:
        """True when not all of the layer is looked at."""
        return self.pixels is not None

    @property
    def scale(self) -> float:
        """Output pixels for each one that is looked at."""
        return 1.0 if self.pixels is None else float(np.prod(self.output_shape)) / len(self.pixels)

    @cached_property
    def windows(self) -> Mask:
        """Activations of the output pixels looked at, shape (pixels, groups, K); K runs over kh, kw, channels."""
        top, bottom, left, right = self.pad
        padded = np.pad(self.inputs, ((top, bottom), (left, right), (0, 0)))
        (height, width), (_, kh, kw, depth) = self.output_shape, self.weights.shape
        sy, sx, sc = padded.strides
        every = np.lib.stride_tricks.as_strided(
            padded,
            (height, width, kh, kw, self.groups, depth),
            (sy * self.stride[0], sx * self.stride[1], sy * self.dilation[0], sx * self.dilation[1], sc * depth, sc),
            writeable=False,
        )
        y, x = np.divmod(np.arange(height * width) if self.pixels is None else self.pixels, width)
        return every[y, x].transpose(0, 3, 1, 2, 4).reshape(len(y), self.groups, kh * kw * depth)

    @cached_property
    def filters(self) -> Mask:
        """Weights by group, shape (groups, out_channels // groups, K)."""
        return self.weights.reshape(self.groups, len(self.weights) // self.groups, self.positions)

    @cached_property
    def matches(self) -> NDArray[np.int64]:
        """Effectual products of every output looked at, shape (pixels, groups, out_channels // groups)."""
        return matches(self.windows, self.filters)

    @property
    def effectual(self) -> float:
        """Products of the layer whose factors are both not zero."""
        return float(self.matches.sum()) * self.scale

    @property
    def weight_density(self) -> float:
        """Share of the weights that are not zero."""
        return float(self.weights.mean())

    @property
    def activation_density(self) -> float:
        """Share of the activations in all windows that are not zero (padding is)."""
        return float(self.windows.mean())

    def full(self) -> Layer:
        """Return the layer without any zero but its padding."""
        return replace(self, weights=np.ones_like(self.weights), inputs=np.ones_like(self.inputs))

    def forms(self) -> Iterator[Layer]:
        """Yield the layer group after group, and a grouped one also as one filter matrix, zero between groups."""
        yield self
        if self.groups > 1:
            out, kh, kw, depth = self.weights.shape
            wide = np.zeros((out, kh, kw, self.groups, depth), np.bool_)
            group = np.repeat(np.arange(self.groups), out // self.groups)
            wide[np.arange(out), :, :, group] = self.weights
            yield replace(self, weights=wide.reshape(out, kh, kw, self.groups * depth), groups=1)

    def sample(self, seed: int, macs: int = EXACT_MACS) -> Layer:
        """Return the layer, looking only at so much of it as has about ``macs`` products, at random."""
        if self.macs <= macs:
            return self
        rng, share, count = np.random.default_rng(seed), macs / self.macs, int(np.prod(self.output_shape))
        channels = self.inputs.shape[2]

        def some(size: int, least: int) -> NDArray[np.int64]:
            return np.sort(rng.choice(size, min(size, max(least, round(size * share))), replace=False))

        return replace(self, pixels=some(count, 64), channels=some(channels, 4))


def matches(windows: Mask, filters: Mask) -> NDArray[np.int64]:
    """Count common ones: (pixels, groups, K) with (groups, filters, K) to (pixels, groups, filters)."""
    # Floats, for the matrix product of BLAS: sums of ones are exact below 2**24.
    counts = np.matmul(windows.transpose(1, 0, 2).astype(np.float32), filters.transpose(0, 2, 1).astype(np.float32))
    return counts.transpose(1, 0, 2).astype(np.int64)


def split(values: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    """Cut the last axis into pieces of ``size``, the last one filled up with zeros: (..., n) to (..., pieces, size)."""
    short = -values.shape[-1] % size
    if short:
        values = np.concatenate([values, np.zeros((*values.shape[:-1], short), values.dtype)], axis=-1)
    return values.reshape(*values.shape[:-1], -1, size)


def layer_of(op: Conv, x: NDArray[np.int8], zero_point: int) -> Layer:
    """Return the layer of an operator and its input map, int8, shape (height, width, channels)."""
    return Layer(op.weight != 0, x != zero_point, op.stride, op.dilation, op.pad, op.groups)
