"""Files of inputs that are none: one message, exit code 2, nothing written, whichever command reads them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwgen.embedded import FLOAT_MODEL, MODEL
from tests.shared_data import shared_file
from tests.test_cli import call, refused

GOOD = np.zeros((2, 8, 8, 1), np.float32)


def npz(**arrays: object) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def zipped(name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        file.writestr(name, content)
    return archive.getvalue()


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def damaged() -> bytes:
    """A member whose content is not what its checksum says."""
    content = bytearray(npz(x=GOOD))
    content[300] ^= 255
    return bytes(content)


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "plain arrays"),
    "not a zip": (b"\x00" * 100, "plain arrays"),
    "cut": (npz(x=GOOD)[:200], "plain arrays"),
    "damaged": (damaged(), "plain arrays"),
    "a pickle": (pickle.dumps({"x": [0]}), "plain arrays"),
    "an array of objects": (npz(x=np.array([{}, {}], object)), "plain arrays"),
    "labels of objects": (npz(x=GOOD, y=np.array([{}, {}], object)), "plain arrays"),
    "text": (zipped("x.npy", b"text"), "plain arrays"),
    "no arrays": (npz(), "no array x, but nothing"),
    "a size beyond memory": (zipped("x.npy", header(f"({1 << 40}, {1 << 20})")), "plain arrays"),
    "fewer numbers than its shape": (zipped("x.npy", header("(2, 8, 8, 1)") + bytes(8)), "plain arrays"),
    "a negative size": (zipped("x.npy", header("(-1, 8, 8, 1)")), "plain arrays"),
    "another compression": (zipped("x.npy", header("(0,)"), zipfile.ZIP_LZMA)[:60], "plain arrays"),
    "0-d": (npz(x=np.float32(1)), "must have the shape (N, 8, 8, 1)"),
    "NaN": (npz(x=np.full_like(GOOD, np.nan)), "finite"),
    "infinity": (npz(x=np.full_like(GOOD, -np.inf)), "finite"),
    "complex": (npz(x=GOOD.astype(complex)), "not complex128"),
    "strings": (npz(x=GOOD.astype("U3")), "not <U3"),
    "booleans": (npz(x=GOOD.astype(bool)), "not bool"),
    "records": (npz(x=np.zeros((2, 8, 8, 1), [("a", "f4")])), "not [('a', '<f4')]"),
    "labels of one class each": (npz(x=GOOD, y=np.eye(10, dtype=int)[:2]), "one for each of the 2 inputs, not 20"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_one_message(name: str, tmp_path: Path) -> None:
    content, fragment = FILES[name]
    path = tmp_path / "in.npz"
    path.write_bytes(content)
    refused(call("run", MODEL, "--inputs", path, "-o", tmp_path / "o.npz", "--json", tmp_path / "o.json"), fragment)
    assert [p.name for p in tmp_path.iterdir()] == ["in.npz"]


COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "run": lambda file, out: (MODEL, "--inputs", file, "-o", out),
    "verify": lambda file, out: (MODEL, "--preset", "tiny", "--inputs", file, "--json", out),
    "verify --profile": lambda file, out: (MODEL, "--preset", "tiny", "--profile", file, "--json", out),
    "compile --profile": lambda file, out: (MODEL, "--preset", "base-sparse", "--profile", file, "-o", out),
    "compare": lambda file, out: (MODEL, "--inputs", file, "--json", out),
    "compress": lambda file, out: (FLOAT_MODEL, "--recipe", "int8", "--data", file, "-o", out.with_suffix(".onnx")),
    "sensitivity": lambda file, out: (FLOAT_MODEL, "--data", file, "-o", out),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_reads_one(command: str, tmp_path: Path) -> None:
    bad, out = tmp_path / "in.npz", tmp_path / "out"
    for content in (zipped("x.npy", b"text"), b"", npz(x=np.array([{}], object))):
        bad.write_bytes(content)
        refused(call(command.split()[0], *COMMANDS[command](bad, out)), "in.npz")
    for name in ("npz_tokenerror.npz", "npz_typeerror.npz"):
        refused(call(command.split()[0], *COMMANDS[command](shared_file("cases", name), out)), name, "plain arrays")
    assert [p.name for p in tmp_path.iterdir()] == ["in.npz"]
