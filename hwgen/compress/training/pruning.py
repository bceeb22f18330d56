"""Pruning while training: masks that follow a schedule."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hwgen.compress.ratios import lamp_scores, least_scores
from hwgen.compress.training.layers import Convolution
from hwgen.compress.training.network import Network
from hwgen.compress.training.settings import Settings
from hwgen.errors import HwgenError


class Pruner:
    """Zeroes the weights of least magnitude, more and more of them.

    Without ``regrow`` what is zero stays zero. With it (dynamic network surgery, Guo 2016) masked weights keep their
    value and go on learning, and each update chooses anew, up to the share ``freeze`` of the training.

    Raises
    ------
    HwgenError
        A layer that is not there, or whose weights are a codebook's.
    """

    def __init__(self, network: Network, settings: Settings) -> None:
        self.settings = settings
        self.settled = False
        layers = {part.name: part for part in network.convolutions}
        for name in settings.layer_sparsity:
            network.graph.conv(name)
        self.layers = [layers[name] for name in settings.layer_sparsity] or list(layers.values())
        for layer in self.layers:
            if layer.weight.index is not None:
                raise HwgenError("weights of a codebook cannot be pruned", where=layer.name,
                                 remedy="prune before share")
            mask = layer.weight.mask
            layer.weight.mask = torch.ones(layer.weight.form) if mask is None else mask
        self.first = [1 - float(_mask(layer).mean()) for layer in self.layers]
        self.sizes = np.array([layer.op.weight.size for layer in self.layers])

    def update(self, done: float) -> None:
        """Renew the masks after a share of the training."""
        if self.settled:
            return
        self.settled = done >= (self.settings.freeze if self.settings.regrow else self.settings.ramp)
        magnitudes = []
        for layer in self.layers:
            layer.weight.regrow = self.settings.regrow and not self.settled
            held = layer.weight.values.detach()
            magnitudes.append((held if layer.weight.regrow else held * _mask(layer)).numpy().reshape(-1))
        for layer, values, count in zip(self.layers, magnitudes, self._removed(magnitudes, done), strict=True):
            keep = np.ones(len(values), np.float32)
            keep[np.argsort(np.abs(values), kind="stable")[: int(count)]] = 0
            _mask(layer).copy_(torch.from_numpy(keep.reshape(layer.weight.form)))

    def sparsity(self) -> float:
        """The share that is masked now."""
        return 1 - float(sum(_mask(layer).sum() for layer in self.layers)) / int(self.sizes.sum())

    def _removed(self, values: list[NDArray[np.float32]], done: float) -> NDArray[np.int64]:
        """How many weights of each layer are to be zero."""
        settings = self.settings
        if settings.layer_sparsity:
            goals = [settings.sparsity_at(done, first, max(settings.layer_sparsity[layer.name], first))
                     for layer, first in zip(self.layers, self.first, strict=True)]
            return np.rint(np.array(goals) * self.sizes).astype(np.int64)
        first = float(np.dot(self.first, self.sizes)) / int(self.sizes.sum())
        goal = settings.sparsity_at(done, first, max(settings.sparsity or 0.0, first))
        if settings.ratios == "uniform":
            return np.rint(goal * self.sizes).astype(np.int64)
        scores = [lamp_scores(part.astype(np.float64) ** 2) for part in values]
        return np.array(least_scores(scores, [1] * len(scores), round(goal * int(self.sizes.sum()))))


def _mask(layer: Convolution) -> torch.Tensor:
    mask = layer.weight.mask
    assert mask is not None
    return mask
