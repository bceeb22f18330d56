"""How output channels and output pixels are dealt out to the lanes of the grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from hwgen.config import Config
from hwgen.derive import Derived

Axis = Literal["y", "x"]


@dataclass(frozen=True)
class Shape:
    """Rows r = rp * Rc + rc and columns c = cp * Cc + cc; a lane works on ``th`` x ``tw`` output pixels (a *group*).

    ``rp_axis`` and ``cp_axis`` say in which direction neighbouring pixel groups lie; when both agree, column groups
    step over all row groups.
    """

    rows: int
    columns: int
    log2_rc: int
    log2_cc: int
    th: int
    tw: int
    rp_axis: Axis
    cp_axis: Axis

    @property
    def rc(self) -> int:
        return 1 << self.log2_rc

    @property
    def cc(self) -> int:
        return 1 << self.log2_cc

    @property
    def rp(self) -> int:
        return self.rows >> self.log2_rc

    @property
    def cp(self) -> int:
        return self.columns >> self.log2_cc

    @property
    def rounds(self) -> int:
        return self.th * self.tw

    @property
    def rp_step(self) -> tuple[int, int]:
        """Output pixels (y, x) from one row pixel group to the next."""
        return (self.th, 0) if self.rp_axis == "y" else (0, self.tw)

    @property
    def cp_step(self) -> tuple[int, int]:
        """Output pixels (y, x) from one column pixel group to the next."""
        over = self.rp if self.rp_axis == self.cp_axis else 1
        return (self.th * over, 0) if self.cp_axis == "y" else (0, self.tw * over)

    def work(self, count: int) -> dict[str, int]:
        """Return the fields of BASE that name the lanes of ``count`` channel groups (group cc * Rc + rc)."""
        return {
            "log2_rc": self.log2_rc,
            "row_groups": min(count, self.rc),
            "log2_cc": self.log2_cc,
            "column_groups": max(1, count // self.rc),
        }

    @property
    def block(self) -> tuple[int, int]:
        """Output pixels (y, x) of all lanes together."""
        along = {"y": 1, "x": 1}
        along[self.rp_axis] *= self.rp
        along[self.cp_axis] *= self.cp
        return self.th * along["y"], self.tw * along["x"]


def lane_splits(config: Config) -> Iterator[tuple[int, int]]:
    """Yield every (log2_rc, log2_cc) that the hardware supports (Cc == 1 or Cc >= pipes)."""
    pipes = Derived(config).pipes
    for log2_rc in range(config.rows.bit_length()):
        for log2_cc in range(config.columns.bit_length()):
            if log2_cc == 0 or (1 << log2_cc) >= pipes:
                yield log2_rc, log2_cc


@lru_cache(1 << 16)
def make_shape(
    config: Config, log2_rc: int, log2_cc: int, th: int, tw: int, height: int, width: int, *, tall: bool = False
) -> Shape:
    """Return the shape whose arrangement of pixel groups covers ``height`` x ``width`` outputs in the fewest tiles.

    Among equals, the flattest: what follows can start when the first rows are there. With ``tall`` the tallest.
    """
    axes: tuple[Axis, ...] = ("y", "x") if height > 1 else ("x",)
    shapes = [Shape(config.rows, config.columns, log2_rc, log2_cc, th, tw, a, b) for a in axes for b in axes]
    return min(shapes, key=lambda s: (-(-height // s.block[0]) * -(-width // s.block[1]),
                                      -s.block[0] if tall else s.block[0]))


@lru_cache(1 << 12)
def channel_tiles(
    groups: int, log2_rc: int, log2_cc: int, config: Config
) -> tuple[tuple[int, int, int, int], ...]:
    """Split ``groups`` channel groups into tiles (first, count, log2 Rc, log2 Cc).

    Full tiles of Rc * Cc first; a remainder gets fewer columns, then fewer rows, so that every tile either fills whole
    columns of Rc or has one column group, and has all its column groups unless there is one pixel group of columns.
    """
    pipes = Derived(config).pipes
    found, first, rc, cc = [], 0, 1 << log2_rc, 1 << log2_cc
    while first < groups:
        left = groups - first
        while cc > 1 and left < rc * cc and (left % rc or left <= rc * cc // 2 or cc != config.columns):
            cc = cc // 2 if cc // 2 >= pipes else 1
        while cc == 1 and rc > 1 and left <= rc // 2:
            rc //= 2
        count = min(left, rc * cc)
        found.append((first, count, rc.bit_length() - 1, cc.bit_length() - 1))
        first += count
    return tuple(found)
