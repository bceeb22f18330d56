"""Checkpoints of a training run: complete or absent, and of no other run."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwgen.compress.data import Data
from hwgen.compress.graph import BatchNorm, FloatGraph
from hwgen.compress.training.settings import Settings
from hwgen.errors import HwgenError


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path : Path or None
        None: nothing is kept.
    identity : str
        Of the run, see `fingerprint`.
    """

    def __init__(self, path: Path | None, identity: str) -> None:
        self.path, self.identity = path, identity

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None at the start.

        Raises
        ------
        HwgenError
            When the file cannot be read, or is of another run.
        """
        if self.path is None or not self.path.exists():
            return None
        try:
            found: dict[str, Any] = torch.load(self.path, weights_only=True)
            identity = found["identity"]
        except Exception as error:  # of a damaged file PyTorch raises whatever its parts raise
            raise HwgenError("the checkpoint cannot be read", where=str(self.path), remedy="delete it") from error
        if identity != self.identity:
            raise HwgenError("the checkpoint is of another network, recipe, seed or data", where=str(self.path),
                             remedy="give another folder, or delete it")
        return found

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file in one go."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, **state}, buffer)
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as out:
                out.write(buffer.getbuffer())
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise HwgenError(f"the checkpoint cannot be written: {error.strerror}", where=str(self.path)) from error
        finally:
            temporary.unlink(missing_ok=True)


def fingerprint(graph: FloatGraph, teacher: FloatGraph | None, data: Data, settings: Settings) -> str:
    """What decides the result of a run: networks, data, seed and settings."""
    found = hashlib.sha256(json.dumps([asdict(settings), data.seed, torch.__version__], sort_keys=True).encode())
    for net in (graph, teacher) if teacher is not None else (graph,):
        found.update(json.dumps([[type(op).__name__, op.name, *op.inputs, op.output] for op in net.ops]).encode())
        found.update(json.dumps([[name, q.to_json()] for name, q in sorted(net.maps.items())]).encode())
        for op in net.ops:
            if isinstance(op, BatchNorm):
                found.update(op.factor().tobytes() + op.offset().tobytes())
        for op in net.convs:
            found.update(op.storage.encode() + op.weight.tobytes() + op.bias.tobytes())
            found.update(json.dumps(op.quantizer.to_json() if op.quantizer is not None else None).encode())
    found.update(np.ascontiguousarray(data.x).data)
    found.update(b"" if data.y is None else data.y.tobytes())
    return found.hexdigest()
