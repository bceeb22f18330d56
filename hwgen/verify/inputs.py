"""Which images a verification runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.inputs import quantize_input
from hwgen.model.graph import Graph


def load_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return (x, labels or None) of an input file.

    Raises
    ------
    HwgenError
        When it cannot be read or has no ``x``.
    """
    try:
        with np.load(path, allow_pickle=False) as data:
            if "x" not in data:
                raise HwgenError(
                    f"has no array x, only {', '.join(data.files) or 'nothing'}",
                    where=str(path),
                    remedy="save with np.savez(FILE, x=..., y=...)",
                )
            return data["x"], data["y"] if "y" in data else None
    except OSError as error:
        raise HwgenError(f"cannot read the inputs: {error.strerror or error}", where=str(path)) from None
    except (ValueError, EOFError, KeyError) as error:
        raise HwgenError(f"not an .npz file: {error}", where=str(path)) from None
    except Exception as error:
        if type(error).__name__ == "BadZipFile":
            raise HwgenError("not an .npz file", where=str(path)) from None
        raise


def images(graph: Graph, path: Path | None, random: int | None, seed: int) -> NDArray[np.int8]:
    """Return the quantised batch: from a file, or ``random`` seeded images (one when neither is given)."""
    if path is not None and random is not None:
        raise HwgenError("give either --inputs or --random, not both")
    if path is not None:
        return quantize_input(graph, load_npz(path)[0])
    count = 1 if random is None else random
    if count < 1:
        raise HwgenError(f"--random must be >= 1, not {count}")
    shape = graph.tensors[graph.input].shape[1:]
    return np.random.default_rng(seed).integers(-128, 128, (count, *shape), dtype=np.int8)
