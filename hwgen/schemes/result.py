"""What a comparison found: the JSON interface and the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table

from hwgen.schemes import SCHEMES
from hwgen.schemes.machine import MachineLayer
from hwgen.schemes.scheme import Scheme
from hwgen.tables import new_table

MANY = 100_000
"""Cycles of a network from which a table gives thousands."""


@dataclass(frozen=True)
class Figure:
    """Cycles of a scheme on a layer, mean of the images.

    Attributes
    ----------
    cycles : float
        By the scheme's rule.
    bound : float
        If every multiplier had work in every cycle, of the work that the scheme cannot avoid.
    full : float
        By the same rule on the layer without any zero but its padding.
    """

    cycles: float
    bound: float
    full: float


@dataclass(frozen=True)
class LayerFigures:
    """A layer's zeros, and its cycles on every scheme."""

    name: str
    op: str
    macs: int
    weight_density: float
    activation_density: float
    effectual: float
    sampled: bool
    schemes: dict[str, Figure]


@dataclass(frozen=True)
class Comparison:
    """Outcome of `hwgen.schemes.compare.compare`; ``to_json`` is the documented interface.

    ``machines`` holds every layer of the network, additions and pooling included, on the dense grid (``dense``) and on
    the machine itself (``skipping``, absent when it skips nothing).
    """

    model: str
    config: dict[str, Any]
    multipliers: int
    images: int
    seed: int
    random: bool
    layers: list[LayerFigures]
    machines: dict[str, list[MachineLayer]]

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def dense(self) -> float:
        """Cycles if every multiplier were busy in every cycle, zeros included: what speed-ups are over."""
        return self.macs / self.multipliers

    def total(self, key: str) -> Figure:
        """Return the sums of a scheme's figures over the layers."""
        found = [layer.schemes[key] for layer in self.layers]
        return Figure(sum(f.cycles for f in found), sum(f.bound for f in found), sum(f.full for f in found))

    def machine(self, name: str) -> list[MachineLayer]:
        """Return a machine's figures of the layers that multiply, in order."""
        by_name = {layer.name: layer for layer in self.machines[name]}
        return [by_name[layer.name] for layer in self.layers]

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys (docs/interfaces.md)."""
        ours = {name: self.machine(name) for name in self.machines}
        return {
            "model": self.model,
            "config": self.config,
            "multipliers": self.multipliers,
            "images": self.images,
            "seed": self.seed,
            "random": self.random,
            "macs": self.macs,
            "effectual": sum(layer.effectual for layer in self.layers),
            "dense": self.dense,
            "schemes": {s.key: self._scheme(s) for s in SCHEMES},
            "machines": {
                name: {
                    "cycles": sum(n.cycles for n in found),
                    "compute": sum(n.compute for n in found),
                    "network": sum(n.cycles for n in self.machines[name]),
                    "speedup": self._speedup(sum(n.cycles for n in found)),
                }
                for name, found in ours.items()
            },
            "layers": [
                vars(layer)
                | {"schemes": {key: vars(f) for key, f in layer.schemes.items()}}
                | {"machines": {name: vars(found[i]) for name, found in ours.items()}}
                for i, layer in enumerate(self.layers)
            ],
        }

    def _scheme(self, scheme: Scheme) -> dict[str, Any]:
        total = self.total(scheme.key)
        about = {key: getattr(scheme, key) for key in ("title", "skips", "source", "paper")}
        return about | {"speedup": self._speedup(total.cycles)} | vars(total)

    def _speedup(self, cycles: float) -> float | None:
        return self.dense / cycles if cycles else None

    def layer_table(self) -> Table:
        """Return cycles by layer, in thousands where they are many."""
        ours = [self.machine(name) for name in self.machines]
        totals = [self.total(s.key).cycles for s in SCHEMES]
        totals += [sum(v) for found in ours for v in ([n.compute for n in found], [n.cycles for n in found])]
        effectual = sum(layer.effectual for layer in self.layers)
        many = max(totals) >= MANY
        shown = _thousands if many else "{:,.0f}".format
        heads = ["thousand\nMACs", "W %", "A %", "effec-\ntual", *(s.short for s in SCHEMES)]
        for name in self.machines:
            title = "grid" if name == "dense" else "this"
            heads += [f"{title},\nlanes", f"{title},\nall"]
        table = new_table(
            f"{self.model}: {'thousands of ' if many else ''}cycles on {self.multipliers} multipliers; "
            f"this: {self.config['name']}",
            ("layer",),
            heads,
            box=box.SIMPLE,
            padding=(0, 1, 0, 0),
        )
        table.columns[0].max_width = 15
        for i, layer in enumerate(self.layers):
            table.add_row(
                ("~" if layer.sampled else "") + layer.name,
                _thousands(layer.macs),
                f"{100 * layer.weight_density:.0f}",
                f"{100 * layer.activation_density:.0f}",
                _thousands(layer.effectual),
                *(shown(layer.schemes[s.key].cycles) for s in SCHEMES),
                *(shown(v) for found in ours for v in (found[i].compute, found[i].cycles)),
                end_section=i == len(self.layers) - 1,
            )
        table.add_row("total", _thousands(self.macs), "", "", _thousands(effectual), *map(shown, totals))
        table.add_row("speed-up", "", "", "", _ratio(self.macs, effectual), *(_ratio(self.dense, t) for t in totals))
        return table

    def scheme_table(self) -> Table:
        """Return the totals of each scheme, with what limits it."""
        table = new_table(
            f"the whole of it; a dense machine that is always full takes {self.dense:,.0f} cycles",
            ("scheme", "skips"),
            ("cycles", "speed-up", "bound", "of bound", "without zeros", "gain"),
            ("source",),
        )
        for s in SCHEMES:
            f = self.total(s.key)
            table.add_row(
                s.title, s.skips, f"{f.cycles:,.0f}", _ratio(self.dense, f.cycles), f"{f.bound:,.0f}",
                f"{f.bound / f.cycles:.0%}" if f.cycles else "-", f"{f.full:,.0f}", _ratio(f.full, f.cycles), s.source,
            )  # fmt: skip
        grid = {key: sum(getattr(n, key) for n in self.machine("dense")) for key in ("compute", "cycles")}
        for name in self.machines:
            for key, text in (("compute", "lanes alone"), ("cycles", "with memory and drains")):
                value = sum(getattr(n, key) for n in self.machine(name))
                skips = self.config["skip"] if name == "skipping" else "none"
                table.add_row(
                    self.config["name"] if name == "skipping" else "dense grid", skips, f"{value:,.0f}",
                    _ratio(self.dense, value), "", "", f"{grid[key]:,.0f}", _ratio(grid[key], value),
                    f"this machine, {text}",
                )  # fmt: skip
        return table

    def notes(self) -> list[str]:
        """Return the lines printed below the tables."""
        what = f"{self.images} {'random ' if self.random else ''}input{'s' * (self.images != 1)}"
        lines = [
            f"{what}; speed-up: over all products, {self.multipliers} a cycle",
            "bound: all multipliers busy with what the scheme cannot skip; gain: over the same rule without zeros",
            "schemes and lanes: computing alone, memory is never late",
            "all (this machine only): fetches, drains and DMA included",
        ]
        for name, found in self.machines.items():
            rest = sum(n.cycles for n in found) - sum(n.cycles for n in self.machine(name))
            title = self.config["name"] if name == "skipping" else "dense grid"
            lines.append(f"{title}: {rest:,.0f} cycles more for additions and pooling, which no scheme counts")
        if any(layer.sampled for layer in self.layers):
            lines.append(f"~ some output pixels (SCNN: input channels), chosen by seed {self.seed}, scaled up")
        return lines


def _thousands(value: float) -> str:
    return f"{value / 1000:,.1f}" if value < 99_950 else f"{value / 1000:,.0f}"


def _ratio(over: float, value: float) -> str:
    return f"{over / value:.2f}x" if value else "-"
