"""Fake quantisation that gradients pass through: held scales (STE) or learned ones (LSQ)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hwgen.compress.quantizer import Quantizer


class _Fake(torch.autograd.Function):
    """Round to the nearest integer step within bounds.

    The gradient with respect to the values is that of the clip, as if nothing were rounded (straight-through
    estimator, Bengio 2013); that with respect to the scale is LSQ's (Esser 2020): ``round(r) - r`` inside, the bound
    outside, where r is the value in steps.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, low: Any, high: Any, factor: float) -> torch.Tensor:
        steps = x / scale
        y = torch.clamp(steps, low, high)
        inside = y == steps
        y = y.round_().mul_(scale)
        ctx.factor = factor
        ctx.save_for_backward(inside, *((x, y, scale) if ctx.needs_input_grad[1] else ()))
        return y

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        inside, *learning = ctx.saved_tensors
        of_scale = None
        if learning:
            x, y, scale = learning
            slope = x * inside
            torch.sub(y, slope, out=slope)
            of_scale = slope.mul_(grad).sum_to_size(scale.shape) / scale * ctx.factor
        return grad * inside, of_scale, None, None, None


class _Sign(torch.autograd.Function):
    """One bit: the sign times the scale; gradients pass where a value is no larger than the scale (XNOR-Net)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, factor: float) -> torch.Tensor:
        sign = torch.where(x < 0, -1.0, 1.0)
        ctx.save_for_backward(x.abs() <= scale, sign, scale)
        ctx.factor = factor
        return sign * scale

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        inside, sign, scale = ctx.saved_tensors
        of_scale = (grad * sign).sum_to_size(scale.shape) * ctx.factor if ctx.needs_input_grad[1] else None
        return grad * inside, of_scale, None


class Fake(nn.Module):
    """What a `Quantizer` makes of a tensor, with gradients.

    Parameters
    ----------
    quantizer : Quantizer
    learned : bool
        Learn the scale. Its logarithm is the parameter (Jain 2020): it stays positive, and a step of the optimiser
        changes scales of any size by the same share. Zero points are held.
    values : int
        How many values share a scale; LSQ divides the gradient by the root of that times the levels.
    """

    start: torch.Tensor

    def __init__(self, quantizer: Quantizer, *, learned: bool, values: int) -> None:
        super().__init__()
        self.quantizer = quantizer
        self.register_buffer("start", torch.from_numpy(np.array(quantizer.scale, np.float32)), persistent=False)
        zero = torch.from_numpy(np.array(quantizer.zero_point, np.float32))
        bounds = quantizer.qmin - zero, quantizer.qmax - zero
        # Plain numbers, where they are enough, are several times faster to clamp by.
        self.bounds = tuple(float(bound) if bound.numel() == 1 else bound for bound in bounds)
        self.growth = nn.Parameter(torch.zeros_like(self.start)) if learned else None
        self.factor = 1 / (max(values, 1) * max(quantizer.qmax, 1)) ** 0.5

    def scale(self) -> torch.Tensor:
        """The scale as it is now."""
        return self.start if self.growth is None else self.start * torch.exp(self.growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values that the quantizer can represent."""
        quantizer, form, x = self.quantizer, x.shape, x.float()
        if quantizer.group:
            x = x.reshape(*form[:-1], -1, quantizer.group)
        if quantizer.narrow and quantizer.bits == 1:
            y: torch.Tensor = _Sign.apply(x, self.scale(), self.factor)  # type: ignore[no-untyped-call]
        else:
            y = _Fake.apply(x, self.scale(), *self.bounds, self.factor)  # type: ignore[no-untyped-call]
        return y.reshape(form) if quantizer.group else y

    @property
    def rectifies(self) -> bool:
        """Whether its smallest value is zero, so that a ReLU before it changes nothing."""
        return bool(self.bounds[0] == 0.0)

    def trained(self) -> Quantizer:
        """The quantizer with the scale as it is now."""
        return replace(self.quantizer, scale=self.scale().detach().numpy().copy())
