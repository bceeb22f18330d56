"""The training loop: epochs of shuffled batches, checkpoints between them, progress, the same bits every time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatGraph
from hwgen.compress.training.augment import augmented
from hwgen.compress.training.checkpoint import Checkpoint, fingerprint
from hwgen.compress.training.network import Network
from hwgen.compress.training.pruning import Pruner
from hwgen.compress.training.settings import Settings
from hwgen.errors import HwgenError

Curve = list[dict[str, float]]
_MOMENTUM = 0.9
_SAY_SECONDS = 2.0


def train(graph: FloatGraph, teacher: FloatGraph, data: Data, settings: Settings, *, checkpoint: Path | None = None,
          say: Callable[[str], None] = lambda text: None) -> tuple[FloatGraph, Curve]:
    """Train a network.

    Parameters
    ----------
    graph : FloatGraph
    teacher : FloatGraph
        Distilled from when the settings ask for it.
    data : Data
        Labels may be absent when distillation is all.
    settings : Settings
    checkpoint : Path, optional
        Written after every epoch; where it exists the run goes on from it, to the same result.
    say : callable
        Told how it goes.

    Returns
    -------
    graph : FloatGraph
    curve : list of dict
        Epoch, learning rate, mean loss, accuracy on the (changed) training images, sparsity where there is pruning.

    Raises
    ------
    HwgenError
        When it diverges, or the checkpoint cannot be used.
    """
    with _torch_settings(settings.threads):
        run = _Run(graph, teacher if settings.distill > 0 else None, data, settings, checkpoint)
        while run.epoch < settings.epochs:
            run.train_epoch(say)
        return run.result(), run.curve


class _Run:
    """The state of one run."""

    def __init__(self, graph: FloatGraph, teacher: FloatGraph | None, data: Data, settings: Settings,
                 checkpoint: Path | None) -> None:
        self.settings = settings
        self.network = Network(graph, keep_zeros=settings.keep_zeros, learned=settings.scales == "learned")
        self.pruner = Pruner(self.network, settings) if settings.prunes else None
        self.optimizer = _optimizer(self.network, settings)
        self.generator = torch.Generator().manual_seed(data.seed)
        self.x = torch.from_numpy(np.ascontiguousarray(data.x))
        self.y = None if data.y is None else torch.from_numpy(data.y)
        self.teacher = None if teacher is None else Network(teacher).eval()
        self.epoch = 0
        self.curve: Curve = []
        self.file = Checkpoint(checkpoint, fingerprint(graph, teacher, data, settings) if checkpoint else "")
        if (found := self.file.load()) is not None:
            self.network.load_state_dict(found["network"])
            self.optimizer.load_state_dict(found["optimizer"])
            self.generator.set_state(found["random"])
            self.epoch, self.curve = found["epoch"], found["curve"]
        self.began, self.began_at = time.monotonic(), self.epoch

    def train_epoch(self, say: Callable[[str], None]) -> None:
        """One pass over the data, then a checkpoint."""
        settings = self.settings
        self.network.train()
        order = torch.randperm(len(self.x), generator=self.generator)
        # Batches differ by one at most: a last one of a single image would be no batch for normalisation.
        batches = torch.tensor_split(order, -(-len(order) // settings.batch))
        every = max(len(batches) // settings.updates, 1)
        loss_sum = correct = 0.0
        seen, said = 0, time.monotonic()
        for number, pick in enumerate(batches):
            done = (self.epoch + number / len(batches)) / settings.epochs
            if self.pruner is not None and number % every == 0:
                self.pruner.update(done)
            loss, right = self._step(pick, done)
            loss_sum, correct, seen = loss_sum + loss * len(pick), correct + right, seen + len(pick)
            if time.monotonic() - said > _SAY_SECONDS and number + 1 < len(batches):
                said = time.monotonic()
                say(self._text(number + 1, len(batches), loss_sum / seen, correct / seen))
        if not np.isfinite(loss_sum):
            raise HwgenError(f"the loss must stay finite, but does not in epoch {self.epoch + 1}",
                             remedy="lower the rate")
        self.epoch += 1
        entry = {"epoch": self.epoch, "rate": settings.rate_at((self.epoch - 1) / settings.epochs),
                 "loss": loss_sum / seen, "accuracy": correct / seen}
        if self.pruner is not None:
            if self.epoch == settings.epochs:
                self.pruner.update(1.0)
            entry["sparsity"] = self.pruner.sparsity()
        self.curve.append(entry)
        self.file.save({"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(),
                        "random": self.generator.get_state(), "epoch": self.epoch, "curve": self.curve})
        say(self._text(len(batches), len(batches), loss_sum / seen, correct / seen))

    def _step(self, pick: torch.Tensor, done: float) -> tuple[float, int]:
        """Loss of one batch, how many are right, and a step of the optimiser."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.rate_at(done) * group["share"]
        x = augmented(self.x[pick], settings.shift, settings.flip, self.generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.bfloat16):
            scores = self.network(x).float()
            with torch.no_grad():
                taught = None if self.teacher is None else self.teacher(x).float()
        loss = scores.new_zeros(())
        right = 0
        if self.y is not None:
            y = self.y[pick]
            right = int((scores.detach().argmax(1) == y).sum())
            if settings.distill < 1:
                loss = loss + (1 - settings.distill) * functional.cross_entropy(scores, y)
        if taught is not None:
            wanted = functional.log_softmax(taught / settings.temperature, 1)
            given = functional.log_softmax(scores / settings.temperature, 1)
            apart = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
            loss = loss + settings.distill * settings.temperature**2 * apart
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach()), right

    def _text(self, batch: int, batches: int, loss: float, accuracy: float) -> str:
        part = self.epoch + batch / batches if batch < batches else self.epoch
        spent, epochs = time.monotonic() - self.began, self.settings.epochs
        left = spent / max(part - self.began_at, 1e-9) * (epochs - part)
        right = "" if self.y is None else f", accuracy {100 * accuracy:.2f} %"
        sparse = "" if self.pruner is None else f", sparsity {100 * self.pruner.sparsity():.2f} %"
        return f"epoch {part:.2f} of {epochs}: loss {loss:.4f}{right}{sparse}, {left:.0f} s left"

    def result(self) -> FloatGraph:
        """The network as it is now."""
        for part in self.network.convolutions:
            part.weight.regrow = False
        return self.network.eval().to_graph()


def _optimizer(network: Network, settings: Settings) -> torch.optim.Optimizer:
    """The optimiser. Each group has its ``share`` of the learning rate.

    The rate is meant for weights of the usual size (He 2015, deviation sqrt(2 / inputs)). A layer with smaller ones,
    as the first is where inputs are pixels up to 255, gets a rate smaller by as much (as in You 2017).
    """
    groups: list[dict[str, Any]] = []
    others = {id(p): p for p in network.parameters()}
    for part in network.convolutions:
        used = part.op.weight[part.op.weight != 0].astype(np.float64)
        size = float(np.sqrt(np.mean(used**2))) if used.size else 1.0
        usual = float(2 / np.prod(part.op.weight.shape[1:])) ** 0.5
        # Decay would pull a codebook's entries, which are few and all needed, to zero.
        decay = settings.weight_decay if part.weight.index is None else 0.0
        groups.append({"params": [part.weight.values], "weight_decay": decay, "share": min(size / usual, 1.0)})
        del others[id(part.weight.values)]
    if others:
        groups.append({"params": list(others.values()), "weight_decay": 0.0, "share": 1.0})
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.rate, momentum=_MOMENTUM, nesterov=True)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.rate, fused=True)
    return torch.optim.Adam(groups, lr=settings.rate, fused=True)


@contextlib.contextmanager
def _torch_settings(threads: int) -> Iterator[None]:
    """Deterministic algorithms, so many threads, no denormal numbers: what a mask silences fades into them, slowly."""
    before, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fills = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # nothing reads it; filling takes a tenth of a step
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        memory.fill_uninitialized_memory = fills
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(before)
