"""Structured pruning: whole channels are taken out of the network, through additions and concatenations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from hwgen.compress.channels import Channels, without
from hwgen.compress.criteria import CRITERIA, importance
from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.packing import pack, unpack
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.reconstruct import reconstructed
from hwgen.compress.technique import Family, Technique, check_named, chosen_layers
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class PruneChannels(Technique):
    """Remove the channels that matter least: the network gets smaller, no weight stays as a zero.

    Channels that an addition ties go together (`hwgen.compress.channels`); how much they matter is a criterion of
    `hwgen.compress.criteria`. Batch normalisation is folded first, unless the criterion reads it.
    """

    name: ClassVar[str] = "prune_channels"
    family: ClassVar[Family] = "sparsification"

    ratio: float | None = parameter(None, "share of the channels of all chosen layers that go", low=0, high=1)
    layer_ratio: dict[str, float] = parameter({}, "instead: the share of each layer's output channels, by name; layers "
                                              "that are tied follow", low=0, high=1)
    criterion: str = parameter("l2", "what says how much a channel matters", choices=CRITERIA)
    ratios: str = parameter("uniform", "how a total is divided: the same share everywhere, or the least of all, each "
                            "relative to its layer's mean", choices=("uniform", "global"))
    multiple: int = parameter(1, "the channels that stay are a multiple of it, rounded up", low=1)
    refit: bool = parameter(False, "fit all layers anew so that they make up for what is gone: no labels, no training")
    samples: int = parameter(256, "inputs for the criterion taylor and for refit, stratified by class", low=16)
    layers: tuple[str, ...] = parameter((), "layers whose output channels go, all that can be removed if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.ratio is None) == (not self.layer_ratio):
            raise HwgenError("give exactly one of ratio and layer_ratio")
        check_named("layer_ratio", self.layer_ratio, self.layers, self.exclude)

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        graph = self._prepared(graph)
        channels = Channels(graph)
        notes: list[str] = []
        groups = self._groups(graph, channels, notes)
        sample = data.sample(self.samples, 16) if self.criterion == "taylor" or self.refit else data
        scored = [importance(self.criterion, graph, channels, group, sample) for group in groups]
        ratios = [self._ratio(group) for group in groups]
        if self.ratios == "global" and self.ratio is not None:
            relative = [s / max(float(s.mean()), 1e-300) for _, s in scored]
            every = np.sort(np.concatenate(relative))
            count = round(self.ratio * len(every))
            limit = every[count] if count < len(every) else np.inf
            ratios = [float((s < limit).mean()) for s in relative]
        layers: dict[str, dict[str, Any]] = {}
        for group, (classes, scores), ratio in zip(groups, scored, ratios, strict=True):
            left = max(len(classes) - round(ratio * len(classes)), 1)
            left = min(-(-left // self.multiple) * self.multiple, len(classes))
            gone = classes[np.argsort(scores, kind="stable")[: len(classes) - left]]
            for op in group:
                own = channels.of(op.output)
                layers[op.name] = {"channels": len(own), "removed": np.flatnonzero(np.isin(own, gone)).tolist(),
                                   "tied": [o.name for o in group if o is not op]}
        if self.refit:
            dense = fold_batch_norm(graph)  # a criterion may have wanted it as it is
            removed = _gone(graph, channels, layers)
            kept = {op.name: np.flatnonzero(~np.isin(channels.of(op.output), list(removed))) for op in dense.convs}
            small = fold_batch_norm(without(graph, channels, removed))
            for name, op in reconstructed(dense, small, kept, sample.x).items():
                layers.setdefault(name, {}).update(weight=pack(op.weight), bias=pack(op.bias))
        return self.plan(layers=layers, notes=notes)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        graph = self._prepared(graph)
        channels = Channels(graph)
        small = without(graph, channels, _gone(graph, channels, plan.layers))
        if not self.refit:
            return small
        small = fold_batch_norm(small)
        return small.replace_ops({op: (replace(op, weight=unpack(plan.layers[op.name]["weight"]),
                                               bias=unpack(plan.layers[op.name]["bias"])),) for op in small.convs})

    def _prepared(self, graph: FloatGraph) -> FloatGraph:
        return graph if self.criterion == "bn_gamma" else fold_batch_norm(graph)

    def _groups(self, graph: FloatGraph, channels: Channels, notes: list[str]) -> list[list[FloatConv]]:
        """The chosen layers whose channels can be removed, with those they are tied to."""
        named = tuple(self.layer_ratio) or self.layers
        chosen = chosen_layers(graph, named, self.exclude)
        groups = []
        for op in chosen:
            if op.depthwise and named:
                raise HwgenError("a depthwise layer has the channels of the layer before it", where=op.name,
                                 remedy="name that layer")
        for group in channels.groups():
            if not any(op in chosen for op in group):
                continue
            reasons = [(op, reason) for op in group if (reason := channels.fixed(op.output))]
            spared = [op.name for op in group if op.name in self.exclude]
            if reasons and named:
                op, reason = reasons[0]
                raise HwgenError(f"its channels cannot be removed: {reason}", where=op.name,
                                 remedy="leave the layer out")
            if reasons:
                notes.append(f"{', '.join(op.name for op in group)}: channels cannot be removed, {reasons[0][1]}")
            elif spared:
                notes.append(f"{', '.join(op.name for op in group)}: left as it is, tied to {', '.join(spared)}")
            else:
                groups.append(group)
        if not groups:
            raise HwgenError("no channel of the chosen layers can be removed: " + "; ".join(notes), where=graph.name)
        return groups

    def _ratio(self, group: list[FloatConv]) -> float:
        given = {op.name: self.layer_ratio[op.name] for op in group if op.name in self.layer_ratio}
        if len(set(given.values())) > 1:
            raise HwgenError(f"layers whose channels are tied must have one ratio, not {given}", where=group[0].name)
        return next(iter(given.values()), self.ratio or 0.0)


def _gone(graph: FloatGraph, channels: Channels, layers: Mapping[str, Mapping[str, Any]]) -> set[int]:
    """The classes of channels that a plan removes."""
    return {int(c) for name, entry in layers.items()
            for c in channels.of(graph.conv(name).output)[entry.get("removed", [])]}
