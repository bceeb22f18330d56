"""Random command streams that pack and unpack, for the benches of LOAD and STORE and of the whole machine."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.packed_map import slot_words
from hwgen.isa import LONGEST_BLOCK, SLOTS, Command, Module

SOURCE, TARGET, SIZE = 0x2000, 0x8000, 0x20000
"""Memory: what is loaded, what is packed; the last `LAST` bytes are for plain STOREs."""
LAST = 0x4000
ZERO_POINT = -5


def packed(name: str, dram: int, chip: int, blocks: int, block: int, slot: int, wait: Sequence[Module] = (),
           post: Sequence[Module] = ()) -> Command:
    """Make a LOAD_PACKED or STORE_PACKED."""
    args = {"dram": dram, "dst" if name == "LOAD_PACKED" else "src": chip, "blocks": blocks, "block": block,
            "zero_point": ZERO_POINT, "slot": slot}
    return Command(name, args, tuple(wait), tuple(post))


def source_map(memory: NDArray[np.uint8], rng: random.Random) -> None:
    """Make the source region look like maps: stretches of any density of zero points."""
    for at in range(SOURCE, TARGET, 512):
        draw, density = np.random.default_rng(rng.randrange(1 << 30)), rng.choice((0.0, 0.1, 0.5, 0.5, 0.9, 1.0))
        memory[at:at + 512][draw.random(512) >= density] = ZERO_POINT & 0xFF


def _turn(commands: list[Command], wait: Sequence[Module], post: Sequence[Module]) -> list[Command]:
    """Let the first command take a token of another module and the last one give it one."""
    commands[0] = Command(commands[0].name, commands[0].args, tuple(wait), ())
    commands[-1] = Command(commands[-1].name, commands[-1].args, commands[-1].wait, tuple(post))
    return commands


def exchanges(config: Config, rng: random.Random, rounds: int) -> list[Command]:
    """Fill the activation buffer; then blocks go out and some of them come back to other places, plain copies between;
    the last STORE shows them. LOADs and STOREs take turns."""
    d = Derived(config)
    word, depth = d.dma_bytes, d.act_words // d.dma_words
    most = (TARGET - SOURCE) // word

    def load(dram: int, buffer: int, dst: int, count: int) -> Command:
        return Command("LOAD", {"dram": dram, "buffer": buffer, "dst": dst, "count": count})

    def store(dram: int, src: int, count: int) -> Command:
        return Command("STORE", {"dram": dram, "src": src, "count": count})

    fill = [load(SOURCE, 0, at, min(most, depth - at)) for at in range(0, depth, most)]
    commands = _turn(fill, (), [Module.STORE])
    dram, end = TARGET, SIZE - LAST
    for _ in range(rounds):
        block = min(depth, rng.choice((1, rng.randint(1, 20), rng.randint(30, 70), LONGEST_BLOCK)))
        blocks = rng.randint(1, max(1, min(6, depth // 2 // block)))
        slot, step = rng.randrange(SLOTS - blocks + 1), slot_words(block) * word
        if dram + step * blocks > end:
            continue
        stores = [packed("STORE_PACKED", dram, rng.randint(0, depth - block * blocks), blocks, block, slot)]
        for _ in range(rng.randrange(3)):
            n = rng.randint(1, min(90, depth))
            stores.append(store(end + word * rng.randrange(64), rng.randint(0, depth - n), n))
        skip = rng.randrange(blocks)
        count = rng.randint(1, blocks - skip)
        loads = [packed("LOAD_PACKED", dram + skip * step, rng.randint(0, depth - block * count), count, block,
                        slot + skip)]
        for _ in range(rng.randrange(3)):
            n = rng.randint(1, min(20, d.weight_words, depth))
            loads.append(load(SOURCE + word * rng.randrange(64), rng.choice((0, 1)), 0, n))
        rng.shuffle(stores)
        rng.shuffle(loads)
        commands += _turn(stores, [Module.LOAD], [Module.LOAD]) + _turn(loads, [Module.STORE], [Module.STORE])
        dram += step * blocks
    last = store(end, 0, min(depth, LAST // word))
    return [*commands, *_turn([last], [Module.LOAD], ()), Command("END", {})]
