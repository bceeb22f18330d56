"""TFLite files of every exporter's dialect: the file's runtime, golden model and RTL agree on random networks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.dialects.driver import NIGHTLY, Dialect, sweep
from tests.dialects.tflite_networks import Style, write

pytest.importorskip("tflite_micro", reason="TFLite Micro is not installed (hwgen[reference])")

DIALECTS = {
    dialect.name: dialect for dialect in (
        Dialect("int8", partial(write, Style()), ("small", "vector4")),
        Dialect("int8-float-ends", partial(write, Style("float32")), ("small", "axi128")),
        Dialect("int8-uint8-ends", partial(write, Style("uint8")), ("small", "vector16")),
        Dialect("uint8", partial(write, Style("uint8", "uint8", "uint8")), ("u8",)),
        Dialect("uint8-float-ends", partial(write, Style("float32", "uint8", "uint8")), ("u8",)),
        Dialect("int4-weights", partial(write, Style(weights="int4")), ("small", "narrow")),
    )
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_golden(name: str, tmp_path: Path) -> None:
    sweep(DIALECTS[name], range(6), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", DIALECTS)
def test_rtl(name: str, tmp_path: Path) -> None:
    sweep(DIALECTS[name], range(1000, 1000 + NIGHTLY), tmp_path, rtl=True)
