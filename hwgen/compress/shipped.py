"""The recipes that come with the package: in a checkout those of ``recipes/``, which an installed package holds too."""

from __future__ import annotations

from pathlib import Path

from hwgen.errors import HwgenError

_FOLDER = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Names of the shipped recipes, in alphabetical order."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def find_recipe(given: str | Path) -> Path:
    """The file of a recipe: ``given`` if there is such a file, or the shipped recipe of that name.

    Raises
    ------
    HwgenError
        When it is neither; it lists the shipped ones.
    """
    path = Path(given)
    if path.is_file():
        return path
    # A bare word can only be a name: folders and endings belong to paths, which whoever reads the file speaks of.
    if path.suffix or len(path.parts) > 1 or path.exists():
        return path
    if path.name not in recipe_names():
        raise HwgenError(f"there is no recipe {path.name!r}, neither a file nor a shipped one",
                         remedy=f"the shipped recipes are: {', '.join(recipe_names())}")
    return _FOLDER / f"{path.name}.toml"


def recipe_name(path: Path) -> str:
    """What messages call a recipe: a shipped one by its name, any other by its file."""
    return path.stem if path.parent == _FOLDER else str(path)
