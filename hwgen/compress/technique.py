"""What every compressor is: an object that fits a plan to a network and data, and applies it."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.parameters import check_parameters
from hwgen.compress.plan import Plan
from hwgen.errors import HwgenError

Family = Literal["compact", "decomposition", "quantization", "sparsification", "joint"]
"""By the survey's rule: a technique that builds a model is compact; of those that change one, it is decomposition if
tensors are split, else quantization if bits get fewer, else sparsification. More than one family is joint."""


@dataclass(frozen=True)
class Surroundings:
    """What a step may know of the run that it is part of.

    ``original`` is the network before the first step, ``number`` the step's own, from 1; ``checkpoints`` the folder for
    what long work leaves behind; ``say`` is told how it goes.
    """

    original: FloatGraph
    number: int = 1
    checkpoints: Path | None = None
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, kw_only=True, eq=False)
class Technique(ABC):
    """A compressor. Subclasses are frozen dataclasses whose fields are `hwgen.compress.parameters.parameter`.

    One file a technique in `hwgen.compress.techniques`; a class with a ``name`` is found there by itself.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    on_quantized: ClassVar[bool] = False
    """Whether it takes a network whose maps and weights have quantizers; others stand before `quantize`."""
    on_either: ClassVar[bool] = False
    """Whether it takes networks of either kind."""
    quantizes: ClassVar[bool] = False
    """Whether it gives them quantizers."""
    trains: ClassVar[bool] = False
    """Whether it must not be fitted on what accuracy is measured on."""

    def __post_init__(self) -> None:
        check_parameters(self)

    @abstractmethod
    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        """Decide.

        Parameters
        ----------
        graph : FloatGraph
        data : Data
            For fitting; not for measuring accuracy.

        Raises
        ------
        HwgenError
            When the network or the data do not allow it, naming the layer and the rule.
        """

    @abstractmethod
    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        """The network as a plan has it; the one given is not changed."""

    def fit_in(self, graph: FloatGraph, data: Data, around: Surroundings) -> Plan:
        """Decide as part of a recipe; most techniques need nothing of what is around them."""
        return self.fit(graph, data)

    def check_installed(self) -> None:  # noqa: B027 - most techniques need nothing
        """Raise `HwgenError` when a package that it needs is not installed."""

    def __call__(self, graph: FloatGraph, data: Data) -> FloatGraph:
        """Fit and apply."""
        return self.apply(graph, self.fit(graph, data))

    def parameters(self) -> dict[str, Any]:
        """The parameters as a recipe would state them."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}

    def plan(self, **parts: Any) -> Plan:
        """A plan of this technique."""
        return Plan(self.name, self.parameters(), **parts)


def chosen_layers(graph: FloatGraph, include: tuple[str, ...], exclude: tuple[str, ...] = ()) -> tuple[FloatConv, ...]:
    """The layers with weights that are included by name (all of them when none is named) and not excluded.

    Raises
    ------
    HwgenError
        When a name is not a layer's, or no layer is left.
    """
    for name in (*include, *exclude):
        graph.conv(name)
    chosen = tuple(op for op in graph.convs if (not include or op.name in include) and op.name not in exclude)
    if not chosen:
        raise HwgenError("no layer with weights is chosen", where=graph.name)
    return chosen


def check_named(parameter: str, named: Mapping[str, Any], layers: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    """Refuse ``layers`` or ``exclude`` beside a parameter that names its layers itself."""
    if named and (layers or exclude):
        raise HwgenError(f"{parameter} names its layers: layers and exclude must be absent")


@cache
def techniques() -> dict[str, type[Technique]]:
    """Every technique by its name, in alphabetical order."""
    from hwgen.compress import techniques as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted((cls.name, cls) for cls in _below(Technique.__subclasses__()) if hasattr(cls, "name")))


def _below(classes: list[type[Technique]]) -> list[type[Technique]]:
    """The classes and all that derive from them."""
    return [found for cls in classes for found in (cls, *_below(cls.__subclasses__()))]


def technique(name: str) -> type[Technique]:
    """The technique of a name.

    Raises
    ------
    HwgenError
        When there is none; it lists them.
    """
    known = techniques()
    if name not in known:
        raise HwgenError(f"unknown step {name!r}", remedy=f"the steps are: {', '.join(known)}")
    return known[name]
