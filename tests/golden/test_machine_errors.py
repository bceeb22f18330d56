"""What the golden machine refuses: the message names the command, the field and the rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hwgen import isa
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.golden.machine import Machine
from hwgen.isa import BY_NAME, Command, Module

CONFIG = Config(rows=4, columns=2, wmem_words=32, amem_words=32, acc_vectors=16, act_kib=1, weight_kib=1, param_kib=1)
"""128 activation, weight and parameter words of 8 bytes."""
DRAM = np.zeros(1024, np.uint8)

FINE: dict[str, dict[str, int]] = {
    "LOAD": {"count": 1},
    "STORE": {"count": 1},
    "WFETCH": {"count": 1, "groups": 1},
    "AFETCH": {},
    "SEGMENT": {"length": 1},
    "RUN": {"rounds": 1, "seg_count": 1},
    "DRAIN": {"mask": 255},
    "ELTWISE": {"mask": 255},
    "AF_LEVEL": {"count": 1},
    "PO_LEVEL": {"count": 1},
    "AF_MAP": {"height": 1, "width": 1, "rows_len": 1, "cols": 1},
    "AF_COL": {},
    "BASE": {"nx": 1},
    "PO_QUANT": {"height": 1, "width": 1, "cc_valid": 1, "scalar": 1, "qmax": 1},
    "PO_PIPE": {},
    "PO_ADD": {"add": 1},
    "PO_SCALAR": {},
    "PO_SOURCE": {"level": 4},
    "END": {},
}


def command(name: str, **args: int) -> Command:
    return Command(name, {**{f.name: 0 for f in BY_NAME[name].fields}, **FINE[name], **args})


SETTINGS = [
    *(command(n, level=i) for n in ("AF_LEVEL", "PO_LEVEL") for i in range(7)),
    *(command("PO_SOURCE", level=i) for i in (4, 5, 6)),
    *(command(n) for n in ("AF_MAP", "AF_COL", "SEGMENT", "BASE", "PO_QUANT", "PO_PIPE", "PO_ADD", "PO_SCALAR")),
]


def run(*commands: Command, config: Config = CONFIG) -> None:
    Machine(config).run([*SETTINGS, *commands, command("END")], DRAM)


def test_the_commands_of_this_file_are_legal() -> None:
    run(*(command(n) for n in FINE if n != "END"))


CASES: list[tuple[str, dict[str, int], str]] = [
    ("LOAD", {"buffer": 3}, "buffer must be 0, 1 or 2, not 3"),
    ("LOAD", {"count": 0}, "count must be >= 1, not 0"),
    ("LOAD", {"dram": 4}, "dram must be a multiple of 8, not 4"),
    ("LOAD", {"dram": 1016, "count": 2}, "dram leads to DRAM byte 1016..1031, outside 0..1023"),
    ("LOAD", {"dst": 127, "count": 2}, "dst leads to ACT DMA word 127..128, outside 0..127"),
    ("LOAD", {"dst": 128, "buffer": 1}, "dst leads to WEIGHT DMA word 128..128, outside 0..127"),
    ("LOAD", {"dst": 128, "buffer": 2}, "dst leads to PARAM DMA word 128..128, outside 0..127"),
    ("STORE", {"src": 120, "count": 9}, "src leads to ACT DMA word 120..128, outside 0..127"),
    ("STORE", {"dram": 1024}, "dram leads to DRAM byte 1024..1031, outside 0..1023"),
    ("WFETCH", {"count": 0}, "count must be >= 1, not 0"),
    ("WFETCH", {"log2_rc": 3}, "log2_rc must be <= log2 of 4 rows, not 3"),
    ("WFETCH", {"log2_cc": 2}, "log2_cc must be <= log2 of 2 columns, not 2"),
    ("WFETCH", {"groups": 9, "log2_rc": 2, "log2_cc": 1}, "groups must be in 1..8, not 9"),
    (
        "WFETCH",
        {"src": 125, "groups": 2, "count": 2, "log2_rc": 1},
        "src leads to WEIGHT DMA word 125..128, outside 0..127",
    ),
    ("WFETCH", {"dst": 31, "count": 2}, "dst leads to wmem word 31..32, outside 0..31"),
    ("AFETCH", {"a0": -1}, "a0 leads to ACT word -1..-1, outside 0..127"),
    ("AFETCH", {"dst": 32}, "dst leads to amem word 32..32, outside 0..31"),
    ("RUN", {"mode": 3}, "mode must be one of 0 (channel), 1 (pixel), 2 (depthwise), not 3"),
    ("RUN", {"mode": 2, "max": 1, "accumulate": 1}, "accumulate must be 0 with max, not 1"),
    ("RUN", {"rounds": 0}, "rounds must be >= 1, not 0"),
    ("RUN", {"seg_count": 0}, "seg_count must be >= 1, not 0"),
    ("RUN", {"seg_first": 60, "seg_count": 5}, "seg_first, seg_count leads to segment 60..64, outside 0..63"),
    ("RUN", {"seg_first": 1}, "needs SEGMENT 1 that was never set"),
    ("RUN", {"v_base": 32}, "v_base leads to vector operand (channel) 32..32, outside 0..31"),
    ("RUN", {"s_base": 256}, "s_base leads to streamed operand (channel) 256..256, outside 0..255"),
    ("RUN", {"s_base": 32, "mode": 2}, "s_base leads to streamed operand (depthwise) 32..32, outside 0..31"),
    ("RUN", {"acc_base": 15, "rounds": 2}, "acc_base, rounds leads to accumulator 15..16, outside 0..15"),
    ("DRAIN", {"a0": 128}, "a0 leads to ACT vector 128..128, outside 0..127"),
    ("DRAIN", {"acc_base": 16}, "acc_base leads to accumulator 16..16, outside 0..15"),
    ("ELTWISE", {"a": 128}, "a leads to ACT vector 128..128, outside 0..127"),
    ("ELTWISE", {"b": 128}, "b leads to ACT vector 128..128, outside 0..127"),
    ("ELTWISE", {"out": 128}, "out leads to ACT vector 128..128, outside 0..127"),
    ("AF_LEVEL", {"level": 7}, "level must be in 0..6, not 7"),
    ("AF_LEVEL", {"count": 0}, "count must be >= 1, not 0"),
    ("PO_LEVEL", {"level": 7}, "level must be in 0..6, not 7"),
    ("PO_SOURCE", {"level": 3}, "level must be in 4..6, not 3"),
    ("SEGMENT", {"index": 64}, "index must be below 64, not 64"),
    ("SEGMENT", {"length": 0}, "length must be >= 1, not 0"),
    ("BASE", {"nx": 0}, "nx must be >= 1, not 0"),
    ("AF_COL", {"log2_cc": 2}, "log2_cc must be <= log2 of 2 columns, not 2"),
    ("PO_QUANT", {"log2_rc": 3}, "log2_rc must be <= log2 of 4 rows, not 3"),
    ("PO_QUANT", {"final": 3}, "final must be 0, 1 or 2, not 3"),
    ("LOAD", {"dst": 1 << 20}, "LOAD.dst must be in [0, 1048575], not 1048576"),
]


@pytest.mark.parametrize(("name", "args", "text"), CASES, ids=[f"{n}-{t[:25]}" for n, _, t in CASES])
def test_refused_value(name: str, args: dict[str, int], text: str) -> None:
    with pytest.raises(HwgenError) as error:
        run(command(name, **args))
    assert str(error.value) == f"command {len(SETTINGS)} ({name}): {text}"


def test_zero_points_of_weights() -> None:
    """A machine whose weights have one must be told; others have none."""
    zero = Command("WF_ZERO", {"zero_point": 1})
    run(zero, command("WFETCH"), config=CONFIG.replace(weight_bits=9))
    with pytest.raises(HwgenError, match=r"\(WFETCH\): needs WF_ZERO 0 that was never set"):
        run(command("WFETCH"), config=CONFIG.replace(weight_bits=9))
    with pytest.raises(HwgenError, match=r"\(WF_ZERO\): the machine must be one whose weights have a zero point"):
        run(zero)


PACKED_CASES: list[tuple[str, dict[str, int], str]] = [
    *((n, changes, text) for n in ("LOAD_PACKED", "STORE_PACKED") for changes, text in (
        ({"blocks": 0}, "blocks must be >= 1, not 0"),
        ({"block": 0}, "block must be in 1..256, not 0"),
        ({"block": 257}, "block must be in 1..256, not 257"),
        ({"dram": 4}, "dram must be a multiple of 8, not 4"),
        ({"dram": 1008, "block": 8}, "dram leads to DRAM byte 1008..1079, outside 0..1023"),
        ({"slot": 2047, "blocks": 2}, "slot leads to entry 2047..2048, outside 0..2047"),
    )),
    ("LOAD_PACKED", {"dst": 120, "block": 3, "blocks": 3}, "dst leads to ACT DMA word 120..128, outside 0..127"),
    ("STORE_PACKED", {"src": 120, "block": 3, "blocks": 3}, "src leads to ACT DMA word 120..128, outside 0..127"),
    ("LOAD_PACKED", {}, "slot must be of blocks of 1 words that were stored (block 0 has length 0), not 0"),
]


@pytest.mark.parametrize(("name", "args", "text"), PACKED_CASES, ids=[f"{n}-{t[:25]}" for n, _, t in PACKED_CASES])
def test_refused_packed(name: str, args: dict[str, int], text: str) -> None:
    one = Command(name, {f.name: 0 for f in BY_NAME[name].fields} | {"blocks": 1, "block": 1} | args)
    with pytest.raises(HwgenError) as error:
        run(one, config=CONFIG.replace(compress_maps=True))
    assert str(error.value) == f"command {len(SETTINGS)} ({name}): {text}"
    with pytest.raises(HwgenError, match="compress_maps must be set in the configuration"):
        run(one)


SETTING_CASES: list[tuple[str, dict[str, int], str, str]] = [
    ("AF_MAP", {"cols": 3}, "AFETCH", "AF_MAP.cols must be in 1..2, not 3"),
    ("AF_MAP", {"rows_len": 0}, "AFETCH", "AF_MAP.rows_len must be >= 1, not 0"),
    ("AF_MAP", {"rows_len": 5}, "AFETCH", "AF_MAP.rows_len, rp_step leads to row 0..4, outside 0..3"),
    (
        "AF_MAP",
        {"transpose": 1},
        "AFETCH",
        "AF_LEVEL.count must be such that levels 2..6 have a multiple of 8 elements, not 1",
    ),
    ("PO_QUANT", {"transpose": 1}, "DRAIN", "PO_LEVEL.count must be such that levels 5 and 6 have 8 elements, not 1"),
    ("PO_LEVEL", {"level": 3, "count": 5}, "DRAIN", "PO_LEVEL.count of levels 1, 3 leads to row 0..4, outside 0..3"),
    ("PO_LEVEL", {"level": 2, "count": 3}, "DRAIN", "PO_LEVEL.count of levels 0, 2 leads to column 0..2, outside 0..1"),
    ("PO_SCALAR", {"shift": 40}, "DRAIN", "PO_SCALAR.shift must be <= 39, not 40"),
]


@pytest.mark.parametrize(("setting", "args", "name", "text"), SETTING_CASES, ids=[v[3][:30] for v in SETTING_CASES])
def test_refused_setting(setting: str, args: dict[str, int], name: str, text: str) -> None:
    with pytest.raises(HwgenError) as error:
        run(command(setting, **args), command(name))
    assert str(error.value) == f"command {len(SETTINGS) + 1} ({name}): {text}"


PARAMETERS = command("PO_QUANT", scalar=0)


def test_parameter_block_outside_the_buffer() -> None:
    with pytest.raises(HwgenError, match=r"\(DRAIN\): param leads to PARAM DMA word 120..128, outside 0..127"):
        run(PARAMETERS, command("DRAIN", param=120))


def test_parameter_shift_out_of_range() -> None:
    block = np.zeros(1024, np.uint8)
    block[64:72] = [0, 0, 40, 0, 0, 0, 0, 0]
    stream = [*SETTINGS, PARAMETERS, command("LOAD", buffer=2, count=9), command("DRAIN", mask=4), command("END")]
    with pytest.raises(HwgenError, match=r"param must be the address of a block whose shifts are <= 39 \(found 40\)"):
        Machine(CONFIG).run(stream, block)
    stream[-2] = command("DRAIN", mask=251)  # the channel is not written: its shift does not matter
    Machine(CONFIG).run(stream, block)


def test_parameter_address_that_moves_within_a_lane() -> None:
    with pytest.raises(
        HwgenError, match=r"PO_LEVEL.dp must be such that the parameter address is constant within a lane"
    ):
        run(PARAMETERS, command("PO_LEVEL", level=6, count=2, dp=1), command("DRAIN"))


@pytest.mark.parametrize(
    ("name", "args", "text"),
    [
        ("RUN", {"mode": 2}, "mode must be one of 0 (channel), not 2"),
        ("RUN", {"max": 1}, "max must be 0 without the operator max_pool, not 1"),
        ("ELTWISE", {}, "PO_ADD.add must be 0 without the operator add"),
    ],
)
def test_refuses_what_is_not_built(name: str, args: dict[str, int], text: str) -> None:
    with pytest.raises(HwgenError) as error:
        run(command(name, **args), config=CONFIG.replace(mappings=("channel",), operators=()))
    assert error.value.what == text


@pytest.mark.parametrize(("setting", "name"), [("AF_MAP", "AFETCH"), ("PO_QUANT", "DRAIN")])
def test_refuses_a_transpose_without_the_pixel_mapping(setting: str, name: str) -> None:
    with pytest.raises(HwgenError, match=f"{setting}.transpose must be 0 without the pixel mapping, not 1"):
        run(command(setting, transpose=1), command(name), config=CONFIG.replace(mappings=("channel", "depthwise")))


def test_refuses_a_setting_that_was_never_made() -> None:
    with pytest.raises(HwgenError, match=r"command 0 \(AFETCH\): needs AF_MAP 0 that was never set"):
        Machine(CONFIG).run([command("AFETCH"), command("END")], DRAM)


def token(wait: tuple[Module, ...] = (), post: tuple[Module, ...] = (), name: str = "LOAD") -> Command:
    return Command(name, command(name).args, wait, post)


def test_tokens_are_counted() -> None:
    stream = [
        token(post=(Module.WFETCH, Module.STORE)),
        token(post=(Module.WFETCH,)),
        token((Module.LOAD,), name="WFETCH"),
        command("END"),
    ]
    result = Machine(CONFIG).run(stream, DRAM)
    assert result.tokens == {(Module.LOAD, Module.WFETCH): 1, (Module.LOAD, Module.STORE): 1}
    assert result.most_tokens == {(Module.LOAD, Module.WFETCH): 2, (Module.LOAD, Module.STORE): 1}


@pytest.mark.parametrize(
    "stream",
    [
        [token((Module.LOAD,), name="WFETCH")],
        [token(), token(post=(Module.STORE,)), token((Module.LOAD,), name="WFETCH")],
        [token(post=(Module.WFETCH,)), token((Module.LOAD,), name="WFETCH"), token((Module.LOAD,), name="WFETCH")],
        [token((Module.LOAD,), post=(Module.LOAD,))],
    ],
)
def test_a_token_that_nobody_gave(stream: list[Command]) -> None:
    last = stream[-1]
    with pytest.raises(HwgenError) as error:
        Machine(CONFIG).run([*stream, command("END")], DRAM)
    assert str(error.value) == (
        f"command {len(stream) - 1} ({last.name}): wait takes a token LOAD -> {last.module.name} "
        "that nobody gave before"
    )


def test_end_takes_and_gives_no_token() -> None:
    with pytest.raises(HwgenError, match=r"command 0 \(END\): wait and post must be empty"):
        Machine(CONFIG).run([token(post=(Module.LOAD,), name="END")], DRAM)


@pytest.mark.parametrize("form", [lambda c: c, lambda c: b"".join(map(isa.encode, c))], ids=["commands", "bytes"])
def test_a_stream_needs_an_end_and_stops_there(form: Callable[[list[Command]], list[Command] | bytes]) -> None:
    with pytest.raises(HwgenError, match=r"command 1: the stream must end with END"):
        Machine(CONFIG).run(form([command("LOAD")]), DRAM)
    assert len(Machine(CONFIG).run(form([command("LOAD"), command("END"), command("LOAD")]), DRAM).work) == 2


def test_raw_bytes() -> None:
    end = isa.encode(command("END"))
    load = isa.encode(command("LOAD"))
    assert len(Machine(CONFIG).run(load + end + b"\x00" * 16, DRAM).work) == 2
    with pytest.raises(HwgenError, match=r"command 1: illegal command 0{32}"):
        Machine(CONFIG).run(load + b"\x00" * 16 + end, DRAM)
    with pytest.raises(HwgenError, match=r"a stream must be a multiple of 16 bytes, not 31"):
        Machine(CONFIG).run((load + end)[:-1], DRAM)


def test_the_memory_image_is_not_changed() -> None:
    image = bytearray(range(16)) * 64
    before = bytes(image)
    result = Machine(CONFIG).run([command("LOAD"), command("STORE", dram=8), command("END")], image)
    assert bytes(image) == before
    assert result.memory[8:16].tolist() == list(range(8))
