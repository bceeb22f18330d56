"""Rings of lane memories and of weight blocks."""

import pytest

from hwgen.compiler.rings import BlockRing, Ring


def test_a_ring_remembers_what_it_holds_until_it_is_overwritten() -> None:
    ring = Ring(8)
    assert ring.place("a", 3) == (0, False)
    assert ring.place("b", 3) == (3, False)
    assert ring.place("a", 3) == (0, True)
    assert ring.place("c", 3) == (0, False)
    assert ring.place("b", 3) == (3, True)
    assert ring.place("a", 3) == (3, False)


def test_a_ring_refuses_what_never_fits() -> None:
    with pytest.raises(ValueError, match="9 elements do not fit in 8"):
        Ring(8).place("a", 9)


def test_blocks_stay_until_released() -> None:
    ring = BlockRing(8)
    assert ring.reserve("a", 5) == 0
    assert ring.reserve("b", 3) == 5
    assert ring.reserve("c", 4) is None
    ring.release("a")
    assert ring.reserve("c", 4) == 0
