"""Bytes of weights and parameters as WFETCH and POST read them (docs/architecture.md)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.post_rule import ROUNDING_FIELDS
from hwgen.model.graph import Requant


def pack_groups(groups: NDArray[Any], rc: int, config: Config) -> NDArray[Any]:
    """Pack weights of lane groups in WFETCH order.

    Parameters
    ----------
    groups : int8 or int16 array, shape (n groups, values)
        Values of each lane group in wmem order; group index cc * rc + r.
    rc : int
        Channel groups along rows (power of two).

    Returns
    -------
    int8 or int16 array, shape (n, D)
        DMA words; ``words_per_group`` of them per WFETCH group.
    """
    d = Derived(config)
    n, values = groups.shape
    words = words_per_group(values, config)
    nbe = min(rc, d.weight_buses)
    sets = -(-n // nbe)
    out = np.zeros((sets, nbe, words * d.word), groups.dtype)
    out.reshape(sets * nbe, -1)[:n, :values] = groups
    full = np.zeros((sets, words, d.weight_buses, d.word), groups.dtype)
    full[:, :, :nbe] = out.reshape(sets, nbe, words, d.word).transpose(0, 2, 1, 3)
    return full.reshape(-1, d.dma_bytes)


def words_per_group(values: int, config: Config) -> int:
    """Return the WFETCH count for ``values`` bytes a lane group."""
    return -(-values // Derived(config).word)


def pack_params(bias: NDArray[np.int64], requant: Requant, config: Config) -> NDArray[np.uint8]:
    """Pack parameter blocks of P channels each; missing channels are zero.

    ``bias`` has one entry per channel; so have ``requant.multiplier`` and ``requant.shift``.
    """
    d, p = Derived(config), config.vector
    blocks = -(-len(bias) // p)
    out = np.zeros((blocks, d.param_block * d.dma_bytes), np.uint8)

    def column(values: NDArray[np.int64], kind: str, start: int, size: int) -> None:
        full = np.zeros(blocks * p, np.int64)
        full[: len(values)] = values
        out[:, start : start + p * size] = full.astype(kind).reshape(blocks, p).view(np.uint8).reshape(blocks, -1)

    column(bias, "<i4", 0, 4)
    column(requant.multiplier, "<u4", 4 * p, 4)
    column(8 - requant.shift, "u1", 8 * p, 1)
    return out.reshape(-1)


def rounding_bits(requant: Requant) -> dict[str, int]:
    """Return the ``nudge`` and ``final`` fields of a rounding mode."""
    nudge, final = ROUNDING_FIELDS[requant.rounding]
    return {"nudge": int(nudge), "final": int(final)}
