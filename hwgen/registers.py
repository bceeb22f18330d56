"""The AXI4-Lite register table: one definition from which RTL, C header, JSON and documentation derive."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.config import Config
from hwgen.derive import Derived

ID_VALUE = 0x4E475748
"""``HWGN`` in memory order."""
VERSION_VALUE = 0x0001_0000
ADDRESS_BITS = 8
COUNTER_BASE = 0x40


@dataclass(frozen=True)
class Bits:
    """Bits ``low`` .. ``low + width - 1`` of a register.

    Access is ``ro``, ``rw``, ``w1s`` (write 1 for a pulse) or ``w1c`` (write 1 to clear).
    """

    name: str
    low: int
    width: int
    access: str = "ro"
    doc: str = ""


@dataclass(frozen=True)
class Register:
    """One 32-bit register at byte ``offset``."""

    name: str
    offset: int
    bits: tuple[Bits, ...]
    doc: str

    @property
    def writable(self) -> bool:
        return any(b.access != "ro" for b in self.bits)


COUNTERS: tuple[tuple[str, str], ...] = (
    ("cycles", "from the start write to done or error"),
    ("lane_cycles", "lanes at work, summed over the cycles"),
    ("multiplies", "multiplier slots used"),
    ("stall_wfetch", "grid idle, its next command waits for a WFETCH token"),
    ("stall_afetch", "grid idle, its next command waits for an AFETCH token"),
    ("stall_post", "grid idle, its next command waits for a POST token"),
    ("stall_load", "grid idle, its next command waits for a LOAD or STORE token"),
    ("stall_command", "grid idle, no command in its queue"),
    ("read_bytes", "received on AXI, commands included"),
    ("write_bytes", "sent on AXI"),
)
"""64-bit counters (the upper 16 bits read 0), low word first, in register order from ``COUNTER_BASE``."""

SKIP_COUNTERS: tuple[tuple[str, str], ...] = (
    ("empty_windows", "windows of 32 positions that hold none to walk, summed over the lanes"),
    ("imbalance", "lanes that have done a RUN and walk nothing while others still walk it, summed over the cycles"),
)
"""Behind them, of machines that skip zeros."""


def counters(config: Config) -> tuple[tuple[str, str], ...]:
    """Return name and meaning of the counters of a machine, in register order."""
    return COUNTERS if config.skip == "none" else COUNTERS + SKIP_COUNTERS


def _bits(*rows: tuple[str, int, str]) -> tuple[Bits, ...]:
    """Pack ``(name, width, doc)`` rows from bit 0 upwards, read only."""
    out, at = [], 0
    for name, width, doc in rows:
        out.append(Bits(name, at, width, "ro", doc))
        at += width
    return tuple(out)


def _counter_registers(first: int, table: tuple[tuple[str, str], ...]) -> tuple[Register, ...]:
    return tuple(
        Register(
            f"{name.upper()}_{half}",
            COUNTER_BASE + 8 * i + 4 * h,
            (Bits("value", 0, 32),),
            f"{doc} ({'low' if h == 0 else 'high'} word).",
        )
        for i, (name, doc) in enumerate(table, first)
        for h, half in enumerate(("LO", "HI"))
    )


REGISTERS: tuple[Register, ...] = (
    Register("ID", 0x00, (Bits("id", 0, 32),), f"Constant 0x{ID_VALUE:08X}."),
    Register("VERSION", 0x04, (Bits("version", 0, 32),), "Interface version, major in the upper half."),
    Register(
        "CAPABILITY0",
        0x08,
        _bits(
            ("rows", 8, ""),
            ("columns", 8, ""),
            ("vector", 8, "multipliers per lane"),
            ("word", 8, "bytes of an activation word"),
        ),
        "Grid.",
    ),
    Register(
        "CAPABILITY1",
        0x0C,
        _bits(
            ("weight_bits", 4, ""),
            ("act_bits", 4, ""),
            ("acc_bits", 8, ""),
            ("axi_bytes", 8, ""),
            ("pipes", 8, "post-process pipes"),
        ),
        "Widths.",
    ),
    Register("CAPABILITY2", 0x10, _bits(("act_kib", 16, ""), ("weight_kib", 16, "")), "Buffers."),
    Register(
        "CAPABILITY3",
        0x14,
        _bits(
            ("param_kib", 12, ""),
            ("segments", 9, ""),
            ("queue", 7, "commands per module"),
            ("pixel", 1, ""),
            ("depthwise", 1, ""),
            ("add", 1, ""),
            ("max_pool", 1, ""),
        ),
        "Buffers and what is built.",
    ),
    Register(
        "CTRL",
        0x20,
        (
            Bits("start", 0, 1, "w1s", "run the command stream; ignored while busy or after an error"),
            Bits("soft_reset", 1, 1, "w1s", "let AXI transfers end, then reset all but what the host has set"),
            Bits("irq_enable", 2, 1, "rw"),
        ),
        "Control.",
    ),
    Register(
        "STATUS",
        0x24,
        (
            Bits("busy", 0, 1, doc="running or resetting"),
            Bits("done", 1, 1, doc="until the next start"),
            Bits("error", 2, 1, doc="until a soft reset"),
            Bits("irq", 3, 1, "w1c", "interrupt pending"),
        ),
        "State.",
    ),
    Register(
        "ERROR",
        0x28,
        _bits(
            (
                "code",
                4,
                (
                    "1 illegal, 2 no END, 3 address, 4 AXI read, 5 AXI write, 6 watchdog, 7 token overflow, "
                    "8 AXI fetch, 9 corrupt stream"
                ),
            ),
            ("module", 4, "7 the sequencer itself"),
            ("index", 24, "of the command in the stream"),
        ),
        "First error.",
    ),
    Register(
        "CMD_ADDR",
        0x30,
        (Bits("address", 0, 32, "rw"),),
        "Byte address of the commands, a multiple of the DMA word and 16.",
    ),
    Register("CMD_COUNT", 0x34, (Bits("count", 0, 24, "rw"),), "Commands in the stream, END included."),
    Register(
        "WATCHDOG",
        0x38,
        (Bits("cycles", 0, 32, "rw"),),
        "Cycles without a completed command that are an error; 0: never.",
    ),
    *_counter_registers(0, COUNTERS),
)
SKIP_REGISTERS = _counter_registers(len(COUNTERS), SKIP_COUNTERS)
BY_NAME = {r.name: r for r in REGISTERS + SKIP_REGISTERS}


def registers(config: Config) -> tuple[Register, ...]:
    """Return the registers of a machine."""
    return REGISTERS if config.skip == "none" else REGISTERS + SKIP_REGISTERS


def constants(config: Config) -> dict[str, int]:
    """Return the values of the read-only identification registers for ``config``."""
    d = Derived(config)
    fields = {
        "rows": config.rows,
        "columns": config.columns,
        "vector": config.vector,
        "word": d.word,
        "weight_bits": config.weight_bits,
        "act_bits": config.act_bits,
        "acc_bits": config.acc_bits,
        "axi_bytes": config.axi_bits // 8,
        "pipes": d.pipes,
        "act_kib": config.act_kib,
        "weight_kib": config.weight_kib,
        "param_kib": config.param_kib,
        "segments": config.segments,
        "queue": config.queue,
        "pixel": int("pixel" in config.mappings),
        "depthwise": int("depthwise" in config.mappings),
        "add": int("add" in config.operators),
        "max_pool": int("max_pool" in config.operators),
    }
    words = {r.name: sum(fields[b.name] << b.low for b in r.bits) for r in REGISTERS if r.name.startswith("CAPABILITY")}
    return {"ID": ID_VALUE, "VERSION": VERSION_VALUE} | words
