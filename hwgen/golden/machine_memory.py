"""Golden machine: the units that move data (LOAD, STORE, AFETCH)."""

from __future__ import annotations

import numpy as np

from hwgen.errors import HwgenError
from hwgen.golden.machine_state import State, Work, wrap
from hwgen.golden.nest import expand
from hwgen.golden.packed_map import bitmap_words, pack, slot_words, unpack
from hwgen.isa import LONGEST_BLOCK, SLOTS, Buffer

LEVELS = 7


def _dram(s: State, count: int) -> slice:
    """Bytes of the DRAM image that the current LOAD or STORE touches."""
    width, at = s.derived.dma_bytes, s.command.args["dram"]
    s.require(count >= 1, "count", ">= 1")
    s.require(at % width == 0, "dram", f"a multiple of {width}")
    s.within("dram", at, at + count * width - 1, len(s.memory), "DRAM byte")
    return slice(at, at + count * width)


def load(s: State) -> Work:
    """DRAM to a buffer."""
    a, width = s.command.args, s.derived.dma_bytes
    s.require(a["buffer"] in tuple(Buffer), "buffer", "0, 1 or 2")
    buffer = {Buffer.ACT: s.act, Buffer.WEIGHT: s.weight, Buffer.PARAM: s.param}[Buffer(a["buffer"])]
    source = _dram(s, a["count"])
    s.within("dst", a["dst"], a["dst"] + a["count"] - 1, len(buffer) // width, f"{Buffer(a['buffer']).name} DMA word")
    buffer[a["dst"] * width:(a["dst"] + a["count"]) * width] = s.memory[source]
    return Work(items=a["count"], writes=a["count"] * s.derived.dma_words if a["buffer"] == Buffer.ACT else 0)


def store(s: State) -> Work:
    """Activation buffer to DRAM."""
    a, width = s.command.args, s.derived.dma_bytes
    target = _dram(s, a["count"])
    s.within("src", a["src"], a["src"] + a["count"] - 1, len(s.act) // width, "ACT DMA word")
    s.memory[target] = s.act[a["src"] * width:(a["src"] + a["count"]) * width]
    return Work(items=a["count"], reads=a["count"] * s.derived.dma_words)


def _blocks(s: State, chip: str) -> list[tuple[int, int]]:
    """Check a command that moves packed blocks; return the first byte of each in DRAM and on chip (field ``chip``)."""
    a, width = s.command.args, s.derived.dma_bytes
    s.require(s.config.compress_maps, "compress_maps", "set in the configuration")
    s.require(a["blocks"] >= 1, "blocks", ">= 1")
    s.require(1 <= a["block"] <= LONGEST_BLOCK, "block", f"in 1..{LONGEST_BLOCK}")
    s.require(a["dram"] % width == 0, "dram", f"a multiple of {width}")
    s.within("slot", a["slot"], a["slot"] + a["blocks"] - 1, SLOTS, "entry")
    step = slot_words(a["block"]) * width
    s.within("dram", a["dram"], a["dram"] + a["blocks"] * step - 1, len(s.memory), "DRAM byte")
    s.within(chip, a[chip], a[chip] + a["blocks"] * a["block"] - 1, len(s.act) // width, "ACT DMA word")
    return [(a["dram"] + i * step, (a[chip] + i * a["block"]) * width) for i in range(a["blocks"])]


def load_packed(s: State) -> Work:
    """DRAM to the activation buffer, unpacking."""
    a, width, moved = s.command.args, s.derived.dma_bytes, []
    for i, (dram, chip) in enumerate(_blocks(s, "dst")):
        length = int(s.lengths[a["slot"] + i])
        s.require(bitmap_words(a["block"]) < length <= slot_words(a["block"]), "slot",
                  f"of blocks of {a['block']} words that were stored (block {i} has length {length})")
        packed = s.memory[dram:dram + length * width].reshape(length, width)
        words = unpack(packed, a["block"], a["zero_point"])
        if words is None:
            raise HwgenError(f"block {i}: packed data is corrupt, its bits do not agree with its length of {length}",
                             where=s.where)
        s.act[chip:chip + words.size] = words.reshape(-1)
        moved.append(length)
    return Work(items=sum(moved), writes=a["blocks"] * a["block"] * s.derived.dma_words, moved=tuple(moved))


def store_packed(s: State) -> Work:
    """Activation buffer to DRAM, packing."""
    a, width, moved = s.command.args, s.derived.dma_bytes, []
    for i, (dram, chip) in enumerate(_blocks(s, "src")):
        packed = pack(s.act[chip:chip + a["block"] * width].reshape(a["block"], width), a["zero_point"])
        s.memory[dram:dram + packed.size] = packed.reshape(-1)
        s.lengths[a["slot"] + i] = len(packed)
        moved.append(len(packed))
    return Work(items=sum(moved), reads=a["blocks"] * a["block"] * s.derived.dma_words, moved=tuple(moved))


def afetch(s: State) -> Work:
    """Patches of a map to the lanes' activation memories."""
    a, c, d = s.command.args, s.config, s.derived
    m, col = s.register("AF_MAP"), s.register("AF_COL")
    levels = [s.register("AF_LEVEL", i) for i in range(LEVELS)]
    counts = [level["count"] for level in levels]
    cols, rows_len, inner = m["cols"], m["rows_len"], int(np.prod(counts[2:]))
    s.require(1 <= cols <= c.columns, "AF_MAP.cols", f"in 1..{c.columns}, not {cols}")
    s.require(rows_len >= 1, "AF_MAP.rows_len", ">= 1, not 0")
    s.within("AF_MAP.rows_len, rp_step", 0,
             (counts[0] - 1) * m["rp_step"] + counts[1] * rows_len - 1, c.rows, "row")
    s.within("dst", a["dst"], a["dst"] + inner - 1, c.amem_words, "amem word")

    y, x, address = expand([(v["count"], (v["dy"], v["dx"], v["da"])) for v in levels], (a["y0"], a["x0"], a["a0"]))
    engine = np.arange(cols)
    cp, cc = (v.reshape(-1, *[1] * LEVELS) for v in (engine >> col["log2_cc"], engine % (1 << col["log2_cc"])))
    shape = (cols, *counts)
    y, x = y + cp * col["dy"], x + cp * col["dx"]
    inside = np.broadcast_to((y >= 0) & (y < m["height"]) & (x >= 0) & (x < m["width"]), shape)
    address = np.broadcast_to(address + cp * col["da"] + cc * col["cc_da"], shape)
    used = address[inside]
    if len(used):
        s.within("a0", int(used.min()), int(used.max()), d.act_words, "ACT word")

    values = np.full((*shape, d.word), m["fill"], np.int64)
    values[inside] = s.act.view(np.int8).reshape(-1, d.word)[used].astype(np.int64) - m["zero_point"]
    values = wrap(values, c.act_bits + 1).reshape(cols, counts[0], counts[1], inner, d.word)
    if m["transpose"]:
        s.require("pixel" in c.mappings, "AF_MAP.transpose", "0 without the pixel mapping, not 1")
        s.require(inner % c.vector == 0, "AF_LEVEL.count",
                  f"such that levels 2..6 have a multiple of {c.vector} elements, not {inner}")
        turned = values.reshape(cols, counts[0], counts[1], -1, c.vector, d.word).swapaxes(-1, -2)
        values = turned.reshape(values.shape)
    for i0 in range(counts[0]):
        for i1 in range(counts[1]):
            first = i0 * m["rp_step"] + i1 * rows_len
            s.amem[:cols, first:first + rows_len, a["dst"]:a["dst"] + inner] = values[:, i0, i1, None]
    return Work(items=int(np.prod(counts)), reads=len(used))
