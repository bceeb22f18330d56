"""The table of zeros says what was measured, what was missed and why, and what was not measured."""

from __future__ import annotations

from hwgen.report.speedups import speedup_table
from hwgen.sparse_layer import Zeros
from hwgen.speedups import Inputs, Network, Speedup
from hwgen.verify.speedup import LayerCycles, Measured

LAYER = Speedup("layer", Zeros(weights=0.5), 1.85, 1.95)
NET = Speedup("net", Network("net.onnx", Inputs("x.npz")), 0.85, 0.95, skip="weight", of_bound=True)
OPEN = Speedup("open", Zeros(), None, None)


def test_limits_in_times_of_the_dense_machine() -> None:
    text = speedup_table({LAYER: Measured(1900, 1000, True, 0.5)})
    assert "| layer | base-sparse | 1,900 | **1,000** | **1.90x** | 1.85x met | 1.95x MISSED | yes |" in text
    assert "Limits that are missed" not in text and "Not measured" not in text
    assert "**1.90x** |  |  | NO |" in speedup_table({OPEN: Measured(1900, 1000, False)})


def test_limits_as_a_share_of_the_bound() -> None:
    text = speedup_table({NET: Measured(3600, 1000, True, 0.25)})
    assert "| net | base-sparse, skip = weight | 3,600 | " in text
    assert "| 0.85 of 4.00x met | 0.95 of 4.00x MISSED |" in text


def test_a_missed_limit_names_the_layers() -> None:
    layers = tuple(LayerCycles(name, 1000, cycles) for name, cycles in (("a", 200), ("b", 900), ("c", 260), ("d", 300)))
    text = speedup_table({NET: Measured(4000, 1660, True, 0.25, layers)})
    assert "* net on base-sparse, skip = weight: 2.41x, 3.40x is asked for." in text
    assert "Most is lost in b (1,000 cycles to 900), d (1,000 cycles to 300), c (1,000 cycles to 260)." in text


def test_rows_without_a_measurement_are_listed() -> None:
    text = speedup_table({LAYER: Measured(2000, 1000, True), NET: "net.onnx\nabsent"})
    assert "Not measured:\n\n* net on base-sparse, skip = weight: net.onnx absent\n" in text
    assert speedup_table({NET: "absent"}).startswith("## Zeros\n\nNot measured:\n\n* net on")
    assert speedup_table({}) == ""
