"""Progress where there is no terminal."""

from __future__ import annotations

import pytest

from hwgen.commands import output


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
