"""The table of benchmarks says what was measured, and what was missed and why."""

from __future__ import annotations

import pytest

from hwgen.benchmarks import BENCHMARKS, Benchmark
from hwgen.presets import PRESETS
from hwgen.report.benchmarks import table
from tests.report.results import result

NET = Benchmark("Net", "net.onnx", "tiny", must=1100, aim=900)


def test_row_of_a_limit_that_is_met() -> None:
    text = table({NET: result()})
    assert "| Net | tiny | 8 | 6,400 | 800 | **1,000** | 990 | 80.0 % | 1,100 met | 900 MISSED | " in text
    assert "\nNone.\n" in text and "Simulated with Icarus 11." in text


def test_missed_limit_names_the_layer() -> None:
    text = table({NET: result(cycles=1200, predicted=1200)})
    assert "1,200 cycles, 100 above the limit" in text
    assert "conv<1> (Conv, pixel): 1,100 cycles, 300 above its bound" in text


@pytest.mark.parametrize(("predicted", "off"), [(1000, False), (981, False), (979, True), (1021, True)])
def test_prediction_of_the_total(predicted: int, off: bool) -> None:
    assert ("in total" in table({NET: result(predicted=predicted)})) == off


def test_prediction_of_a_layer() -> None:
    text = table({NET: result(predicted=955)})
    assert "conv<1> 855 for 900" in text


def test_a_difference_cannot_be_overlooked() -> None:
    assert "NO (golden, ONNX Runtime)" in table({NET: result(bit_exact=False)})


def test_presets_exist_and_aims_are_harder() -> None:
    for b in BENCHMARKS:
        assert b.preset in PRESETS
        assert b.must is None or b.aim is None or b.aim < b.must
