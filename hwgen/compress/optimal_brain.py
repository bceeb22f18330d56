"""Optimal brain compression of one layer: weights are removed in the order that costs least, the others make up for it.

Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022; the rule for a single weight is that of Hassibi and
Stork, "Second order derivatives for network pruning: optimal brain surgeon", NIPS 1992.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_CHUNK_BYTES = 1 << 28
"""Bytes of inverse Hessians held at a time, one a row."""

_TOGETHER = 32
"""Removals whose changes of the inverse Hessian are made at once."""


def least_squares(gram: Matrix, cross: Matrix, near: Matrix, ridge: float) -> tuple[Matrix, Matrix]:
    """The weights that best make wanted outputs from given inputs, and the Hessian of their squared error.

    Parameters
    ----------
    gram : array, shape (k, k)
        Inputs by inputs, summed over all places.
    cross : array, shape (rows, k)
        Wanted outputs by inputs.
    near : array, shape (rows, k)
        Weights to stay near to where inputs say little.
    ridge : float
        How much that counts, relative to the inputs' mean square.
    """
    damp = ridge * max(float(np.trace(gram)) / len(gram), 1e-12)
    hessian = gram + damp * np.eye(len(gram))
    return np.linalg.solve(hessian, (cross + damp * near).T).T.astype(np.float64), hessian


def removal_costs(weights: Matrix, hessian: Matrix, fixed: int = 0) -> tuple[NDArray[np.int64], Matrix]:
    """Remove the weights of each row one by one, always the one whose loss costs least once the others have made up.

    Parameters
    ----------
    weights : array, shape (rows, k)
        At the minimum of the error.
    hessian : array, shape (k, k)
    fixed : int
        So many of the last weights of a row are never removed.

    Returns
    -------
    order : array, shape (rows, k - fixed)
        Weights in the order they go.
    costs : array
        What each one adds to the squared error.
    """
    rows, size = weights.shape
    inverse = np.linalg.inv(hessian).astype(np.float64)
    order = np.empty((rows, size - fixed), np.int64)
    costs = np.empty((rows, size - fixed))
    # Rounding errors add up, but the inverse of what is left of a Hessian cannot have less than this on its diagonal.
    least = 1 / np.diagonal(hessian)
    step = max(1, _CHUNK_BYTES // (8 * size * size))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        order[part], costs[part] = _remove_all(weights[part].copy(), inverse, least, fixed)
    return order, costs


def _remove_all(w: Matrix, inverse: Matrix, least: Matrix, fixed: int) -> tuple[NDArray[np.int64], Matrix]:
    rows, size = w.shape
    row = np.arange(rows)
    # Every removal takes c c' from a row's inverse. The products of many removals at once are one of matrices, which
    # is several times faster; until then ``taken`` holds the vectors c, and of the inverse only what is looked at is
    # brought up to date: its diagonal and one column.
    inverses = np.repeat(inverse[None], rows, axis=0)
    diagonal = np.diagonal(inverses, axis1=1, axis2=2).copy()
    taken = np.zeros((rows, size, _TOGETHER))
    left = np.ones((rows, size), bool)
    free = left & (np.arange(size) < size - fixed)
    order = np.empty((rows, size - fixed), np.int64)
    costs = np.empty((rows, size - fixed))
    for i in range(size - fixed):
        waiting = i % _TOGETHER
        if i and not waiting:
            inverses -= taken @ taken.transpose(0, 2, 1)
        cost = np.where(free, w**2 / np.maximum(diagonal, least), np.inf)
        p = order[:, i] = cost.argmin(axis=1)
        costs[:, i] = cost[row, p]
        known = taken[:, :, :waiting]
        column = inverses[row, :, p] - (known @ known[row, p, :, None])[:, :, 0]
        root = np.sqrt(np.maximum(diagonal[row, p], least[p]))[:, None]
        # Of what is gone only rounding errors would be left.
        c = taken[:, :, waiting] = np.where(left, column / root, 0)
        w -= c * (w[row, p][:, None] / root)
        w[row, p] = 0
        diagonal -= c**2
        left[row, p] = free[row, p] = False
    return order, costs


def refit(hessian: Matrix, weights: Matrix, kept: NDArray[np.bool_]) -> Matrix:
    """The weights of least squared error among those that are zero outside a mask.

    Parameters
    ----------
    hessian : array, shape (k, k)
    weights : array, shape (rows, k)
        At the minimum of the error without the mask.
    kept : bool array, shape (rows, k)
    """
    wanted = weights @ hessian
    result = np.zeros_like(weights)
    for i, mask in enumerate(kept):
        if mask.any():
            result[i, mask] = np.linalg.solve(hessian[np.ix_(mask, mask)], wanted[i, mask])
    return result
