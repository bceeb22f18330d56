"""Progress where there is no terminal."""

from __future__ import annotations

import pytest

from hwgen.commands import output
from hwgen.tables import new_table

BAR = "\N{BOX DRAWINGS LIGHT VERTICAL}"


def test_stages_are_lines_on_one_clock(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.time, "perf_counter", lambda: 105.0)
    with output.busy("[/b] first", began=100.0) as say:
        say("building: a")
        say("building: b")  # the same stage, too soon
        say("simulating")
    assert capsys.readouterr().err.splitlines() == ["[   5.0 s] [/b] first", "[   5.0 s] building: a",
                                                    "[   5.0 s] simulating"]  # fmt: skip


def test_a_count_is_told_when_it_lasts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(output.time, "perf_counter", lambda: now[0])
    with output.counted("inputs") as say:
        for done in range(1, 31):
            now[0] += 1.0
            say(done, 30)
    assert capsys.readouterr().err.splitlines() == [
        f"[{s:6.1f} s] inputs: {s} of 30" for s in (10, 20, 30)]  # fmt: skip


@pytest.mark.parametrize("width", [20, 60, 200])
def test_no_number_is_broken_and_no_name_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(output, "PLAIN_WIDTH", width)
    table = new_table("title", ("layer", "operator"), ("cycles predicted", "of multipliers"), ("equal",))
    name = "/".join(f"part{i}" for i in range(12))
    table.add_row(name, "Conv", "1,234,567", "100.0%", "only_at_the_end_of_the_row")
    output.print_table(table)
    printed = capsys.readouterr().out
    assert all(text in printed for text in ("1,234,567", "100.0%", "predicted", "multipliers"))
    assert "only_at_the_end" in printed and len({len(line) for line in printed.splitlines()[1:]}) == 1
    cells = [line.split(BAR)[1] for line in printed.splitlines() if line.startswith(BAR)]
    assert "".join(cells).replace(" ", "") == name
