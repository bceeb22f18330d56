"""The input file of `run` and `verify`: ``x``, and labels ``y`` where there are any."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError


def load_inputs(path: Path) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Read an ``.npz`` file.

    Parameters
    ----------
    path : Path
        Holds ``x``, quantised or real, NHWC, batch first; and optionally integer labels ``y``, one for each.

    Returns
    -------
    x : array, shape (N, ...)
    y : int64 array, shape (N,), or None

    Raises
    ------
    HwgenError
        When the file cannot be read, is not of this kind, has no ``x``, or its ``y`` are not labels.
    """
    where = str(path)
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise HwgenError(
                    "the input file must be .npz, not .npy", where=where, remedy="np.savez(FILE, x=images)"
                )
            names = list(file.files)
            if "x" not in names:
                raise HwgenError(
                    f"the input file has no array x, but {', '.join(names) or 'nothing'}",
                    where=where,
                    remedy="np.savez(FILE, x=images, y=labels)",
                )
            x, y = file["x"], file["y"] if "y" in names else None
    except OSError as error:
        raise HwgenError(
            f"the input file cannot be read: {error.strerror or 'not an .npz file'}", where=where
        ) from error
    except (
        ValueError, EOFError, KeyError, RuntimeError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise HwgenError(
            "the input file must be an .npz file of plain arrays", where=where, remedy="np.savez(FILE, x=images)"
        ) from error
    return x, None if y is None else _labels(y, len(x) if x.ndim else 0, where)


def _labels(y: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    if not np.issubdtype(y.dtype, np.integer):
        raise HwgenError(f"the labels y must be integers, not {y.dtype}", where=where)
    flat = y.reshape(-1)
    if len(flat) != count:
        raise HwgenError(
            f"the labels y must be one for each of the {count} inputs, not of shape {y.shape}", where=where
        )
    return flat.astype(np.int64)
