"""Recipes by name: those in recipes/, from wherever the package is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.compress.recipe import load_recipe
from hwgen.compress.shipped import find_recipe, recipe_names
from hwgen.errors import HwgenError

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "recipes").iterdir())


def test_all_of_the_folder() -> None:
    assert recipe_names() == NAMES and "int8" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_is_good(name: str) -> None:
    path = find_recipe(name)
    assert load_recipe(path).quantizes and path.read_text(encoding="utf-8").startswith("# ")


def test_a_wrong_name_lists_them() -> None:
    with pytest.raises(HwgenError, match="there is no recipe 'int9', neither a file nor a shipped one") as found:
        find_recipe("int9")
    assert found.value.remedy == "the shipped recipes are: " + ", ".join(NAMES)


def test_a_file_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "int8").write_text("")
    assert find_recipe("int8") == Path("int8")
    assert find_recipe("w4a8").read_text(encoding="utf-8") == (ROOT / "recipes/w4a8.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("given", ["int8.toml", "recipes/int8"])
def test_what_can_only_be_a_path_is_one(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HwgenError, match="cannot read the recipe: No such file"):
        load_recipe(find_recipe(given))
