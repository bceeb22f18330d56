"""Which way to round the weights of a layer, learned from its inputs' second moments.

Nagel et al., "Up or down? Adaptive rounding for post-training quantization", ICML 2020. As the error of a layer's
results is a quadratic form of its weights, no input is needed once the form is known: its gradient is a matrix product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_STRETCH = 1.2
"""The rectified sigmoid goes from -0.1 to 1.1 and is cut off at 0 and 1."""
_WARM = 0.2
"""Share of the steps without the term that drives the variables to 0 and 1."""
_STEEP, _FLAT = 20.0, 2.0
"""Exponent of that term at first and at last."""
_WEIGHT = 1.0
"""Weight of that term, which is at most 1 a row, beside an error that is 1 for the nearest integers."""


def learn_rounding(low: Matrix, start: Matrix, scale: Matrix, gram: Matrix, cross: Matrix, *, steps: int,
                   rate: float) -> NDArray[np.bool_]:
    """Choose for each weight whether to round it up.

    Parameters
    ----------
    low : array, shape (rows, k)
        Weights rounded down, real values.
    start : array, shape (rows, k)
        What rounding down takes, as a share of the step, in 0..1. Where it is 0, a weight stays as it is.
    scale : array, shape (rows, 1)
        The step.
    gram, cross : arrays, shapes (k, k) and (rows, k)
        Inputs by inputs, and wanted results by inputs, summed over all places.
    steps : int
        Of Adam.
    rate : float

    Returns
    -------
    bool array, shape (rows, k)
        What rounds up. Never worse than the nearest integers.
    """
    nearest, free = start >= 0.5, start > 0
    best = np.linalg.lstsq(gram, cross.T, rcond=None)[0].T.astype(np.float64)
    unit = _row_errors(low + scale * nearest, gram, cross) - _row_errors(best, gram, cross)
    unit = np.maximum(unit, 1e-9 * max(float(unit.max()), 1e-300))[:, None]
    v = _inverse_sigmoid(np.clip(start, 1e-3, 1 - 1e-3))
    first, second = np.zeros_like(v), np.zeros_like(v)
    for step in range(steps):
        soft = 1 / (1 + np.exp(-v))
        up = np.clip(soft * _STRETCH - (_STRETCH - 1) / 2, 0, 1)
        up = np.where(free, up, 0.0)
        slope = np.where((up > 0) & (up < 1), _STRETCH * soft * (1 - soft), 0.0)
        gradient = 2 * ((low + scale * up) @ gram - cross) * scale / unit
        if step >= _WARM * steps:
            part = (step / steps - _WARM) / (1 - _WARM)
            beta = _FLAT + (_STEEP - _FLAT) * (1 + np.cos(np.pi * part)) / 2
            apart = 2 * up - 1
            gradient -= _WEIGHT * 2 * beta * np.sign(apart) * np.abs(apart) ** (beta - 1) / up.shape[1]
        gradient *= slope
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        moved = first / (1 - 0.9 ** (step + 1)) / (np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-12)
        v -= rate * moved
    learned = _without_useful_flips((v >= 0) & free, free, low, scale, gram, cross)
    # A row at a time: rows are independent, and where learning did not help the nearest integers stay.
    better = _row_errors(low + scale * learned, gram, cross) < _row_errors(low + scale * nearest, gram, cross)
    return np.where(better[:, None], learned, nearest)


def _without_useful_flips(up: NDArray[np.bool_], free: NDArray[np.bool_], low: Matrix, scale: Matrix,
                          gram: Matrix, cross: Matrix) -> NDArray[np.bool_]:
    """Turn single weights round, of each row the one that helps most, until none helps."""
    up = up.copy()
    row = np.arange(len(up))
    slope = 2 * ((low + scale * up) @ gram - cross)
    for _ in range(up.shape[1]):
        turn = np.where(up, -scale, scale)
        gain = np.where(free, turn * slope + turn**2 * np.diagonal(gram), np.inf)
        best = gain.argmin(axis=1)
        helps = gain[row, best] < -1e-12 * np.abs(scale[:, 0] * slope[row, best])
        if not helps.any():
            break
        turned = row[helps], best[helps]
        slope[helps] += 2 * turn[turned][:, None] * gram[best[helps]]
        up[turned] ^= True
    return up


def rounding_error(weights: Matrix, gram: Matrix, cross: Matrix) -> float:
    """Squared error of a layer's results, less what does not depend on its weights."""
    return float(_row_errors(weights, gram, cross).sum())


def _row_errors(weights: Matrix, gram: Matrix, cross: Matrix) -> Matrix:
    return np.asarray(np.sum((weights @ gram) * weights - 2 * weights * cross, axis=1))


def _inverse_sigmoid(up: Matrix) -> Matrix:
    """Where the rectified sigmoid has the values ``up``."""
    soft = (up + (_STRETCH - 1) / 2) / _STRETCH
    return np.asarray(np.log(soft / (1 - soft)))
