"""Recipes: TOML files of ``[[step]]`` tables, in order, each with ``name`` and the parameters of that technique."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.compress.parameters import from_table
from hwgen.compress.shipped import recipe_name
from hwgen.compress.technique import Family, Technique, technique
from hwgen.errors import HwgenError
from hwgen.toml_file import read_toml


@dataclass(frozen=True)
class Recipe:
    """Techniques in order; ``name`` is for messages.

    Raises
    ------
    HwgenError
        When there is no step, or one stands on the wrong side of `quantize`.
    """

    name: str
    steps: tuple[Technique, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise HwgenError("a recipe must have at least one [[step]]", where=self.name)
        quantized = False
        for number, step in enumerate(self.steps, 1):
            with self.at(number):
                if step.on_either:
                    continue
                if step.on_quantized and not quantized:
                    raise HwgenError("must stand after quantize")
                if not step.on_quantized and quantized:
                    raise HwgenError("must stand before quantize" if not step.quantizes else "may stand only once")
            quantized = quantized or step.quantizes

    @property
    def quantizes(self) -> bool:
        """Whether it ends with a quantised network."""
        return any(step.quantizes for step in self.steps)

    @property
    def family(self) -> Family:
        """The family of the whole: that of its steps, or joint when they are of several."""
        families = {step.family for step in self.steps}
        return families.pop() if len(families) == 1 else "joint"

    def at(self, number: int) -> contextlib.AbstractContextManager[None]:
        """Errors of the block name the step (from 1)."""
        return _at(self.name, number, self.steps[number - 1].name)


@contextlib.contextmanager
def _at(recipe: str, number: int, name: str) -> Iterator[None]:
    try:
        yield
    except HwgenError as error:
        inner = f": {error.where}" if error.where else ""
        raise HwgenError(error.what, where=f"{recipe}: step {number} ({name}){inner}", remedy=error.remedy) from error


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    HwgenError
        When it cannot be read or is not TOML, and for unknown keys, steps and parameters, and values against their
        rule.
    """
    table = read_toml(path, "recipe")
    unknown = sorted(set(table) - {"step"})
    steps = table.get("step", [])
    if unknown or not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise HwgenError("a recipe holds [[step]] tables and nothing else"
                         + (f", not {', '.join(unknown)}" if unknown else ""), where=recipe_name(path))
    return make_recipe(recipe_name(path), steps)


def make_recipe(name: str, tables: Sequence[dict[str, Any]]) -> Recipe:
    """The recipe of some tables, each with ``name`` and parameters; raises as `load_recipe`."""
    steps = []
    for number, table in enumerate(tables, 1):
        kind = table.get("name")
        with _at(name, number, kind if isinstance(kind, str) else "?"):
            if not isinstance(kind, str):
                raise HwgenError("every step must have a name", remedy='name = "quantize"')
            steps.append(from_table(technique(kind), {k: v for k, v in table.items() if k != "name"}))
    return Recipe(name, tuple(steps))
