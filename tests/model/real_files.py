"""How tests judge a file that people have: equal to its own runtime, or refused with what is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.golden.inputs import random_inputs
from hwgen.model import load_model
from hwgen.reference.runtime import RUNTIMES, RefusalError
from hwgen.verify.reference import compare, keys


def judge(path: Path, messages: Sequence[str], *, ties: bool = False) -> None:
    """The file runs as in its runtime, or, with ``messages``, its refusal holds each of them once.

    ``ties``: values on the other side of a tie count as equal, see `hwgen.verify.reference`.
    """
    if not messages:
        _agrees(path, ties)
        return
    with pytest.raises(HwgenError) as error:
        load_model(path)
    for part in messages:
        assert str(error.value).count(part) == 1


def judge_list(path: Path, lacking: Sequence[str], *, ties: bool = False) -> None:
    """The file runs as in its runtime, or its refusal lists exactly ``lacking``, each once."""
    if not lacking:
        _agrees(path, ties)
        return
    with pytest.raises(HwgenError) as error:
        load_model(path)
    listed = [line.removeprefix("  - ") for line in str(error.value).splitlines() if line.startswith("  - ")]
    assert sorted(next(what for what in lacking if line.startswith(what)) for line in listed) == sorted(lacking)


def _agrees(path: Path, ties: bool) -> None:
    graph = load_model(path)
    given = random_inputs(graph, 2, 1)
    answers = []
    for runtime in RUNTIMES[graph.source]:
        if runtime.installed is None:
            continue
        try:
            answers.append((runtime, runtime.run(path, given, keys(graph))))
        except RefusalError:
            continue
    if not answers:
        pytest.skip("no runtime that is installed runs it (hwgen[reference])")
    report = compare(graph, given, answers)
    assert report.equal and report.values and (ties or not report.different), report.summary
