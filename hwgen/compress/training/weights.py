"""A layer's weights while they are trained: free, with zeros held, or from a codebook; then fake-quantised."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hwgen.compress.graph import FloatArray, FloatConv
from hwgen.compress.training.fake import Fake


class Weight(nn.Module):
    """The weights of one layer, shape (outputs, kh, kw, inputs of a group).

    Parameters
    ----------
    op : FloatConv
        With ``storage`` other than plain its weights are a codebook: its entries are trained, and each gets the sum of
        its weights' gradients (Han 2016); which weight has which entry is held, and so are zeros.
    keep_zeros : bool
        Hold the zeros of other layers too.
    learned : bool
        Learn the scales of its quantizer.
    """

    index: torch.Tensor | None
    mask: torch.Tensor | None

    def __init__(self, op: FloatConv, *, keep_zeros: bool, learned: bool) -> None:
        super().__init__()
        self.form = op.weight.shape
        self.regrow = False
        index = mask = None
        if op.storage == "plain":
            values = op.weight.copy()
            if keep_zeros and not op.weight.all():
                mask = torch.from_numpy((op.weight != 0).astype(np.float32))
        else:
            values, places = np.unique(op.weight[op.weight != 0], return_inverse=True)
            full = np.zeros(op.weight.shape, np.int64)
            full[op.weight != 0] = places.reshape(-1) + 1
            index = torch.from_numpy(full.reshape(-1))
        self.values = nn.Parameter(torch.from_numpy(values))
        self.register_buffer("index", index)
        self.register_buffer("mask", mask)
        sharing = op.weight.size // max(op.quantizer.scale.size, 1) if op.quantizer is not None else 0
        self.fake = Fake(op.quantizer, learned=learned, values=sharing) if op.quantizer is not None else None

    def dense(self) -> torch.Tensor:
        """The weights before they are quantised."""
        if self.index is not None:
            entries = torch.cat([self.values.new_zeros(1), self.values])
            return entries.index_select(0, self.index).reshape(self.form)
        if self.mask is None:
            return self.values
        if self.regrow:
            # The value of a masked weight, the gradient of a free one: that may bring it back (Guo 2016).
            return self.values + (self.values * self.mask - self.values).detach()
        return self.values * self.mask

    def forward(self) -> torch.Tensor:
        """The weights that the layer multiplies by."""
        dense = self.dense()
        return dense if self.fake is None else self.fake(dense)

    def trained(self) -> FloatArray:
        """The weights before they are quantised, for a graph."""
        with torch.no_grad():
            return self.dense().numpy().astype(np.float32, copy=True) + np.float32(0)
