"""Places of block RAMs and multiplier blocks on an ECP5, lane by lane.

nextpnr's electrostatic placer finds good places for everything, but when it then puts the large blocks, of which a
machine takes nearly all, on their sites, little is left of that (`base-sparse`: 280,000 units of wire before, 762,000
after). So they are placed first: those of a lane side by side in a stripe of the device, all others where a quadratic
placement wants them (sites by optimal assignment, in rounds that pull ever more towards the site of the round before;
after GORDIAN, Kleinhans et al., IEEE TCAD 1991).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import cg

Cell = dict[str, Any]
Point = tuple[float, float]

RAM, MULTIPLIER = "DP16KD", "MULT18X18D"


class Site(NamedTuple):
    """A place for a block: column and row of its tile, and nextpnr's name of it."""

    x: int
    y: int
    bel: str


RAM_ROWS, MULTIPLIER_ROWS = (22, 46, 70, 82), (10, 34, 58)
GROUPS = (4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114)
"""Columns of an LFE5U-85F at which four block RAMs, or two pairs of multiplier blocks, begin (Project Trellis)."""
ROW = 4 * len(GROUPS)
CENTRE = (63.0, 50.0)

CROWDED = 0.9
"""Share of the device's block RAMs in use from which on the places matter more than what the placer makes of them."""

LANE_RAMS = (
    "accumulators.0.0", "accumulators.0.1", "accumulators.0.2", "wmem.0.0", "accumulators.0.3", "amem.0.0",
    "walker.segments.0.0", "amem.0.1", "accumulators.0.4", "wmem.0.1", "accumulators.0.5", "accumulators.0.6",
    "accumulators.0.7",
)  # fmt: skip
"""Block RAMs of a lane of 8 multipliers, as they stand in its stripe: operands in the middle."""
LANE_ZEROS = ("walker.act_values.memory.0.0", "walker.weight_values.memory.0.0")
"""Those of one that skips, in the next row."""
LANE_MULTIPLIERS = (0, 1, 2, 4, 8, 10, 11, 12)
"""Sites of its multipliers in the stripe."""
BANDS = ((22, 10, 46), (70, 58, 82))
"""Rows of block RAMs, of multipliers, and of block RAMs besides, for one half of the lanes and for the other."""

ROUNDS, PULL, REACH = 6, 0.05, 1.5
"""Rounds of placement and assignment, the first one's pull towards the sites, and the power of the distance that the
assignment keeps small."""
CLIQUE, LARGEST = 4, 200
"""Cells of a net up to which each is tied to each, beyond to a point of their own; and from which it is left out."""


def floorplan(netlist: Mapping[str, Any], top: str) -> int:
    """Give the block RAMs and multiplier blocks of a netlist their places (attribute ``BEL``).

    Parameters
    ----------
    netlist : mapping
        As Yosys' ``write_json`` gives it, flat, mapped to ECP5; for an LFE5U-85F.
    top : str
        Module.

    Returns
    -------
    int
        Blocks placed: all, or none when there is room enough for the placer, the lanes are no lanes of 8 multipliers,
        there are too many of them for the stripes, or the device has too few blocks.
    """
    cells: dict[str, Cell] = netlist["modules"][top]["cells"]
    sites = {
        RAM: [Site(g + 2 * n, y, f"X{g + 2 * n}/Y{y}/EBR{n}") for y in RAM_ROWS for g in GROUPS for n in range(4)],
        MULTIPLIER: [
            Site(g + n, y, f"X{g + n}/Y{y}/MULT18_{n}") for y in MULTIPLIER_ROWS for g in GROUPS for n in (0, 1, 4, 5)
        ],
    }
    blocks = {kind: [name for name, c in cells.items() if c["type"] == kind] for kind in sites}
    crowded = len(blocks[RAM]) > CROWDED * len(sites[RAM])
    fits = all(len(blocks[kind]) <= len(sites[kind]) for kind in sites)
    placed = _lanes(blocks, sites) if crowded and fits else {}
    if not placed:
        return 0
    placed |= _others(cells, blocks, sites, placed)
    for name, site in placed.items():
        cells[name]["attributes"]["BEL"] = site.bel
    return len(placed)


def _lanes(blocks: Mapping[str, Sequence[str]], sites: Mapping[str, Sequence[Site]]) -> dict[str, Site]:
    """Place the blocks of the lanes: columns of the grid one after the other, half the lanes in each band."""
    found = {m[1]: (int(m[3]), int(m[2])) for names in blocks.values() for name in names
             if (m := re.match(r"(.*\blane(\d+)_(\d+)\.)", name))}  # fmt: skip
    stripes = -(-len(found) // len(BANDS))
    placed: dict[str, Site] = {}
    for i, prefix in enumerate(sorted(found, key=lambda p: found[p])):
        band, stripe = divmod(i, stripes)
        ram_row, multiplier_row, next_row = BANDS[band]
        width = ROW // stripes
        here = {
            (kind, y): [s for s in sites[kind] if s.y == y][stripe * width : (stripe + 1) * width]
            for kind, y in ((RAM, ram_row), (MULTIPLIER, multiplier_row), (RAM, next_row))
        }
        rams = {name.removeprefix(prefix) for name in blocks[RAM] if name.startswith(prefix)}
        products = [name for name in blocks[MULTIPLIER] if name.startswith(prefix)]
        if width < len(LANE_RAMS) or rams - set(LANE_ZEROS) != set(LANE_RAMS) or len(products) != len(LANE_MULTIPLIERS):
            return {}
        placed |= {prefix + n: s for n, s in zip(LANE_RAMS, here[RAM, ram_row], strict=False)}
        middle = here[RAM, next_row][len(LANE_RAMS) // 2 :]
        placed |= {prefix + n: s for n, s in zip(LANE_ZEROS, middle, strict=False) if n in rams}
        products.sort(key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
        placed |= {n: here[MULTIPLIER, multiplier_row][at] for n, at in zip(products, LANE_MULTIPLIERS, strict=True)}
    return placed


def _others(
    cells: Mapping[str, Cell],
    blocks: Mapping[str, Sequence[str]],
    sites: Mapping[str, Sequence[Site]],
    placed: Mapping[str, Site],
) -> dict[str, Site]:
    """Place the other blocks near what they are connected to."""
    index = {name: i for i, name in enumerate(cells)}
    ties = _ties(cells, index)
    taken = set(placed.values())
    free = {kind: [s for s in of if s not in taken] for kind, of in sites.items()}
    todo = {kind: [index[n] for n in names if n not in placed] for kind, names in blocks.items()}
    fixed = {index[name]: (float(s.x), float(s.y)) for name, s in placed.items()}
    pulled: dict[int, Point] = {}
    names = list(cells)
    result: dict[str, Site] = {}
    for n in range(ROUNDS):
        places = _relax(ties, fixed, pulled, PULL * 2 ** (n - 1))
        pulled = {}
        for kind, which in todo.items():
            at = np.array([(s.x, s.y) for s in free[kind]], float)
            distance = np.abs(places[which][:, None] - at[None]).sum(axis=2)
            for i, j in zip(*linear_sum_assignment(distance**REACH), strict=True):
                pulled[which[i]] = (at[j, 0], at[j, 1])
                result[names[which[i]]] = free[kind][j]
    return result


def _ties(cells: Mapping[str, Cell], index: Mapping[str, int]) -> Any:
    """Return the symmetric matrix of how much cells, and points of large nets behind them, are tied to each other."""
    nets: dict[int, set[int]] = defaultdict(set)
    for name, cell in cells.items():
        for bits in cell["connections"].values():
            for bit in bits:
                if isinstance(bit, int):
                    nets[bit].add(index[name])
    rows, columns, weights = [], [], []
    size = len(index)
    for members in map(list, nets.values()):
        k = len(members)
        if k < 2 or k > LARGEST:
            continue
        if k <= CLIQUE:
            for i in range(k):
                for j in range(i):
                    rows.append(members[i])
                    columns.append(members[j])
                    weights.append(1 / (k - 1))
        else:
            rows += members
            columns += [size] * k
            weights += [k / (k - 1) / 2] * k
            size += 1
    ties = sp.coo_matrix((weights, (rows, columns)), (size, size)).tocsr()
    return ties + ties.T


def _relax(ties: Any, fixed: Mapping[int, Point], pulled: Mapping[int, Point], pull: float) -> NDArray[np.float64]:
    """Return the places, shape (cells and points, 2), at which all ties together are shortest (sum of squares)."""
    size = ties.shape[0]
    laplacian = sp.diags(np.asarray(ties.sum(axis=1)).ravel()) - ties
    held = np.zeros(size, bool)
    held[list(fixed)] = True
    free, kept = np.flatnonzero(~held), np.flatnonzero(held)
    places = np.zeros((size, 2))
    for i, point in fixed.items():
        places[i] = point
    # What nothing else ties stays at the centre.
    strength, towards = np.full(size, 1e-6), np.tile(np.array(CENTRE), (size, 1))
    for i, point in pulled.items():
        strength[i] += pull
        towards[i] = point
    system = laplacian[free][:, free] + sp.diags(strength[free])
    to_kept = laplacian[free][:, kept]
    for axis in range(2):
        right = -to_kept @ places[kept, axis] + strength[free] * towards[free, axis]
        places[free, axis], _ = cg(
            system, right, rtol=1e-4, maxiter=600, M=sp.diags(1 / system.diagonal()), x0=np.full(len(free), 60.0)
        )
    return places
