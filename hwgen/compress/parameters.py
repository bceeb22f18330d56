"""Parameters of techniques: dataclass fields that know their rule, filled from a recipe's table."""

from __future__ import annotations

import math
import types
from dataclasses import field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from hwgen.errors import HwgenError


def parameter(default: Any, text: str, *, low: float | None = None, high: float | None = None,
              choices: tuple[str, ...] = ()) -> Any:
    """A dataclass field that is a recipe parameter.

    Parameters
    ----------
    default : value
        A dictionary is copied for each object.
    text : str
        What it means, for the documents.
    low, high : float, optional
        Bounds of a number (of every number of a table), both included.
    choices : tuple of str
        Allowed words.
    """
    metadata = {"text": text, "low": low, "high": high, "choices": choices}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_parameters(technique: Any) -> None:
    """Check every parameter of a technique against its type and rule.

    Raises
    ------
    HwgenError
        "X must be <rule>, not <value>".
    """
    hints = get_type_hints(type(technique))
    for item in fields(technique):
        value, hint = getattr(technique, item.name), hints[item.name]
        if not _fits(value, hint):
            raise HwgenError(f"{item.name} must be {_words(hint)}, not {value!r}")
        for number in value.values() if isinstance(value, dict) else (value,):
            _check_number(item.name, number, item.metadata["low"], item.metadata["high"])
        choices = item.metadata["choices"]
        if choices and value not in choices:
            raise HwgenError(f"{item.name} must be one of {', '.join(choices)}, not {value!r}")


def from_table(cls: type[Any], table: dict[str, Any]) -> Any:
    """The technique ``cls`` with the parameters of a recipe's table.

    Raises
    ------
    HwgenError
        Unknown parameters, or values against their rule.
    """
    known = [item.name for item in fields(cls)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise HwgenError(f"unknown parameter{'s' * (len(unknown) > 1)} {', '.join(unknown)}",
                         remedy=f"the parameters are: {', '.join(known) or 'none'}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def _check_number(name: str, value: Any, low: float | None, high: float | None) -> None:
    if not isinstance(value, int | float):
        return
    if not math.isfinite(value):
        raise HwgenError(f"{name} must be finite, not {value}")
    if (low is not None and value < low) or (high is not None and value > high):
        rule = f"in {low:g}..{high:g}" if low is not None and high is not None else (
            f"at least {low:g}" if low is not None else f"at most {high:g}")
        raise HwgenError(f"{name} must be {rule}, not {value:g}")


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        return any(_fits(value, arg) for arg in args)
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(v, args[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _words(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        return " or ".join(_words(arg) for arg in args if arg is not type(None))
    if origin is tuple:
        return "a list of strings" if args[0] is str else "a list of numbers"
    if origin is dict:
        return f"a table of layer names and {'integers' if args[1] is int else 'numbers'}"
    return {int: "an integer", float: "a number", str: "a string", bool: "true or false"}.get(hint, str(hint))
