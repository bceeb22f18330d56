"""Random changes of images that leave their class alone."""

from __future__ import annotations

import torch

from hwgen.compress.training.layers import padded


def augmented(x: torch.Tensor, shift: int, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """Images (N, H, W, C), each moved by up to ``shift`` pixels both ways, zeros behind it, and mirrored or not."""
    count, height, width, _ = x.shape
    if not shift and not flip:
        return x
    moved = torch.randint(0, 2 * shift + 1, (2, count), generator=generator)
    rows = moved[0][:, None] + torch.arange(height)
    columns = moved[1][:, None] + torch.arange(width)
    if flip:
        mirrored = torch.rand(count, generator=generator) < 0.5
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    return padded(x, (shift,) * 4)[torch.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
