"""Random AFETCH streams for the bench, and the bus words they must produce."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen import isa
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.nest import expand

LEVELS = 7
Word = tuple[int, int, tuple[int, ...]]
"""amem address, rows (mask), W values."""


def fold(counts: list[int], strides: list[int]) -> list[int]:
    """Return the deltas of a nest whose levels step by ``strides``: inner levels are rewound."""
    deltas, covered = [0] * len(counts), 0
    for level in reversed(range(len(counts))):
        deltas[level] = strides[level] - covered
        covered += (counts[level] - 1) * strides[level]
    return deltas


class AfetchStream:
    """Commands whose addresses inside the map are legal, in random order of settings and fetches.

    Parameters
    ----------
    config : Config
    rng : random.Random
    area : int
        The maps lie in act words 0 .. ``area`` - 1.
    elements : int
        About the largest nest.
    """

    def __init__(self, config: Config, rng: random.Random, area: int, elements: int = 120) -> None:
        self.config, self.derived, self.rng, self.area, self.elements = config, Derived(config), rng, area, elements
        self.commands: list[isa.Command] = []
        self.registers: dict[tuple[str, int], dict[str, int]] = {}
        self.map: dict[str, Any] = {}
        self.moved = True
        """The column offsets belong to an earlier map."""

    def put(self, name: str, **args: int) -> None:
        """Append a command."""
        self.commands.append(isa.Command(name, args))
        self.registers[name, args.get("level", 0)] = args

    def new_map(self) -> None:
        """Choose a map in the area and how lanes share it."""
        rng, c = self.rng, self.config
        words = rng.randint(1, 4)
        height, width = rng.randint(1, 9), rng.randint(1, 7)
        base = rng.randint(0, self.area - height * width * words)
        transpose = int("pixel" in c.mappings and rng.random() < 0.5)
        groups, channels = 1 << rng.randint(0, (c.rows - 1).bit_length()), 1
        while groups * channels < c.rows and rng.random() < 0.5:
            channels *= 2
        rows_len = rng.randint(1, c.rows // (groups * channels))
        rp_step = rng.randint(channels * rows_len, c.rows // groups)
        self.map = {"words": words, "height": height, "width": width, "base": base, "groups": groups,
                    "channels": channels}
        self.put("AF_MAP", height=height, width=width, zero_point=rng.randint(-128, 127),
                 fill=rng.randint(-(1 << c.act_bits), (1 << c.act_bits) - 1), transpose=transpose, rows_len=rows_len,
                 rp_step=rp_step, cols=rng.randint(1, c.columns))
        self.moved = True

    def new_columns(self) -> None:
        """Choose what columns differ in; the word of a pixel may run past its pixel only when that stays in the map."""
        rng, m = self.rng, self.map
        dy, dx = rng.randint(-2, 3), rng.randint(-2, 4)
        self.put("AF_COL", log2_cc=rng.randint(0, (self.config.columns - 1).bit_length()), dy=dy, dx=dx,
                 da=(dy * m["width"] + dx) * m["words"], cc_da=0 if rng.random() < 0.5 or m["words"] < 2 else 1)

    def new_levels(self) -> None:
        """Choose a nest of pixels and words around the map."""
        rng, m, transpose = self.rng, self.map, self.registers["AF_MAP", 0]["transpose"]
        counts = [m["groups"], m["channels"], *[1] * (LEVELS - 2)]
        limit = min(self.config.amem_words, max(1, self.elements // (counts[0] * counts[1])))
        if transpose:
            counts[rng.randint(2, LEVELS - 1)] = self.config.vector
        for level in rng.sample(range(2, LEVELS), 4):
            room = limit // int(np.prod(counts[2:]))
            if room >= 2 and counts[level] == 1:
                counts[level] = rng.randint(1, min(room, 6))
        y, x = ([rng.randint(-2, 3) if n > 1 else 0 for n in counts] for _ in range(2))
        word = [0] * LEVELS
        at = rng.randrange(LEVELS)
        if counts[at] <= m["words"]:
            word[at], y[at], x[at] = 1, 0, 0
        a = [(sy * m["width"] + sx) * m["words"] + sw for sy, sx, sw in zip(y, x, word, strict=True)]
        for level, values in enumerate(zip(counts, *(fold(counts, s) for s in (y, x, a)), strict=True)):
            args = dict(zip(("count", "dy", "dx", "da"), values, strict=True))
            if self.registers.get(("AF_LEVEL", level)) != {"level": level, **args}:
                self.put("AF_LEVEL", level=level, **args)

    def fetch(self) -> bool:
        """Append an AFETCH from around the map; False when this place and nest would leave the buffer."""
        rng, m = self.rng, self.map
        y0, x0 = rng.randint(-3, m["height"]), rng.randint(-3, m["width"])
        inner = int(np.prod([self.registers["AF_LEVEL", i]["count"] for i in range(2, LEVELS)]))
        args = {"y0": y0, "x0": x0, "a0": m["base"] + (y0 * m["width"] + x0) * m["words"],
                "dst": rng.randint(0, self.config.amem_words - inner)}
        used = [a[inside] for _, _, a, inside in self._positions(args)]
        if any(len(u) and (u.min() < 0 or u.max() >= self.area) for u in used):
            return False
        self.put("AFETCH", **args)
        return True

    def fill(self, fetches: int) -> None:
        """Append about ``fetches`` AFETCH commands with settings between them."""
        done = 0
        while done < fetches:
            if not self.map or self.rng.random() < 0.4:
                self.new_map()
            if self.moved or self.rng.random() < 0.1:
                self.new_columns()
            if self.moved or self.rng.random() < 0.3:
                self.new_levels()
            self.moved = False
            done += self.fetch()

    def _positions(self, args: dict[str, int]) -> list[tuple[NDArray[Any], ...]]:
        """y, x, a, inside of every element, for every column that takes part."""
        m, col = self.registers["AF_MAP", 0], self.registers["AF_COL", 0]
        levels = [self.registers["AF_LEVEL", i] for i in range(LEVELS)]
        y, x, a = (v.ravel() for v in expand([(v["count"], (v["dy"], v["dx"], v["da"])) for v in levels],
                                              (args["y0"], args["x0"], args["a0"])))
        result: list[tuple[NDArray[Any], ...]] = []
        for column in range(m["cols"]):
            cp, cc = column >> col["log2_cc"], column % (1 << col["log2_cc"])
            yc, xc = y + cp * col["dy"], x + cp * col["dx"]
            inside = (yc >= 0) & (yc < m["height"]) & (xc >= 0) & (xc < m["width"])
            result.append((yc, xc, a + cp * col["da"] + cc * col["cc_da"], inside))
        return result

    def bus_words(self, act: NDArray[np.uint8]) -> list[list[list[Word]]]:
        """Words on each column's bus, for every command of the stream; [] for settings."""
        c, width, result = self.config, self.derived.word, []
        half = 1 << c.act_bits
        data = act.view(np.int8).reshape(-1, width).astype(np.int64)
        saved = self.registers
        self.registers = {}
        for command in self.commands:
            self.registers[command.name, command.args.get("level", 0)] = command.args
            words: list[list[Word]] = [[] for _ in range(c.columns)]
            if command.name == "AFETCH":
                m = self.registers["AF_MAP", 0]
                counts = [self.registers["AF_LEVEL", i]["count"] for i in range(LEVELS)]
                inner = int(np.prod(counts[2:]))
                for column, (_, _, a, inside) in enumerate(self._positions(command.args)):
                    values = np.where(inside[:, None], data[np.where(inside, a, 0)] - m["zero_point"], m["fill"])
                    values = (values + half & 2 * half - 1) - half
                    if m["transpose"]:
                        values = values.reshape(-1, width, width).swapaxes(1, 2).reshape(-1, width)
                    for i, value in enumerate(values.tolist()):
                        group = i // inner
                        first = group // counts[1] * m["rp_step"] + group % counts[1] * m["rows_len"]
                        rows = (1 << m["rows_len"]) - 1 << first
                        words[column].append((command.args["dst"] + i % inner, rows, tuple(value)))
            result.append(words)
        self.registers = saved
        return result
