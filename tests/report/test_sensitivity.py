"""The picture of a sensitivity study."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib", reason="Matplotlib is not installed (hwgen[report])")


def test_layers_look_different_and_no_name_is_cut() -> None:
    from hwgen.report.sensitivity import look, sensitivity_picture

    names = [f"layer {i} " + "of a long name " * 10 for i in range(40)]
    looks = [look(i) for i in range(len(names))]
    assert len({(x["color"], x["linestyle"]) for x in looks}) == len(names)
    values = {"curve": "bits", "settings": [2, 8], "top1": [0.5, 0.9], "error": [1, 0.1]}
    curves = [{"layer": name, **values} for name in names]
    drawn = sensitivity_picture({"top1": 0.9, "curves": curves}, "svg").decode()
    assert "..." not in drawn and drawn.count("<!-- layer ") == len(names)
