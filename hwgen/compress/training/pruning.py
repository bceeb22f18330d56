"""Pruning while training: masks that follow a schedule."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hwgen.compress.grains import Block, Element, Grain
from hwgen.compress.ratios import lamp_scores, least_scores
from hwgen.compress.training.layers import Convolution
from hwgen.compress.training.network import Network
from hwgen.compress.training.settings import Settings
from hwgen.errors import HwgenError


class Pruner:
    """Zeroes the weights, or vectors of weights, of least magnitude, more and more of them.

    Without ``regrow`` what is zero stays zero. With it (dynamic network surgery, Guo 2016) masked weights keep their
    value and go on learning, and each update chooses anew, up to the share ``freeze`` of the training.

    Raises
    ------
    HwgenError
        A layer that is not there, or whose weights are a codebook's, or that vectors do not fit.
    """

    def __init__(self, network: Network, settings: Settings) -> None:
        self.settings = settings
        self.settled = False
        layers = {part.name: part for part in network.convolutions}
        for name in settings.layer_sparsity:
            network.graph.conv(name)
        grain: Grain = Block(settings.vector, 1) if settings.vector > 1 else Element()
        self.layers = [layers[name] for name in settings.layer_sparsity] or [
            layer for layer in layers.values() if grain.misfit(layer.op) is None]
        if not self.layers:
            raise HwgenError(f"vectors of {settings.vector} output channels fit no layer", where=network.graph.name)
        for layer in self.layers:
            if (rule := grain.misfit(layer.op)) is not None:
                raise HwgenError(f"vectors do not fit: {rule}", where=layer.name)
            if layer.weight.index is not None:
                raise HwgenError("weights of a codebook cannot be pruned", where=layer.name,
                                 remedy="prune before share")
            mask = layer.weight.mask
            layer.weight.mask = torch.ones(layer.weight.form) if mask is None else mask
        self.first = [1 - float(_mask(layer).mean()) for layer in self.layers]
        self.units = [grain.units(layer.op) for layer in self.layers]
        self.sizes = np.array([int(units.max()) + 1 for units in self.units])

    def update(self, done: float) -> None:
        """Renew the masks after a share of the training."""
        if self.settled:
            return
        self.settled = done >= (self.settings.freeze if self.settings.regrow else self.settings.ramp)
        scores = []
        for layer, units in zip(self.layers, self.units, strict=True):
            layer.weight.regrow = self.settings.regrow and not self.settled
            held = layer.weight.values.detach()
            values = (held if layer.weight.regrow else held * _mask(layer)).double().numpy()
            scores.append(np.bincount(units.reshape(-1), np.square(values).reshape(-1)).astype(np.float64))
        for i, count in enumerate(self._removed(scores, done)):
            keep = np.ones(len(scores[i]), np.float32)
            keep[np.argsort(scores[i], kind="stable")[: int(count)]] = 0
            _mask(self.layers[i]).copy_(torch.from_numpy(keep[self.units[i]]))

    def sparsity(self) -> float:
        """The share that is masked now."""
        return 1 - float(sum(_mask(layer).sum() for layer in self.layers)) / sum(u.size for u in self.units)

    def _removed(self, squares: list[NDArray[np.float64]], done: float) -> NDArray[np.int64]:
        """How many weights, or vectors, of each layer are to be zero; their squares are given."""
        settings = self.settings
        if settings.layer_sparsity:
            goals = [settings.sparsity_at(done, first, max(settings.layer_sparsity[layer.name], first))
                     for layer, first in zip(self.layers, self.first, strict=True)]
            return np.rint(np.array(goals) * self.sizes).astype(np.int64)
        first = float(np.dot(self.first, self.sizes)) / int(self.sizes.sum())
        goal = settings.sparsity_at(done, first, max(settings.sparsity or 0.0, first))
        if settings.ratios == "uniform":
            return np.rint(goal * self.sizes).astype(np.int64)
        scores = [lamp_scores(part) for part in squares]
        return np.array(least_scores(scores, [1] * len(scores), round(goal * int(self.sizes.sum()))))


def _mask(layer: Convolution) -> torch.Tensor:
    mask = layer.weight.mask
    assert mask is not None
    return mask
