"""Who may be ahead of whom in the cycle model: lanes that skip, and units of the walk before."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compiler.intervals import Intervals
from hwgen.compiler.lanes import SkippingLanes
from hwgen.hardware import encoder, grid
from hwgen.timing import GRID_IN_FLIGHT, LANE_WINDOWS, SKIPPING


def run(lanes: SkippingLanes, walk: list[float], windows: int = 4, offer: float = 0.0) -> tuple[float, float]:
    accepted, _, last = lanes.run(np.array([walk]), windows, windows, range(1), offer, SKIPPING.RUN_OVERHEAD)
    return accepted, last


def test_a_run_takes_what_its_slowest_lane_walks() -> None:
    lanes = SkippingLanes(1, 2)
    assert run(lanes, [10, 30]) == (0, SKIPPING.RUN_START + 29)


def test_an_idle_lane_has_no_part_in_it() -> None:
    lanes = SkippingLanes(1, 2)
    assert run(lanes, [1000, 0])[1] == SKIPPING.RUN_START + 999
    assert run(lanes, [0, 10])[1] == SKIPPING.RUN_SPACING + SKIPPING.RUN_START + 9


def test_a_window_takes_a_cycle_whatever_is_in_it() -> None:
    assert run(SkippingLanes(1, 1), [3], windows=8)[1] == SKIPPING.RUN_START + 7


def test_lanes_make_good_for_each_other_while_few_windows_are_ahead() -> None:
    """Each lane is slow in every other RUN; short RUNs even out, as lanes take several before they walk them."""
    lanes = SkippingLanes(1, 2)
    for i in range(40):
        last = run(lanes, [40, 20] if i % 2 else [20, 40])[1]
    assert last < SKIPPING.RUN_START + 40 * 32


def test_lanes_wait_for_each_other_when_a_run_has_many_windows() -> None:
    lanes = SkippingLanes(1, 2)
    for i in range(20):
        last = run(lanes, [4000, 1000] if i < 10 else [1000, 4000], windows=400)[1]
    # Without waiting, both would be through after 50,000.
    assert last > 20 * 4000 - 3 * 4000


def test_a_segment_that_lanes_still_read_is_not_set() -> None:
    lanes = SkippingLanes(1, 1)
    run(lanes, [4000], windows=400)
    assert lanes.set(1, 10) == 10
    waited = lanes.set(0, 10)
    assert 3000 < waited < 4000


def test_only_so_many_commands_are_in_flight() -> None:
    lanes = SkippingLanes(1, 1)
    done = run(lanes, [4000])[1] + SKIPPING.RUN_DRAIN
    for _ in range(GRID_IN_FLIGHT - 1):
        assert lanes.set(None, 10) == 10
    assert lanes.set(None, 10) == done


@pytest.mark.parametrize("later", [0.0, 100.0])
def test_work_is_stretched_while_others_are_in_the_way(later: float) -> None:
    others = Intervals()
    others.add("reading", 0, 50)
    others.add("reading", 60, 100, 2.0)
    others.later = later
    assert others.overlap("reading", 40 + later, 70 + later) == 10 + 2 * 10
    assert others.overlap("writing", 0, 1000) == 0
    # By half of ten cycles and of 2 x 40: it lasts beyond the end of the others.
    assert others.stretched("reading", 40 + later, 70 + later, 0.5) == 70 + 5 + 40 + later


def test_constants_are_those_of_the_hardware() -> None:
    assert encoder.QUEUE == LANE_WINDOWS
    assert grid._IN_FLIGHT == GRID_IN_FLIGHT
