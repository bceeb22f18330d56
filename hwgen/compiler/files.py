"""A compiled network as files: what a driver loads, and what a person reads."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from hwgen.compiler.program import Program
from hwgen.derive import Derived
from hwgen.isa import COMMAND_BYTES, Module


def program_files(program: Program) -> dict[str, str | bytes]:
    """Return file name -> content.

    ``image.bin`` is the memory from address 0 (constants, maps, commands) with the inputs holding their zero points;
    ``commands.bin`` the commands alone and ``commands.txt`` their listing; ``layout.json`` where everything is;
    ``plan.json`` and ``plan.md`` what was decided for each layer. The same program gives the same bytes.
    """
    given = [program.graph.tensors[name] for name in program.inputs]
    blank = {t.name: np.full(t.shape[1:], t.zero_point, np.int8) for t in given}
    return {
        "image.bin": program.image(blank).tobytes(),
        "commands.bin": program.commands,
        "commands.txt": listing(program),
        "layout.json": json.dumps(layout(program), indent=1) + "\n",
        "plan.json": json.dumps(plan(program), indent=1) + "\n",
        "plan.md": plan_markdown(program),
    }


def listing(program: Program) -> str:
    """Return one line for each command: index, layer, tokens taken, operation, fields, tokens given."""

    def tokens(modules: tuple[Module, ...]) -> str:
        return ",".join(m.name for m in modules) or "-"

    lines = ["# index layer wait -> operation fields -> post"]
    for index, entry in enumerate(program.entries):
        command = entry.command()
        fields = " ".join(f"{name}={value}" for name, value in command.args.items())
        layer = program.layers[entry.layer].name if 0 <= entry.layer < len(program.layers) else "-"
        lines.append(f"{index:6d} {layer} {tokens(command.wait)} -> {command.name} {fields} -> {tokens(command.post)}")
    return "\n".join(lines) + "\n"


def layout(program: Program) -> dict[str, Any]:
    """Return where constants, maps and commands are; addresses and sizes in bytes."""
    word = Derived(program.config).word
    maps = {}
    for name in sorted({*program.chip, *program.dram} & program.graph.tensors.keys()):
        shape, tensor = program.layouts[name], program.graph.tensors[name]
        pixel, row = (shape.pixel_values or shape.pixel * word), shape.pitch * word
        pixel, row = (row, pixel) if shape.turned else (pixel, row)
        maps[name] = {
            "shape": list(tensor.shape),
            "scale": tensor.scale,
            "zero_point": tensor.zero_point,
            "bytes": shape.words * word,
            "pixel_bytes": pixel,
            "row_bytes": row,
            "chip_word": program.chip.get(name),
            "dram": program.map_region(name)[0] if name in program.dram else None,
        }
    return {
        "model": program.graph.name,
        "config": program.config.name,
        "bytes": program.bytes,
        "word_bytes": word,
        "constants": {"address": 0, "bytes": len(program.constants)},
        "maps": {"address": program.map_base, "bytes": program.map_words * word},
        "commands": {
            "address": program.command_base,
            "count": program.command_count,
            "bytes": program.command_count * COMMAND_BYTES,
        },
        "inputs": [{"name": port.name, "tensor": program.inputs[port.map]} for port in program.graph.inputs],
        "outputs": [{"name": port.name, "tensor": program.outputs[port.map]} for port in program.graph.outputs],
        "tensors": maps,
    }


def plan(program: Program) -> dict[str, Any]:
    """Return mapping, work and predicted cycles for each layer, and their sums."""
    multipliers = Derived(program.config).multipliers
    layers = [
        {
            "name": x.name,
            "op": x.op,
            "mapping": x.mapping,
            "detail": x.detail,
            "macs": x.macs,
            "predicted": x.predicted,
            "utilisation": utilisation(x.macs, x.predicted, multipliers),
            "commands": len(x.commands),
            "weight_bytes": x.weight_bytes,
        }
        for x in program.layers
    ]
    macs, cycles = sum(x.macs for x in program.layers), sum(x.predicted for x in program.layers)
    return {
        "model": program.graph.name,
        "config": program.config.name,
        "multipliers": multipliers,
        "macs": macs,
        "predicted": cycles,
        "weight_bytes": program.weight_bytes,
        "utilisation": utilisation(macs, cycles, multipliers),
        "layers": layers,
    }


def utilisation(macs: int, cycles: float, multipliers: int) -> float:
    """Return the share of multiplier slots in ``cycles`` that do work (0 without cycles)."""
    return macs / (cycles * multipliers) if cycles else 0.0


def plan_markdown(program: Program) -> str:
    """Return the plan as a table."""
    value = plan(program)
    lines = [
        f"# {_cell(value['model'])} on {value['config']} ({value['multipliers']} multipliers)",
        "",
        "Cycles and utilisation are those of the compiler's cycle model.",
        "",
        "| layer | operator | mapping | tiling | MACs | cycles | utilisation | weights, bytes |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {_cell(x['name'])} | {x['op']} | {x['mapping']} | {x['detail']} | {x['macs']} | {x['predicted']} | "
        f"{100 * x['utilisation']:.1f} % | {x['weight_bytes']} |"
        for x in value["layers"]
    ]
    lines.append(
        f"| total | | | | {value['macs']} | {value['predicted']} | {100 * value['utilisation']:.1f} % | "
        f"{value['weight_bytes']} |"
    )
    return "\n".join(lines) + "\n"


def _cell(name: str) -> str:
    """A name as it stands, in a table of Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|&~$])", r"\\\1", " ".join(name.split()))
