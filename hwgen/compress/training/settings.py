"""How a network is trained: plain values, without PyTorch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Parameters of a training run; `hwgen.compress.techniques.finetune` says what each means."""

    epochs: int = 10
    rate: float = 1e-3
    warmup: float = 0.0
    batch: int = 128
    optimizer: str = "adam"
    weight_decay: float = 0.0
    shift: int = 0
    flip: bool = False
    distill: float = 0.0
    temperature: float = 4.0
    keep_zeros: bool = True
    scales: str = "held"
    sparsity: float | None = None
    layer_sparsity: dict[str, float] = field(default_factory=dict)
    ratios: str = "lamp"
    schedule: str = "cubic"
    rounds: int = 5
    ramp: float = 0.5
    freeze: float = 0.75
    updates: int = 8
    vector: int = 1
    regrow: bool = False
    bfloat16: bool = False
    threads: int = 1

    @property
    def prunes(self) -> bool:
        """Whether weights are pruned while training."""
        return self.sparsity is not None or bool(self.layer_sparsity)

    def rate_at(self, done: float) -> float:
        """The learning rate after a share of the training: half a cosine down to zero (Loshchilov 2017).

        It rises from zero during the first ``warmup`` of it (Goyal 2017).
        """
        rising = min(done / self.warmup, 1.0) if self.warmup > 0 else 1.0
        return self.rate * rising * (1 + math.cos(math.pi * done)) / 2

    def sparsity_at(self, done: float, first: float, last: float) -> float:
        """Which share of the weights is to be zero after a share of the training.

        ``cubic`` rises fast, then ever slower (Zhu and Gupta 2017). ``iterative`` takes the same share of those left in
        each of ``rounds`` stages, and trains between them (Han 2015). Both are at ``last`` from ``ramp`` on.
        """
        part = min(done / self.ramp, 1.0) if self.ramp > 0 else 1.0
        if self.schedule == "cubic":
            return last + (first - last) * (1 - part) ** 3
        stage = min(math.floor(part * self.rounds) + 1, self.rounds)
        if last >= 1:
            return last if stage == self.rounds else first
        return 1 - (1 - first) * ((1 - last) / (1 - first)) ** (stage / self.rounds) if first < 1 else first
