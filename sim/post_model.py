"""Random POST command streams with the memories the golden machine ends with."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen import isa
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden.machine_post import drain, eltwise
from hwgen.golden.machine_state import PostInfo, State
from hwgen.golden.nest import expand

LEVELS = 7


@dataclass
class Expected:
    """One command of a stream and, for a DRAIN or ELTWISE, what it wrote and the activation buffer after it."""

    command: isa.Command
    info: PostInfo | None = None
    act: NDArray[np.uint8] | None = None
    items: int = 0


@dataclass
class Stream:
    """Commands executed by the golden machine as they are added; ``start`` is the activation buffer before."""

    config: Config
    seed: int
    commands: list[Expected] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.derived, self.rng = Derived(self.config), random.Random(self.seed)
        self.state = State(self.config, np.zeros(0, np.uint8), self.seed)
        noise = np.random.default_rng(self.seed)
        # Accumulators of every size: large ones alone would only ever meet the clamp.
        acc = self.state.acc
        acc >>= noise.integers(0, self.config.acc_bits, acc.shape).astype(acc.dtype)
        for block in range(self.derived.param_words // self.derived.param_block):
            self._parameters(block, noise)
        self.start = self.state.act.copy()

    def _parameters(self, block: int, noise: np.random.Generator) -> None:
        p = self.config.vector
        bias = noise.integers(-1 << 31, 1 << 31, p) >> noise.integers(0, 32, p)
        multiplier = np.where(noise.random(p) < 0.1, noise.choice([0, 1 << 30, (1 << 31) - 1, (1 << 32) - 1], p),
                              noise.integers(1 << 30, 1 << 31, p))
        raw = (
            bias.astype("<i4").tobytes()
            + multiplier.astype("<u4").tobytes()
            + noise.integers(0, 40, p).astype(np.uint8).tobytes()
        )
        at = block * self.derived.param_block * self.derived.dma_bytes
        self.state.param[at:at + len(raw)] = np.frombuffer(raw, np.uint8)

    def add(self, name: str, **args: int) -> bool:
        """Execute a command; False, and nothing is added, when it is illegal or its order of writes would matter."""
        s = self.state
        s.command = isa.Command(name, args)
        isa.encode(s.command)
        entry = Expected(s.command)
        if name in ("DRAIN", "ELTWISE"):
            before = s.act.copy()
            try:
                work, entry.info = drain(s) if name == "DRAIN" else eltwise(s)
            except HwgenError:
                s.act[:] = before
                return False
            if name == "ELTWISE" and self._reads_written(args["a"], args["b"], entry.info.address):
                s.act[:] = before
                return False
            pipes = self.derived.pipes if name == "DRAIN" else 1
            if pipes > 1 and len(np.unique(entry.info.address)) < len(entry.info.address):
                s.act[:] = before
                return False
            entry.act, entry.items = s.act.copy(), work.items // pipes
        else:
            s.set_register(args["level"] if name in ("PO_LEVEL", "PO_SOURCE") else 0)
        self.commands.append(entry)
        return True

    def _reads_written(self, a: int, b: int, out: NDArray[np.int64]) -> bool:
        """True when an element of an ELTWISE reads what an earlier element writes: no order is promised there."""
        levels = [
            (self.state.register("PO_LEVEL", i)["count"], (self.state.register("PO_SOURCE", i)["ds"],))
            for i in (4, 5, 6)
        ]
        sources = expand(levels, (0,))[0].ravel()
        written: set[int] = set()
        for source, address in zip(sources.tolist(), out.tolist(), strict=True):
            if a + source in written or b + source in written:
                return True
            written.add(address)
        return False

    def settings(self, transpose: int, scalar: int) -> None:
        """Random rounding, clamp, map and pipe offsets."""
        r, c, d = self.rng, self.config, self.derived
        low, high = sorted((r.randint(-128, 127), r.randint(-128, 127)))
        low, high = r.choice([(-128, 127), (-128, 127), (low, high), (-256, 255)])
        self.add(
            "PO_QUANT",
            height=r.randint(3, 20),
            width=r.randint(3, 20),
            zero_point=r.choice([-256, 255, r.randint(-128, 127)]),
            qmin=low,
            qmax=high,
            nudge=r.randint(0, 1),
            final=r.randint(0, 2),
            scalar=scalar,
            transpose=transpose,
            log2_rc=r.randint(0, c.rows.bit_length() - 1),
            log2_cc=r.randint(0, c.columns.bit_length() - 1),
            cc_valid=r.randint(1, c.columns),
        )
        self.add(
            "PO_SCALAR",
            bias=r.choice([0, r.randint(-1 << 31, (1 << 31) - 1)]),
            multiplier=r.randint(1 << 30, (1 << 31) - 1),
            shift=r.randint(0, 39),
        )
        self.add("PO_PIPE", dy=r.randint(-1, 2), dx=r.randint(-1, 2), da=r.choice([1, 3, 61, -37]),
                 dp=d.param_block * r.randint(0, 1))

    def levels(self, transpose: int) -> None:
        """Random nest; the parameter address changes only where it may."""
        r, c, d = self.rng, self.config, self.derived
        counts = [r.choice([1, 1, 2]) for _ in range(4)] + [r.choice([1, 1, 2, 3, 5]) for _ in range(3)]
        if transpose:
            counts[5] = 1 << r.randint(0, c.vector.bit_length() - 1)
            counts[6] = c.vector // counts[5]
        for i, count in enumerate(counts):
            dp = d.param_block * r.choice([0, 0, 1, -1]) if i < (5 if transpose else 4) else 0
            self.add("PO_LEVEL", level=i, count=count, dy=r.choice([0, 0, 1, -1]), dx=r.choice([0, 1, 1, -2]),
                     da=r.randint(-20, 20), dp=dp)

    def draw_drain(self) -> bool:
        """A DRAIN with a new nest and maybe new settings."""
        r, c, d = self.rng, self.config, self.derived
        quant = self.state.registers.get(("PO_QUANT", 0))
        if quant is None or r.random() < 0.4:
            self.settings(r.randint(0, 1) if "pixel" in c.mappings else 0, int(r.random() < 0.2))
        transpose = self.state.register("PO_QUANT")["transpose"]
        if quant is None or r.random() < 0.8 or transpose != quant["transpose"]:
            self.levels(transpose)
        vectors, blocks = d.act_words * d.vectors_per_word, d.param_words // d.param_block
        return self.add("DRAIN", y0=r.choice([0, 0, -1, 2]), x0=r.choice([0, 0, -1, 2]), a0=r.randint(0, vectors - 1),
                        param=d.param_block * r.randrange(blocks), acc_base=r.choice([0, r.randrange(c.acc_vectors)]),
                        mask=r.choice([(1 << c.vector) - 1, r.getrandbits(c.vector)]))

    def draw_eltwise(self) -> bool:
        """An ELTWISE with TFLite-like operands."""
        r, c, d = self.rng, self.config, self.derived
        if ("PO_QUANT", 0) not in self.state.registers:
            self.settings(0, 0)
        if r.random() < 0.5 or ("PO_ADD", 0) not in self.state.registers:
            self.add("PO_ADD", zp_a=r.randint(-128, 127), zp_b=r.randint(-128, 127), add=r.choice([1, 1, 0]),
                     multiplier_b=r.choice([0, 1 << 30, (1 << 31) - 1, (1 << 32) - 1, r.randint(1 << 30, 1 << 31)]),
                     shift_b=r.choice([0, 1, 2, 3, r.randint(0, 63)]))
            for i in (4, 5, 6):
                self.add("PO_SOURCE", level=i, ds=r.randint(-20, 20))
            for i in (4, 5, 6):
                self.add("PO_LEVEL", level=i, count=r.choice([1, 2, 3, 7]), dy=0, dx=0, da=r.randint(-20, 20), dp=0)
            add = self.state.register("PO_ADD")["add"]
            self.add(
                "PO_SCALAR",
                bias=0,
                multiplier=r.randint(1 << 30, (1 << 31) - 1),
                shift=r.randint(24, 30) if add else r.randint(5, 9),
            )
        vectors = d.act_words * d.vectors_per_word
        return self.add("ELTWISE", a=r.randrange(vectors), b=r.randrange(vectors), out=r.randrange(vectors),
                        mask=r.choice([(1 << c.vector) - 1, r.getrandbits(c.vector)]))

    def draw(self, actions: int) -> None:
        """Add commands until there are ``actions`` DRAINs and ELTWISEs."""
        while sum(e.info is not None for e in self.commands) < actions:
            if self.rng.random() < 0.3 and "add" in self.config.operators:
                self.draw_eltwise()
            else:
                self.draw_drain()


def payload(command: isa.Command) -> int:
    """Return ``cmd.payload``: operation in the low four bits, then the payload."""
    return int.from_bytes(isa.encode(command), "little") >> 32 << 4 | isa.BY_NAME[command.name].code


def command(name: str, **args: Any) -> isa.Command:
    """A command whose fields that are not given are 0."""
    return isa.Command(name, {f.name: args.get(f.name, 0) for f in isa.BY_NAME[name].fields})
