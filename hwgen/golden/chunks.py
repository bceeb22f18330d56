"""Work through a batch a few images at a time, one thread a chunk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from threadpoolctl import ThreadpoolController

_T = TypeVar("_T")


@cache
def _blas() -> ThreadpoolController:
    """The BLAS libraries of this process; finding them is slow, so it is done once."""
    return ThreadpoolController()


def in_chunks(run: Callable[[slice], _T], count: int, step: int, *,
              progress: Callable[[int, int], None] | None = None,
              workers: int | None = None) -> Iterator[tuple[slice, _T]]:
    """Call ``run`` with ``step`` images of ``count`` after ``step`` images, several calls at the same time.

    Parameters
    ----------
    run : callable
        Gets a slice of the batch.
    count : int
        Images of the batch.
    step : int
    progress : callable, optional
        Called with (images done, images in all) after each chunk.
    workers : int, optional
        Chunks that run at the same time, one for each processor by default.

    Yields
    ------
    block, result
        Slice of the batch and what ``run`` gave, in order.
    """
    starts = range(0, count, step)
    # One thread a chunk and none inside BLAS: its own threads cost three times the processor time on these sizes.
    with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        results = pool.map(lambda start: run(slice(start, start + step)), starts)
        for start, result in zip(starts, results, strict=True):
            yield slice(start, start + step), result
            if progress is not None:
                progress(min(start + step, count), count)
