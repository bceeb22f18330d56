"""The page of a result."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.presets import PRESETS
from tests.report.results import result

pytest.importorskip("bokeh", reason="Bokeh is not installed (hwgen[report])")
pytest.importorskip("jinja2", reason="Jinja is not installed (hwgen[report])")
pytest.importorskip("matplotlib", reason="Matplotlib is not installed (hwgen[report])")


class Text(HTMLParser):
    """Collects the text, and how many pictures there are."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.pictures = "", 0
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "svg"
        self.links += [value for key, value in attrs if tag == "a" and key == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(value: dict[str, object], compression: dict[str, object] | None = None) -> Text:
    from hwgen.report.page import page

    parser = Text()
    parser.feed(page(value, compression))
    return parser


def test_good_result() -> None:
    found = read(result())
    assert found.pictures == 2  # cycles, grid
    assert "Bit-exact" in found.text and "Not bit-exact" not in found.text
    assert "conv<1>" in found.text and "1,000" in found.text and "80.0 %" in found.text


def test_difference_is_said_first_and_shown() -> None:
    found = read(result(bit_exact=False))
    assert "Not bit-exact: 3 values differ." in found.text
    assert "expected 5, got 6" in found.text


def test_how_it_was_compressed() -> None:
    row = {"step": 0, "name": "digits", "family": "", "parameters": 2586, "weights": 2480, "nonzero": 2480,
           "macs": 46592, "mac_density": 1.0, "bytes": 10344, "integer": False, "seconds": 0.0,
           "accuracy": {"top1": 0.975, "low": 0.95, "high": 0.99, "correct": 351, "total": 360}}
    last = {**row, "step": 1, "name": "prune<", "family": "sparsification", "nonzero": 1240, "mac_density": 0.5,
            "bytes": 2586, "integer": True, "accuracy": None}
    found = read(result(), {"model": "digits.onnx", "recipe": "r.toml", "family": "joint", "fit_inputs": 1437,
                            "test_inputs": 360, "rows": [row, last]})
    for text in ("r.toml (joint), fitted on 1,437 inputs", "prune<", "sparsification", "10,344", "4.00x", "50.0 %",
                 "97.50 (95.00-99.00)", "no labels"):
        assert text in found.text
    assert "How the network was compressed" not in read(result()).text


def test_the_machine_and_its_files() -> None:
    from hwgen.report.page import page

    parser = Text()
    parser.feed(page(result(), files=["hwgen top.v"]))
    assert "multipliers of a lane" in parser.text and "seconds, generating Verilog" in parser.text
    assert parser.links == ["hwgen%20top.v"]


def test_every_key_of_a_configuration_has_a_meaning() -> None:
    from hwgen.report.machine import MEANING

    assert set(MEANING) == set(Config().to_dict()) - {"name"}


@pytest.mark.parametrize("name", PRESETS)
def test_the_picture_has_every_multiplier(name: str) -> None:
    from hwgen.report.machine import lanes

    config = PRESETS[name]
    found = lanes(config.to_dict())
    assert len(found["lanes"]) * len(found["dots"]) == Derived(config).multipliers
    assert all(0 <= x < found["cell"] and 0 <= y < found["cell"] for x, y in found["dots"])


def test_pictures_that_were_classified() -> None:
    from hwgen.report.classified import classified
    from hwgen.report.page import page

    images = np.arange(2 * 8 * 8, dtype=np.float32).reshape(2, 8, 8, 1)
    parser = Text()
    parser.feed(page(result(), pictures=classified(images, np.array([3, 4]), np.array([3, 5]))))
    assert "read as 3" in parser.text and "read as 4, is 5" in parser.text


def test_more_than_all_multipliers_is_explained() -> None:
    value = result()
    assert "100 % of the multipliers" not in read(value).text
    value["cycles"]["layers"][0]["utilisation"] = 1.2
    assert "More than 100 % of the multipliers: layers overlap" in read(value).text


def test_the_same_result_gives_the_same_picture_but_for_ids() -> None:
    import re

    from hwgen.report.plot import layer_cycles

    layers = result()["cycles"]["layers"]
    first, second = (re.sub(r"(id|href|url)\W+\w+", "", layer_cycles(layers, 8)) for _ in range(2))
    assert first == second
