"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.presets import preset as find_preset

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Quantised network, .tflite (int8) or .onnx (QDQ).")]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="A named machine, see `hwgen presets`. This or --config is required."
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE.toml", help="A machine of your own. This or --preset is required."),
]
OptionalPreset = Annotated[
    str | None, typer.Option("--preset", metavar="NAME", help="A named machine, see `hwgen presets`.")
]
OptionalConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE.toml", help="A machine of your own.")
]
Profile = Annotated[
    Path | None,
    typer.Option("--profile", metavar="FILE.npz", help="x: typical inputs, by whose zeros mappings are chosen."),
]
WeightFormat = Annotated[
    str,
    typer.Option("--weight-format", metavar="NAME", help="Store weights as packed, bitmap, vector, nm, run, codebook."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, metavar="N", help="Take the first N inputs of the file alone.")
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the result as JSON.")]


def chosen_config(preset: str | None, config: Path | None) -> Config:
    """Return the configuration that ``--preset`` or ``--config`` names.

    Raises
    ------
    HwgenError
        When neither or both are given, or the one given is not legal.
    """
    if (preset is None) == (config is None):
        raise HwgenError(
            "give either --preset NAME or --config FILE.toml" + (", not both" if preset else ""),
            remedy="`hwgen presets` lists the names",
        )
    if preset is not None:
        return find_preset(preset)
    assert config is not None
    return Config.from_toml(config)
