"""Tucker-2 decomposition: a convolution becomes 1x1, a small core with its kernel, and 1x1."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.count import count
from hwgen.compress.data import Data
from hwgen.compress.decompose import is_matrix, last, part, splittable, with_chains
from hwgen.compress.evbmf import evbmf_rank
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.rank_plan import least_error, tucker_choices
from hwgen.compress.technique import Family, Technique, chosen_layers
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class Tucker(Technique):
    """Fewer input and output channels around the kernel (Kim 2016), by higher-order orthogonal iteration (TensorLy).

    Without names, layers with a kernel larger than 1x1 and smaller than their map are split where that saves weights.
    """

    name: ClassVar[str] = "tucker"
    family: ClassVar[Family] = "decomposition"

    evbmf: bool = parameter(False, "ranks that stand out from noise")
    ratio: float | None = parameter(None, "instead: ranks as a share of the channels", low=0, high=1)
    macs: float | None = parameter(None, "instead: ranks that lose least at this share of the network's "
                                   "multiplications", low=0, high=1)
    multiple: int = parameter(1, "ranks by macs are multiples of it, or all channels", low=1)
    in_ranks: dict[str, int] = parameter({}, "instead, with out_ranks: input rank of each layer, by name", low=1)
    out_ranks: dict[str, int] = parameter({}, "output rank of each layer, by name", low=1)
    layers: tuple[str, ...] = parameter((), "layers to split")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = bool(self.in_ranks or self.out_ranks)
        if sum([self.evbmf, self.ratio is not None, self.macs is not None, given]) != 1:
            raise HwgenError("give exactly one of evbmf, ratio, macs, and in_ranks with out_ranks")
        if self.multiple > 1 and self.macs is None:
            raise HwgenError("multiple needs macs")
        if set(self.in_ranks) != set(self.out_ranks):
            raise HwgenError("in_ranks and out_ranks must name the same layers")
        if given and (self.layers or self.exclude):
            raise HwgenError("in_ranks and out_ranks name their layers: layers and exclude must be absent")

    def check_installed(self) -> None:
        if importlib.util.find_spec("tensorly") is None:
            raise HwgenError("tucker needs TensorLy, which is not installed", remedy='pip install "hwgen[tensor]"')

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        named = tuple(self.in_ranks) or self.layers
        layers: dict[str, dict[str, Any]] = {}
        notes = []
        chosen = [op for op in splittable(chosen_layers(graph, named, self.exclude), named)
                  if named or not is_matrix(graph, op)]
        planned = self._planned(graph, chosen) if self.macs is not None else {}
        for op in chosen:
            outputs, height, width, inputs = op.weight.shape
            ranks = planned[op.name] if planned else self._ranks(op)
            if ranks is None:
                notes.append(f"{op.name}: left as it is, others lose less for what they save")
                continue
            of_input, of_output = ranks
            size = inputs * of_input + height * width * of_input * of_output + of_output * outputs
            if not named and not planned and size >= op.weight.size:
                notes.append(f"{op.name}: ranks {of_input} and {of_output} of {inputs} and {outputs} save nothing, "
                             "left as it is")
                continue
            _, core, _ = tucker2(op.weight, of_input, of_output)
            # The outer matrices are orthonormal: what the core lacks of the weights' length is the error.
            whole = float(np.sum(op.weight.astype(np.float64) ** 2))
            error = max(1 - float(np.sum(core**2)) / max(whole, 1e-300), 0.0) ** 0.5
            layers[op.name] = {"in_rank": of_input, "of_in": inputs, "out_rank": of_output, "of_out": outputs,
                               "relative_error": error}
        return self.plan(layers=layers, notes=notes)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        return with_chains(graph, {op: _chain(op, plan.layers[op.name]["in_rank"], plan.layers[op.name]["out_rank"])
                                   for op in graph.convs if op.name in plan.layers})

    def _planned(self, graph: FloatGraph, chosen: list[FloatConv]) -> dict[str, tuple[int, int] | None]:
        """Ranks of the layers to split, None for those that stay."""
        budget = int((self.macs or 0.0) * count(graph).macs) - count(graph).macs
        choices = {op.name: tucker_choices(graph, op, self.multiple) for op in chosen}
        budget += sum(of_layer[0].macs for of_layer in choices.values())
        return {name: choice.ranks for name, choice in least_error(choices, budget).items()}

    def _ranks(self, op: FloatConv) -> tuple[int, int]:
        outputs, height, width, inputs = op.weight.shape
        most_in, most_out = min(inputs, height * width * outputs), min(outputs, height * width * inputs)
        if self.in_ranks:
            of_input, of_output = self.in_ranks[op.name], self.out_ranks[op.name]
            for key, rank, most in (("in_ranks", of_input, most_in), ("out_ranks", of_output, most_out)):
                if rank > most:
                    raise HwgenError(f"{key} must be at most {most}, that of its {outputs} x {height} x {width} x "
                                     f"{inputs} weights, not {rank}", where=op.name)
            return of_input, of_output
        if self.ratio is not None:
            return max(min(round(self.ratio * inputs), most_in), 1), max(min(round(self.ratio * outputs), most_out), 1)
        return max(evbmf_rank(_unfolded(op.weight, 3)), 1), max(evbmf_rank(_unfolded(op.weight, 0)), 1)


def tucker2(weight: NDArray[Any], of_input: int, of_output: int) -> tuple[NDArray[np.float64], ...]:
    """Decompose weights (outputs, kh, kw, inputs).

    Returns
    -------
    left, core, right : arrays
        (inputs, in rank), (out rank, kh, kw, in rank), (outputs, out rank); the outer two have orthonormal columns.
    """
    if not weight.any():  # TensorLy divides by the norm
        sides = np.eye(weight.shape[3], of_input), np.eye(weight.shape[0], of_output)
        return sides[0], np.zeros((of_output, *weight.shape[1:3], of_input)), sides[1]
    from tensorly.decomposition import partial_tucker

    (core, (right, left)), _ = partial_tucker(weight.astype(np.float64), rank=[of_output, of_input], modes=[0, 3],
                                              random_state=0)
    return np.asarray(left), np.asarray(core), np.asarray(right)


def _unfolded(weight: NDArray[Any], axis: int) -> NDArray[np.float64]:
    return np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)


def _chain(op: FloatConv, of_input: int, of_output: int) -> tuple[FloatConv, ...]:
    left, core, right = tucker2(op.weight, of_input, of_output)
    first = part(op, left.T.reshape(of_input, 1, 1, -1), "tucker_1", op.inputs[0])
    middle = part(op, core, "tucker_2", first.output, stride=op.stride, dilation=op.dilation, pad=op.pad)
    return first, middle, part(op, right.reshape(-1, 1, 1, of_output), "tucker_3", middle.output, **last(op))
