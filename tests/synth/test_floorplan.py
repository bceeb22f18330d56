"""Large blocks get places of their own: lanes side by side, others near what they are connected to."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

pytest.importorskip("scipy", reason="SciPy is not installed (hwgen[synth])")

from hwgen.synth.floorplan import LANE_MULTIPLIERS, LANE_RAMS, LANE_ZEROS, floorplan

LANES = [(r, c) for r in range(4) for c in range(2)]


def _cell(kind: str, *bits: int | str) -> dict[str, Any]:
    return {"type": kind, "attributes": {}, "connections": {"D": list(bits)}}


def _netlist(zeros: bool = True, memories: int = 192) -> dict[str, Any]:
    """Eight lanes, each with a bus of its own, to which every eighth of the other memories is tied."""
    others = memories - len(LANES) * (len(LANE_RAMS) + zeros * len(LANE_ZEROS))
    cells: dict[str, Any] = {}
    for n, (r, c) in enumerate(LANES):
        prefix = f"dut.grid.lane{r}_{c}."
        for name in (*LANE_RAMS, *(LANE_ZEROS if zeros else ())):
            cells[prefix + name] = _cell("DP16KD", 10 + n, "0")
        for k in range(len(LANE_MULTIPLIERS)):
            cells[f"{prefix}${100 + 9 * k}_MULT"] = _cell("MULT18X18D", 10 + n)
        cells[prefix + "lut"] = _cell("LUT4", 10 + n, 100 + n)
    for n in range(others):
        cells[f"dut.buffer.{n}"] = _cell("DP16KD", 100 + n % 8)
    cells["dut.post.mul"] = _cell("MULT18X18D", 100)
    return {"modules": {"top": {"cells": cells}}}


def _places(netlist: dict[str, Any]) -> dict[str, tuple[int, int]]:
    found = {}
    for name, cell in netlist["modules"]["top"]["cells"].items():
        if bel := cell["attributes"].get("BEL"):
            x, y = re.match(r"X(\d+)/Y(\d+)/", bel).groups()  # type: ignore[union-attr]
            found[name] = int(x), int(y)
    return found


@pytest.mark.parametrize("zeros", [False, True])
def test_every_block_has_a_site_of_its_kind_for_itself(zeros: bool) -> None:
    netlist = _netlist(zeros=zeros)
    cells = netlist["modules"]["top"]["cells"]
    assert floorplan(netlist, "top") == sum(c["type"] != "LUT4" for c in cells.values())
    bels = [c["attributes"].get("BEL") for c in cells.values() if c["type"] != "LUT4"]
    assert len(set(bels)) == len(bels)
    for cell in cells.values():
        kind = {"DP16KD": "EBR", "MULT18X18D": "MULT18_", "LUT4": "-"}[cell["type"]]
        assert kind in cell["attributes"].get("BEL", "-")


def test_a_lane_is_in_one_stripe_and_lanes_do_not_mix() -> None:
    netlist = _netlist()
    floorplan(netlist, "top")
    places = _places(netlist)
    boxes = []
    for r, c in LANES:
        own = [p for n, p in places.items() if n.startswith(f"dut.grid.lane{r}_{c}.")]
        xs, ys = zip(*own, strict=True)
        assert max(xs) - min(xs) <= 32 and max(ys) - min(ys) <= 36
        boxes.append((min(xs), max(xs), min(ys), max(ys)))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]


def test_other_blocks_are_near_what_they_are_tied_to() -> None:
    netlist = _netlist()
    floorplan(netlist, "top")
    places = _places(netlist)
    for n, (r, c) in enumerate(LANES):
        lane = [p for name, p in places.items() if name.startswith(f"dut.grid.lane{r}_{c}.")]
        own = [p for name, p in places.items() if name.startswith("dut.buffer.") and int(name[11:]) % 8 == n]
        x, y = (sum(p[axis] for p in own) / len(own) - sum(p[axis] for p in lane) / len(lane) for axis in (0, 1))
        assert abs(x) + abs(y) < 30


def test_the_same_netlist_gives_the_same_places() -> None:
    first, second = _netlist(), _netlist()
    floorplan(first, "top")
    floorplan(second, "top")
    assert first == second


def _without_a_memory(netlist: dict[str, Any]) -> None:
    del netlist["modules"]["top"]["cells"]["dut.grid.lane3_1.amem.0.1"]


def _without_lanes(netlist: dict[str, Any]) -> None:
    cells = netlist["modules"]["top"]["cells"]
    for name in [n for n in cells if "lane" in n]:
        cells[name.replace("lane", "core")] = cells.pop(name)


def _with_more_lanes(netlist: dict[str, Any]) -> None:
    cells = netlist["modules"]["top"]["cells"]
    for name in [n for n in cells if "buffer" in n][:30]:
        del cells[name]
    cells |= {n.replace("lane3", "lane4"): copy.deepcopy(c) for n, c in cells.items() if "lane3" in n}


def _with_more_memories(netlist: dict[str, Any]) -> None:
    netlist["modules"]["top"]["cells"] |= {f"dut.more.{n}": _cell("DP16KD", 1) for n in range(100)}


def test_a_device_with_room_is_left_to_the_placer() -> None:
    assert floorplan(_netlist(memories=180), "top") == 0


@pytest.mark.parametrize("change", [_without_a_memory, _without_lanes, _with_more_lanes, _with_more_memories])
def test_what_does_not_fit_is_left_to_the_placer(change: Any) -> None:
    netlist = _netlist()
    change(netlist)
    before = copy.deepcopy(netlist)
    assert floorplan(netlist, "top") == 0
    assert netlist == before
