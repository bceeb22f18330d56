"""The rank of a matrix under noise: empirical variational Bayes matrix factorisation, solved analytically.

Nakajima, Sugiyama, Babacan and Tomioka, "Global analytic solution of fully-observed variational Bayesian matrix
factorization", JMLR 14, 2013.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TAU = 2.5129
"""Approximate zero of the paper's threshold function, over the square root of the matrix's side ratio."""

_POINTS, _ROUNDS = 100, 3


def evbmf_rank(matrix: NDArray[Any]) -> int:
    """Rank of the signal in a matrix of signal and white noise of unknown variance.

    Parameters
    ----------
    matrix : array, two axes

    Returns
    -------
    int
        0 when there is nothing but noise (or nothing at all).
    """
    rows, columns = sorted(matrix.shape)
    squares = np.linalg.svd(matrix.astype(np.float64), compute_uv=False) ** 2
    if squares[0] == 0 or rows == 1:
        return int(squares[0] > 0)
    alpha = rows / columns
    tau = _TAU * np.sqrt(alpha)
    edge = (1 + tau) * (1 + alpha / tau)
    # What is below single precision of the largest is noise of the arithmetic; it must not have the logarithm of 0.
    squares = np.maximum(squares, squares[0] * 1e-14)
    most = max(min(int(np.ceil(rows / (1 + alpha))) - 1, rows - 1), 1)  # singular values that can be signal
    high = float(squares.sum()) / (rows * columns)
    low = min(max(float(squares[most]) / (columns * edge), float(squares[most:].mean()) / columns), high)
    for _ in range(_ROUNDS):  # the objective is smooth but not convex: a fine grid, then a finer one around its best
        grid = np.geomspace(low, high, _POINTS)
        best = int(np.argmin([_free_energy(squares / (columns * v), alpha, edge) for v in grid]))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _POINTS - 1)])
    return int(np.sum(squares > columns * grid[best] * edge))


def _free_energy(x: NDArray[np.float64], alpha: float, edge: float) -> float:
    """The paper's objective of the noise variance; ``x`` are squared singular values over columns times variance.

    ``sum(x - log x)`` of all singular values holds the term of the variance but for a constant.
    """
    signal = x[x > edge]
    middle = signal - (1 + alpha)
    tau = (middle + np.sqrt(middle**2 - 4 * alpha)) / 2
    value = np.sum(x - np.log(x)) + np.sum(np.log(tau + 1) + alpha * np.log(tau / alpha + 1) - tau)
    return float(value)
