"""Configurations: every rule with its exact text, TOML, presets, derived sizes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hwgen.config import MAPPINGS, OPERATORS, WEIGHT_FORMATS, Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.presets import PRESETS, preset

REMEDY = "\n  -> `hwgen presets` shows working values"
RULES: list[tuple[dict[str, Any], str]] = [
    ({"name": "a b"}, "name must be 1..40 letters, digits, _ or -, not 'a b'"),
    ({"name": ""}, "name must be 1..40 letters, digits, _ or -, not ''"),
    ({"name": "x" * 41}, f"name must be 1..40 letters, digits, _ or -, not '{'x' * 41}'"),
    *(
        ({k: v}, f"{k} must be a power of two in 1..{high}, not {v}")
        for k, high in (("rows", 32), ("columns", 32), ("vector", 16), ("banks", 32))
        for v in (0, 3, -2, 2 * high)
    ),
    *(
        ({k: v}, f"{k} must be in {low}..{high}, not {v}")
        for k, low, high in (
            ("weight_bits", 2, 9),
            ("act_bits", 2, 8),
            ("acc_bits", 16, 32),
            ("segments", 4, 256),
            ("outstanding", 1, 16),
            ("queue", 4, 64),
            ("act_kib", 1, 4096),
            ("weight_kib", 1, 4096),
            ("param_kib", 1, 512),
        )
        for v in (low - 1, high + 1)
    ),
    *(
        ({k: v}, f"{k} must be a power of two in {low}..{high}, not {v}")
        for k, low, high in (("wmem_words", 16, 4096), ("amem_words", 16, 4096), ("acc_vectors", 4, 2048))
        for v in (low // 2, low + 1, 2 * high)
    ),
    *(({"axi_bits": v}, f"axi_bits must be 32, 64, 128 or 256, not {v}") for v in (16, 96, 512)),
    (
        {"mappings": ("channel", "row")},
        "mappings must be distinct names out of channel, pixel, depthwise, not ['channel', 'row']",
    ),
    (
        {"mappings": ("channel", "channel")},
        "mappings must be distinct names out of channel, pixel, depthwise, not ['channel', 'channel']",
    ),
    ({"operators": ("mul",)}, "operators must be distinct names out of add, max_pool, not ['mul']"),
    ({"mappings": ("pixel", "depthwise")}, "mappings must contain channel"),
    ({"mappings": ("channel", "pixel")}, "operator max_pool needs the depthwise mapping"),
    ({"vector": 4}, "the pixel mapping needs vector 8 or 16, not 4"),
    ({"acc_bits": 16}, "acc_bits must be >= weight_bits + act_bits + 1 = 17, not 16"),
    ({"acc_bits": 17, "weight_bits": 9}, "acc_bits must be >= weight_bits + act_bits + 1 = 18, not 17"),
    ({"skip": "bits"}, "skip must be none, weight, activation or both, not 'bits'"),
    ({"skip": "both", "wmem_words": 32}, "wmem_words must be >= 64 to skip zeros with vector 8, not 32"),
    *(({"post_width": v}, f"post_width must be vector times a power of two, not {v}") for v in (0, 4, 12, 24)),
    ({"post_width": 32}, "post_width must be <= vector * columns = 16, not 32"),
    ({"axi_bits": 256, "banks": 2}, "banks must be >= 4 (activation words per DMA word), not 2"),
    ({"columns": 8, "post_width": 64}, "banks must be >= post_width / vector = 8, not 4"),
    ({"axi_bits": 128, "rows": 1}, "rows must be >= 2 (axi_bits / 8 / 8), not 1"),
]


@pytest.mark.parametrize(
    ("changes", "text"), RULES, ids=[" ".join(f"{k}={v}" for k, v in c.items())[:50] for c, _ in RULES]
)
def test_rule(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(HwgenError) as error:
        Config(**changes)
    assert str(error.value) == f"config {changes.get('name', 'base')!r}: {text}{REMEDY}"


def test_rules_also_hold_for_replace() -> None:
    with pytest.raises(HwgenError, match=r"rows must be a power of two in 1\.\.32, not 5"):
        Config().replace(rows=5)
    assert Config().replace(rows=8) == Config(rows=8)


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().rows = 8  # type: ignore[misc]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_toml(tmp_path: Path) -> None:
    assert Config.from_toml(write(tmp_path, 'rows = 8\nmappings = ["channel", "depthwise"]\noperators = []')) == Config(
        name="mine", rows=8, mappings=("channel", "depthwise"), operators=()
    )
    assert Config.from_toml(write(tmp_path, 'name = "other"')).name == "other"


def test_toml_starts_from_a_preset(tmp_path: Path) -> None:
    assert Config.from_toml(write(tmp_path, 'preset = "tiny"\nqueue = 16')) == PRESETS["tiny"].replace(
        name="mine", queue=16
    )


def test_to_dict_is_what_toml_reads(tmp_path: Path) -> None:
    lines = [f"{k} = {json.dumps(v)}" for k, v in PRESETS["large"].to_dict().items()]
    assert Config.from_toml(write(tmp_path, "\n".join(lines))) == PRESETS["large"]


KEYS = ", ".join(f.name for f in dataclasses.fields(Config))
TOML_ERRORS = [
    ("rows = ", "not a TOML file: Invalid value (at end of document)", None),
    ("rows = 8\nrows = 8", "not a TOML file: Cannot overwrite a value (at end of document)", None),
    ("row = 8", "unknown key row", f"the keys are: preset, {KEYS}"),
    ("row = 8\ncol = 8", "unknown keys col, row", f"the keys are: preset, {KEYS}"),
    ('rows = "8"', "rows must be an integer, not '8'", None),
    ("rows = true", "rows must be an integer, not True", None),
    ("rows = 8.0", "rows must be an integer, not 8.0", None),
    ("compress_maps = 1", "compress_maps must be true or false, not 1", None),
    ("name = 8", "name must be a string, not 8", None),
    ("skip = []", "skip must be a string, not []", None),
    ('mappings = "channel"', "mappings must be a list of strings, not 'channel'", None),
    ("operators = [1]", "operators must be a list of strings, not [1]", None),
    ("preset = 8", "preset must be a string, not 8", None),
]


@pytest.mark.parametrize(("text", "what", "remedy"), TOML_ERRORS)
def test_toml_error(tmp_path: Path, text: str, what: str, remedy: str | None) -> None:
    path = write(tmp_path, text)
    with pytest.raises(HwgenError) as error:
        Config.from_toml(path)
    assert str(error.value) == f"{path}: {what}" + (f"\n  -> {remedy}" if remedy else "")


def test_toml_with_an_unknown_preset(tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as error:
        Config.from_toml(write(tmp_path, 'preset = "medium"'))
    assert str(error.value) == f"preset must be one of {', '.join(PRESETS)}, not 'medium'"


def test_toml_with_a_broken_rule_names_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"config 'mine': rows must be a power of two in 1\.\.32, not 3"):
        Config.from_toml(write(tmp_path, "rows = 3"))


def test_toml_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as error:
        Config.from_toml(tmp_path / "absent.toml")
    assert str(error.value) == f"{tmp_path / 'absent.toml'}: cannot read the configuration: No such file or directory"
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xe9"')
    with pytest.raises(HwgenError, match="not a TOML file: 'utf-8' codec can't decode"):
        Config.from_toml(path)


def test_presets() -> None:
    assert list(PRESETS) == [
        "tiny", "small", "base", "base-u8", "base-sparse", "sparse-fine", "sparse-block", "large", "huge"]  # fmt: skip
    assert all(preset(name).name == name for name in PRESETS)
    assert preset("base") == Config()
    assert [Derived(c).multipliers for c in PRESETS.values()] == [8, 32, 64, 64, 64, 64, 64, 256, 1024]
    assert all(set(c.mappings) == set(MAPPINGS) for c in PRESETS.values() if c.vector >= 8)
    assert preset("base").replace(
        name="base-sparse", skip="both", weight_formats=WEIGHT_FORMATS, codebook=256) == preset("base-sparse")
    assert all(set(c.operators) == set(OPERATORS) for c in PRESETS.values())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            Config(),
            {
                "word": 8,
                "vectors_per_word": 1,
                "bits_words": 1,
                "vector_row": 32,
                "weight_zero": False,
                "weight_width": 8,
                "leaves_out": False,
                "leaves_rows": False,
                "dma_bytes": 8,
                "dma_words": 1,
                "weight_buses": 1,
                "lanes": 8,
                "multipliers": 64,
                "pipes": 1,
                "act_words": 8192,
                "weight_words": 8192,
                "param_words": 512,
                "param_block": 9,
            },
        ),
        (
            Config(vector=4, axi_bits=128, mappings=("channel", "depthwise")),
            {
                "word": 8,
                "vectors_per_word": 2,
                "bits_words": 1,
                "vector_row": 16,
                "weight_zero": False,
                "weight_width": 8,
                "leaves_out": False,
                "leaves_rows": False,
                "dma_bytes": 16,
                "dma_words": 2,
                "weight_buses": 2,
                "lanes": 8,
                "multipliers": 32,
                "pipes": 2,
                "act_words": 8192,
                "weight_words": 4096,
                "param_words": 256,
                "param_block": 3,
            },
        ),
        (
            PRESETS["huge"],
            {
                "word": 8,
                "vectors_per_word": 1,
                "bits_words": 1,
                "vector_row": 32,
                "weight_zero": False,
                "weight_width": 8,
                "leaves_out": False,
                "leaves_rows": False,
                "dma_bytes": 32,
                "dma_words": 4,
                "weight_buses": 4,
                "lanes": 128,
                "multipliers": 1024,
                "pipes": 4,
                "act_words": 32768,
                "weight_words": 8192,
                "param_words": 512,
                "param_block": 3,
            },
        ),
        (
            PRESETS["tiny"],
            {
                "word": 8,
                "vectors_per_word": 2,
                "bits_words": 1,
                "vector_row": 16,
                "weight_zero": False,
                "weight_width": 8,
                "leaves_out": False,
                "leaves_rows": False,
                "dma_bytes": 8,
                "dma_words": 1,
                "weight_buses": 1,
                "lanes": 2,
                "multipliers": 8,
                "pipes": 1,
                "act_words": 2048,
                "weight_words": 1024,
                "param_words": 128,
                "param_block": 5,
            },
        ),
    ],
)
def test_derived_sizes(config: Config, expected: dict[str, int]) -> None:
    assert Derived(config).to_dict() == expected
