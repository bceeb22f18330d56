"""Generated files: same bytes twice, tables complete, text shortened without a change of meaning."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hwgen import emit, isa, registers
from hwgen.hardware.shorten import compact
from hwgen.presets import preset


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return emit.generate(preset("tiny"))


def test_same_bytes_twice(files: dict[str, str]) -> None:
    assert emit.generate(preset("tiny")) == files


def test_manifest_hashes_every_file(files: dict[str, str]) -> None:
    manifest = json.loads(files["manifest.json"])
    assert manifest["config"]["name"] == "tiny" and manifest["derived"]["multipliers"] == 8
    assert manifest["files"] == {
        n: hashlib.sha256(t.encode()).hexdigest() for n, t in files.items() if n != "manifest.json"
    }


def test_no_source_references(files: dict[str, str]) -> None:
    for name, text in files.items():
        assert "src =" not in text and "site-packages" not in text and str(Path.cwd()) not in text, name


def test_maps_list_everything(files: dict[str, str]) -> None:
    assert [r["offset"] for r in json.loads(files["registers.json"])] == [r.offset for r in registers.REGISTERS]
    operations = json.loads(files["commands.json"])["operations"]
    assert [o["name"] for o in operations] == [o.name for o in isa.TABLE]
    for operation, row in zip(operations, isa.TABLE, strict=True):
        args = {f.name: 1 for f in row.fields}
        value = int.from_bytes(isa.encode(isa.Command(row.name, args)), "little")
        for f in operation["fields"]:
            assert value >> f["low"] & ((1 << f["width"]) - 1) == 1, (row.name, f["name"])
    for r in registers.REGISTERS:
        assert f"| {r.name} |" in files["interface.md"]


def test_register_table_is_consistent() -> None:
    table = registers.registers(preset("base-sparse"))
    offsets = [r.offset for r in table]
    assert (
        len(set(offsets)) == len(offsets)
        and max(offsets) < 1 << registers.ADDRESS_BITS
        and all(o % 4 == 0 for o in offsets)
    )
    for r in table:
        used = [i for b in r.bits for i in range(b.low, b.low + b.width)]
        assert len(set(used)) == len(used) and max(used) < 32, r.name


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")
def test_header_compiles(files: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "hwgen.h").write_text(files["hwgen.h"])
    (tmp_path / "use.c").write_text(
        '#include "hwgen.h"\n#include "hwgen.h"\n'
        f'_Static_assert(HWGEN_CMD_ADDR == {registers.BY_NAME["CMD_ADDR"].offset}u, "offset");\n'
        '_Static_assert(HWGEN_CTRL_SOFT_RESET_SHIFT == 1u, "bit");\n'
        '_Static_assert(HWGEN_OP_RUN == 0x13u, "operation");\n'
    )
    subprocess.run(["gcc", "-std=c11", "-Wall", "-Werror", "-c", "use.c"], cwd=tmp_path, check=True)


def test_memory_rows_become_a_loop() -> None:
    rows = "".join(f"    m[{i}] = 8'h00;\n" for i in range(9))
    assert "i < 9" in compact(f"  initial begin\n{rows}  end\n")
    irregular = f"  initial begin\n{rows}    m[9] = 8'h01;\n  end\n"
    assert compact(irregular) == irregular
    gap = "  initial begin\n" + rows.replace("m[3]", "m[30]") + "  end\n"
    assert compact(gap) == gap


def test_equal_modules_are_shared() -> None:
    def leaf(name: str, value: int) -> str:
        return f"module {name}(o);\n  output o;\n  assign o = {value};\nendmodule\n\n"

    def node(name: str, child: str) -> str:
        return f"module {name}(o);\n  output o;\n  {child}  x (\n    .o(o)\n  );\nendmodule\n\n"

    text = (
        leaf("\\a.x ", 1)
        + leaf("\\b.x ", 1)
        + leaf("\\c.x ", 0)
        + node("\\a ", "\\a.x")
        + node("\\b ", "\\b.x")
        + node("\\c ", "\\c.x")
    )
    short = compact(text)
    assert re.findall(r"^module (\S+)", short, re.M) == ["\\a.x", "\\c.x", "\\a", "\\c"]
    assert re.findall(r"^  (\S+) +x", short, re.M) == ["\\a.x", "\\c.x"]
