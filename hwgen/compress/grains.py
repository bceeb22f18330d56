"""Grains of pruning: which weights of a layer become zero together, and when a layer can have it.

A grain divides the weights of a layer, (outputs, kh, kw, inputs of a group), into units of one size. Two of them are
balanced: what is one unit depends on the magnitudes, so that every bank loses as many weights as the next one.

Mao et al., "Exploring the granularity of sparsity in convolutional neural networks", CVPRW 2017 (kernel, filter);
Zhu et al., "Sparse tensor core", MICRO 2019 (vectors); Narang et al., "Block-sparse recurrent neural networks", 2017;
Mishra et al., "Accelerating sparse deep neural networks", 2021 (N:M); Cao et al., "Efficient and effective sparse LSTM
on FPGA with bank-balanced sparsity", FPGA 2019.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.graph import FloatConv

Units = NDArray[np.int64]


class Grain(ABC):
    """What becomes zero together."""

    @property
    def ratio(self) -> float | None:
        """The sparsity, where the grain itself fixes it."""
        return None

    @abstractmethod
    def misfit(self, op: FloatConv) -> str | None:
        """The rule that a layer breaks; None when it can be pruned so."""

    @abstractmethod
    def units(self, op: FloatConv) -> Units:
        """The unit of each weight, numbered from 0, in the weights' shape; all units are of one size."""

    @abstractmethod
    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        """Whether a mask of the weights that may differ from zero is one of this grain."""


class Element(Grain):
    """Each weight alone."""

    def misfit(self, op: FloatConv) -> str | None:
        return None

    def units(self, op: FloatConv) -> Units:
        return np.arange(op.weight.size).reshape(op.weight.shape)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        return True


@dataclass(frozen=True)
class Block(Grain):
    """``outputs`` x ``inputs`` neighbouring channels at one place of the kernel."""

    outputs: int
    inputs: int

    def misfit(self, op: FloatConv) -> str | None:
        outputs, inputs = len(op.weight) // op.groups, op.weight.shape[3]
        if outputs % self.outputs:
            return f"its output channels (of a group) must be a multiple of {self.outputs}, not {outputs}"
        if inputs % self.inputs:
            return f"its input channels (of a group) must be a multiple of {self.inputs}, not {inputs}"
        return None

    def units(self, op: FloatConv) -> Units:
        out, height, width, inputs = op.weight.shape
        shape = (out // self.outputs, height, width, inputs // self.inputs)
        small = np.arange(np.prod(shape)).reshape(shape)
        return small.repeat(self.outputs, axis=0).repeat(self.inputs, axis=3)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        parts = kept.reshape(-1, self.outputs, *kept.shape[1:3], kept.shape[3] // self.inputs, self.inputs)
        return bool((parts.any(axis=(1, 5)) == parts.all(axis=(1, 5))).all())


class Kernel(Grain):
    """The whole kernel between an input and an output channel."""

    def misfit(self, op: FloatConv) -> str | None:
        return "its kernel must be larger than 1x1" if op.weight.shape[1:3] == (1, 1) else None

    def units(self, op: FloatConv) -> Units:
        out, _, _, inputs = op.weight.shape
        return np.broadcast_to(np.arange(out * inputs).reshape(out, 1, 1, inputs), op.weight.shape)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        return bool((kept.any(axis=(1, 2)) == kept.all(axis=(1, 2))).all())


class Channel(Grain):
    """All weights that read an input channel."""

    def misfit(self, op: FloatConv) -> str | None:
        inputs = op.groups * op.weight.shape[3]
        return "it must have more than one input channel" if inputs == 1 else None

    def units(self, op: FloatConv) -> Units:
        inputs = op.weight.shape[3]
        group = np.arange(len(op.weight)) // (len(op.weight) // op.groups)
        return np.broadcast_to(group.reshape(-1, 1, 1, 1) * inputs + np.arange(inputs), op.weight.shape)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        parts = kept.reshape(op.groups, -1, *kept.shape[1:])
        return bool((parts.any(axis=(1, 2, 3)) == parts.all(axis=(1, 2, 3))).all())


class Filter(Grain):
    """All weights of an output channel."""

    def misfit(self, op: FloatConv) -> str | None:
        return "it must have more than one output channel" if len(op.weight) == 1 else None

    def units(self, op: FloatConv) -> Units:
        return np.broadcast_to(np.arange(len(op.weight)).reshape(-1, 1, 1, 1), op.weight.shape)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        rows = kept.reshape(len(kept), -1)
        return bool((rows.any(axis=1) == rows.all(axis=1)).all())


@dataclass(frozen=True)
class Banks(Grain):
    """A row, all weights of an output channel in order, is cut into ``banks`` parts that keep equally many each."""

    banks: int

    def misfit(self, op: FloatConv) -> str | None:
        row = int(np.prod(op.weight.shape[1:]))
        if row % self.banks:
            return f"the weights of an output channel must be a multiple of {self.banks} banks, not {row}"
        return None if row > self.banks else f"a bank must hold more than one weight: there are {row} in all"

    def units(self, op: FloatConv) -> Units:
        """A unit is what every bank of a row loses next: its weights of one rank by magnitude."""
        parts = op.weight.reshape(len(op.weight), self.banks, -1)
        ranks = ranks_of_magnitude(parts)
        row = np.arange(len(parts)).reshape(-1, 1, 1) * parts.shape[2]
        return (row + ranks).reshape(op.weight.shape)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        counts = kept.reshape(len(kept), self.banks, -1).sum(axis=2)
        return bool((counts == counts[:, :1]).all())


@dataclass(frozen=True)
class OutOf(Grain):
    """At most ``keep`` of any ``of`` neighbouring input channels at one place of the kernel."""

    keep: int
    of: int

    @property
    def ratio(self) -> float:
        return 1 - self.keep / self.of

    def misfit(self, op: FloatConv) -> str | None:
        inputs = op.weight.shape[3]
        return f"its input channels (of a group) must be a multiple of {self.of}, not {inputs}" \
            if inputs % self.of else None

    def units(self, op: FloatConv) -> Units:
        """A unit is all weights of one rank by magnitude within their parts: so the smallest go everywhere alike."""
        return ranks_of_magnitude(op.weight.reshape(-1, self.of)).reshape(op.weight.shape)

    def holds(self, op: FloatConv, kept: NDArray[np.bool_]) -> bool:
        return bool((kept.reshape(-1, self.of).sum(axis=1) <= self.keep).all())


def ranks_of_magnitude(values: NDArray[np.floating]) -> Units:
    """The place of each value by magnitude along the last axis, 0 for the smallest, the first of equal ones."""
    order = np.argsort(np.abs(values), axis=-1, kind="stable")
    ranks = np.empty(values.shape, np.int64)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(values.shape[-1]), values.shape), axis=-1)
    return ranks
