"""The page of a result."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.report.results import result

pytest.importorskip("jinja2", reason="Jinja is not installed (hwgen[report])")
pytest.importorskip("matplotlib", reason="Matplotlib is not installed (hwgen[report])")


class Text(HTMLParser):
    """Collects the text, and how many pictures there are."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.pictures = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "svg"

    def handle_data(self, data: str) -> None:
        self.text += data


def read(value: dict[str, object]) -> Text:
    from hwgen.report.page import page

    parser = Text()
    parser.feed(page(value))
    return parser


def test_good_result() -> None:
    found = read(result())
    assert found.pictures == 1
    assert "Bit-exact" in found.text and "Not bit-exact" not in found.text
    assert "conv<1>" in found.text and "1,000" in found.text and "80.0 %" in found.text


def test_difference_is_said_first_and_shown() -> None:
    found = read(result(bit_exact=False))
    assert "Not bit-exact: 3 values differ." in found.text
    assert "expected 5, got 6" in found.text


def test_the_same_result_gives_the_same_picture_but_for_ids() -> None:
    import re

    from hwgen.report.plot import layer_cycles

    layers = result()["cycles"]["layers"]
    first, second = (re.sub(r"(id|href|url)\W+\w+", "", layer_cycles(layers, 8)) for _ in range(2))
    assert first == second
