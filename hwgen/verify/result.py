"""What a verification found: the JSON interface and the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from hwgen.verify.beyond import beyond
from hwgen.verify.replay import Mismatch
from hwgen.verify.tables import dense_table, skipped, zeros_table
from hwgen.verify.timeline import Span
from hwgen.verify.zeros import LayerZeros


@dataclass(frozen=True)
class LayerResult:
    """One layer: measured and predicted cycles, and how many values differ from the golden model."""

    name: str
    op: str
    mapping: str
    cycles: int
    predicted: int
    macs: int
    utilisation: float
    """macs / (cycles * multipliers)."""
    mismatches: int
    detail: str
    zeros: LayerZeros | None = None
    """Where zeros are skipped."""


@dataclass
class VerifyResult:
    """Outcome of `hwgen.verify.verify`; ``to_json`` is the documented interface."""

    model: str
    config: dict[str, Any]
    multipliers: int
    images: int
    seed: int | None
    mismatches: int
    examples: list[Mismatch]
    total: int
    predicted: int
    macs: int
    layers: list[LayerResult]
    bytes_read: int
    bytes_written: int
    counters: dict[str, int]
    sim: dict[str, Any]
    reference: dict[str, Any] | None
    host: list[str]
    failures: list[str] = field(default_factory=list)
    """What went wrong besides values: hardware errors, a run that did not finish."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage, in their order."""
    saturated: dict[str, float] = field(default_factory=dict)
    """Of each input that has any, the share of values beyond what its quantisation covers."""
    top1: float | None = None
    """With labels: the golden model's accuracy."""
    warnings: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    """What the units did in the first run; not part of the JSON."""

    @property
    def bit_exact(self) -> bool:
        return not self.mismatches and not self.failures and (self.reference is None or bool(self.reference["equal"]))

    @property
    def utilisation(self) -> float:
        return self.macs / (self.total * self.multipliers) if self.total else 0.0

    @property
    def zeros(self) -> dict[str, float] | None:
        """Sums over the layers of the effectual bound and of the dense twin's cycles; None where none are skipped."""
        found = [n.zeros for n in self.layers if n.zeros is not None]
        return {"bound": sum(z.bound for z in found), "dense": sum(z.dense for z in found)} if found else None

    def beyond(self, layers: bool) -> list[str]:
        """Lines that say why a share is above 100 %, of those that the table of ``layers`` or the line instead has."""
        if not layers or self.zeros is None:
            shares = [self.utilisation, *(n.utilisation for n in self.layers if layers)]
            return beyond(shares, [], skips=self.zeros is not None)
        return beyond([], [n.zeros.bound / n.cycles for n in self.layers if n.zeros and n.cycles], skips=True)

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys (docs/interfaces.md)."""
        return {
            "model": self.model,
            "config": self.config,
            "bit_exact": self.bit_exact,
            "mismatches": self.mismatches,
            "examples": [str(e) for e in self.examples],
            "failures": self.failures,
            "cycles": {
                "total": self.total,
                "predicted": self.predicted,
                "layers": [
                    {
                        "name": n.name,
                        "op": n.op,
                        "mapping": n.mapping,
                        "cycles": n.cycles,
                        "predicted": n.predicted,
                        "macs": n.macs,
                        "utilisation": n.utilisation,
                        "mismatches": n.mismatches,
                        "detail": n.detail,
                        "zeros": n.zeros.to_json() if n.zeros else None,
                    }
                    for n in self.layers
                ],
            },
            "macs": self.macs,
            "multipliers": self.multipliers,
            "utilisation": self.utilisation,
            "bytes": {"read": self.bytes_read, "written": self.bytes_written},
            "counters": self.counters,
            "zeros": self.zeros,
            "stages": self.stages,
            "sim": self.sim,
            "reference": self.reference,
            "images": self.images,
            "seed": self.seed,
            "host": self.host,
            "saturated": self.saturated,
            "top1": self.top1,
        }

    def table(self) -> Table:
        """Return the layer table."""
        return zeros_table(self) if self.zeros else dense_table(self)

    def summary(self) -> list[str]:
        """Return the lines printed below the table."""
        warnings = [f"warning: {text}" for text in self.warnings]
        lines = [*warnings, *self.failures, *(str(e) for e in self.examples), *skipped(self)]
        sim = self.sim
        lines.append(
            f"simulated {sim['simulated_cycles']:,} cycles in {sim['run_s']:.1f} s "
            f"({sim['cycles_per_s']:,.0f} cycles/s, {sim['name']})"
        )
        lines.append(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.stages.items()))
        if self.reference is None:
            lines.append('outside reference: not compared -> pip install "hwgen[reference]"')
        else:
            lines.append(f"{self.reference['name']}: {self.reference['summary']}")
        lines.append(
            ("bit-exact: RTL == golden machine == golden graph" if self.bit_exact else "NOT bit-exact")
            + f", {self.images} image{'s' * (self.images != 1)}"
            + ("" if self.top1 is None else f", top-1 accuracy {100 * self.top1:.2f} %")
        )
        return lines
