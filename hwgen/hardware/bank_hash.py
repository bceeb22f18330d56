"""Which bank of the activation buffer a word is in, and the ports of the units, which tell it."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth import Cat, Const, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.interfaces import act_read, act_write


def group_of(config: Config, address: Value) -> Value:
    """Return the group of banks (as many as a DMA word has words) of an address in DMA words.

    It is the exclusive or of the address's digits to the base of the number of groups.
    """
    d = Derived(config)
    width = (config.banks // d.dma_words - 1).bit_length()
    if width == 0:
        return Const(0, 1)
    used = (d.act_words // d.dma_words - 1).bit_length()
    return reduce(xor, (address[at:min(at + width, used)] for at in range(0, used, width)))


def bank_of(config: Config, address: Value) -> Value:
    """Return the bank of an address in words; words of one DMA word are in neighbouring banks."""
    if config.banks == 1:
        return Const(0, 1)
    low = (Derived(config).dma_words - 1).bit_length()
    return Cat(address[:low], group_of(config, address[low:]))[:(config.banks - 1).bit_length()]


def banked_read(config: Config) -> wiring.Signature:
    """One-word read port with ``bank`` = `bank_of` (``addr``): the hash is not on the path from request to grant."""
    return _with(act_read(config), "bank", config.banks)


def banked_write(config: Config) -> wiring.Signature:
    """One-word write port with ``bank``."""
    return _with(act_write(config), "bank", config.banks)


def grouped_read(config: Config) -> wiring.Signature:
    """Read port of a DMA word with ``group`` = `group_of` (``addr``)."""
    words = Derived(config).dma_words
    return _with(act_read(config, words), "group", config.banks // words)


def grouped_write(config: Config) -> wiring.Signature:
    """Write port of a DMA word with ``group``."""
    words = Derived(config).dma_words
    return _with(act_write(config, words), "group", config.banks // words)


def _with(port: wiring.Signature, name: str, choices: int) -> wiring.Signature:
    return wiring.Signature(dict(port.members) | {name: Out(max(1, (choices - 1).bit_length()))})
