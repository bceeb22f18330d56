"""Tiers: what builds and runs Verilog is slow, so that `make fast` stays fast."""

from __future__ import annotations

from pathlib import Path

import pytest

SLOW = tuple(Path(__file__).parent / name for name in ("hardware", "sim"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything that simulates Verilog as slow."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in SLOW):
            item.add_marker(pytest.mark.slow)
