"""The command table and its encoding."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwgen.config import Config
from hwgen.isa import (
    BY_NAME,
    COMMAND_BYTES,
    PAYLOAD_BITS,
    TABLE,
    WORKERS,
    Command,
    Field,
    Module,
    Operation,
    decode,
    encode,
    operations,
)


def bounds(f: Field) -> tuple[int, int]:
    return (-(1 << f.width - 1), (1 << f.width - 1) - 1) if f.signed else (0, (1 << f.width) - 1)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    op = draw(st.sampled_from(TABLE))
    masks = st.sets(st.sampled_from(WORKERS)).map(lambda v: tuple(sorted(v)))
    args = {f.name: draw(st.integers(*bounds(f)) | st.sampled_from(bounds(f))) for f in op.fields}
    return Command(op.name, args, draw(masks), draw(masks))


@given(commands())
def test_decode_inverts_encode(command: Command) -> None:
    raw = encode(command)
    assert len(raw) == COMMAND_BYTES
    assert decode(raw) == command
    assert encode(decode(raw)) == raw


@given(st.binary(min_size=COMMAND_BYTES, max_size=COMMAND_BYTES))
def test_what_decodes_encodes_to_the_same_fields(raw: bytes) -> None:
    try:
        command = decode(raw)
    except ValueError:
        return
    assert decode(encode(command)) == command


def test_layout_of_one_command() -> None:
    raw = encode(
        Command(
            "STORE", {"dram": 0x12345678, "src": 0xABCDE, "count": 0x54321}, (Module.POST,), (Module.LOAD, Module.POST)
        )
    )
    value = int.from_bytes(raw, "little")
    assert (value & 0xF, value >> 4 & 0xF, value >> 8 & 0xFF, value >> 16 & 0xFF, value >> 24 & 0xFF) == (
        5,
        1,
        0x10,
        0x11,
        0,
    )
    assert value >> 32 == 0x12345678 | 0xABCDE << 32 | 0x54321 << 52


def test_negative_fields_are_twos_complement() -> None:
    raw = encode(Command("PO_PIPE", {"dy": -1, "dx": -65536, "da": 1, "dp": 0}))
    assert int.from_bytes(raw[4:], "little") == 0x1FFF | 0x10000 << 13 | 1 << 30


def test_table_is_consistent() -> None:
    assert len(BY_NAME) == len(TABLE) == len({(o.module, o.code) for o in TABLE})
    for op in TABLE:
        assert 1 <= op.code <= 15, "operation 0 is illegal"
        assert len({f.name for f in op.fields}) == len(op.fields)
        assert sum(f.width for f in op.fields) <= PAYLOAD_BITS
    assert {o.module for o in TABLE} == set(Module)


def test_options_add_operations() -> None:
    """Only a machine with an option has the operations of it."""
    optional = {"compress_maps": {"LOAD_PACKED", "STORE_PACKED"}, "weight_formats": {"WSTREAM", "CODEBOOK"},
                "weight_zero": {"WF_ZERO"}}
    changes: dict[str, dict[str, Any]] = {
        "compress_maps": {"compress_maps": True}, "weight_formats": {"weight_formats": ("packed",)},
        "weight_zero": {"weight_bits": 9}}
    assert {op.name: op.option for op in TABLE if op.option} == {n: o for o, names in optional.items() for n in names}
    plain = {op.name for op in operations(Config())}
    assert plain == {op.name for op in TABLE if not op.option}
    for option, names in optional.items():
        assert {op.name for op in operations(Config().replace(**changes[option]))} == plain | names


def test_a_payload_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="WIDE: payload exceeds 96 bits"):
        Operation(Module.LOAD, 9, "WIDE", (Field("a", 64), Field("b", 33)), "")


@pytest.mark.parametrize("op", [o for o in TABLE if o.fields], ids=lambda o: o.name)
def test_every_field_is_range_checked(op: Operation) -> None:
    for f in op.fields:
        low, high = bounds(f)
        for value in (low - 1, high + 1):
            args = {g.name: 0 for g in op.fields} | {f.name: value}
            text = f"{op.name}.{f.name} must be in [{low}, {high}], not {value}"
            with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
                encode(Command(op.name, args))


@pytest.mark.parametrize("args", [{"level": 4}, {"level": 4, "ds": 1, "dt": 1}])
def test_fields_must_be_complete_and_known(args: dict[str, int]) -> None:
    text = f"PO_SOURCE: fields must be ['level', 'ds'], not {sorted(args)}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        encode(Command("PO_SOURCE", args))


LEGAL = {(int(o.module), o.code) for o in TABLE}
ILLEGAL = [m | c << 4 for m in range(16) for c in range(16) if (m, c) not in LEGAL]


@pytest.mark.parametrize(
    "header", [*ILLEGAL, *(0x11 & 0xF0 | 1 << bit for bit in (14, 15, 22, 23, *range(24, 32)))], ids=hex
)
def test_illegal_header(header: int) -> None:
    raw = header.to_bytes(4, "little") + bytes(12)
    with pytest.raises(ValueError, match=f"^illegal command {raw.hex()}$"):
        decode(raw)


def test_a_zeroed_stream_is_illegal() -> None:
    with pytest.raises(ValueError, match=r"illegal command 0{32}$"):
        decode(bytes(COMMAND_BYTES))
