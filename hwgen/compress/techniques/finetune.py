"""Fine-tuning by gradients, what earlier steps did being held; pruning while training; learned step sizes."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from hwgen.compress.data import Data
from hwgen.compress.graph import BatchNorm, FloatConv, FloatGraph
from hwgen.compress.packing import pack, unpack
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.quantizer import Quantizer
from hwgen.compress.technique import Family, Surroundings, Technique
from hwgen.compress.techniques.quantize import within_machine
from hwgen.compress.training.settings import Settings
from hwgen.errors import HwgenError

_BN = ("gamma", "beta", "mean", "variance")


@dataclass(frozen=True, kw_only=True, eq=False)
class Finetune(Technique):
    """Train the network as the steps before it left it (PyTorch).

    Weights that are zero stay zero, codebooks keep their indices (each entry gets the sum of its weights' gradients,
    Han 2016). After `quantize` this is quantisation-aware training: weights and maps are rounded as they will be, and
    gradients pass straight through (Bengio 2013); scales are held, or learned (LSQ, Esser 2020). The file then has
    these very scales. Alone it mends what rounding did, hence quantization; one that prunes is sparsification.
    """

    name: ClassVar[str] = "finetune"
    family: ClassVar[Family] = "quantization"
    on_either: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    epochs: int = parameter(10, "passes over the training data", low=1)
    rate: float = parameter(1e-3, "first learning rate; it falls to zero by a cosine", low=0)
    warmup: float = parameter(0.0, "share of the training during which the rate rises from zero", low=0, high=1)
    batch: int = parameter(128, "images of a step", low=1)
    optimizer: str = parameter("adam", "adam, adamw (decay apart from the gradient), sgd (Nesterov momentum "
                               "0.9)", choices=("adam", "adamw", "sgd"))
    weight_decay: float = parameter(0.0, "of weights, not of biases, codebooks and scales", low=0)
    shift: int = parameter(0, "pixels that images are moved by at most", low=0)
    flip: bool = parameter(False, "mirror half of the images")
    distill: float = parameter(0.0, "share of the loss that asks for the scores of the network before the first step",
                               low=0, high=1)
    temperature: float = parameter(4.0, "of distillation", low=0.01)
    keep_zeros: bool = parameter(True, "hold weights that are zero")
    scales: str = parameter("held", "of a quantised network: held, or learned", choices=("held", "learned"))
    sparsity: float | None = parameter(None, "share of all weights (of the layers that vector fits) that are zero in "
                                       "the end", low=0, high=1)
    layer_sparsity: dict[str, float] = parameter({}, "instead: the share of each layer, by name", low=0, high=1)
    ratios: str = parameter("lamp", "how a total is divided: uniform or lamp", choices=("uniform", "lamp"))
    schedule: str = parameter("cubic", "how sparsity rises: cubic or iterative", choices=("cubic", "iterative"))
    rounds: int = parameter(5, "stages of the iterative schedule", low=1)
    ramp: float = parameter(0.5, "share of the training by which sparsity is reached", low=0, high=1)
    freeze: float = parameter(0.75, "share of the training after which regrowing ends", low=0, high=1)
    updates: int = parameter(8, "times an epoch that masks are renewed", low=1)
    vector: int = parameter(1, "neighbouring output channels whose weights become zero together; layers that they do "
                            "not fit are not pruned", low=1)
    regrow: bool = parameter(False, "pruned weights go on learning and may come back")
    bfloat16: bool = parameter(False, "multiply in bfloat16, about twice as fast on processors that can; what is "
                               "learned stays float32")
    threads: int = parameter(1, "threads of PyTorch; another number may give other last bits", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sparsity is not None or self.layer_sparsity:
            object.__setattr__(self, "family", "sparsification")
        if self.sparsity is not None and self.layer_sparsity:
            raise HwgenError("give sparsity or layer_sparsity, not both")
        if self.regrow and self.sparsity is None and not self.layer_sparsity:
            raise HwgenError("regrow needs sparsity or layer_sparsity")
        if self.regrow and self.freeze < self.ramp:
            raise HwgenError(f"freeze must be at least ramp, {self.ramp:g}, not {self.freeze:g}")

    def check_installed(self) -> None:
        if importlib.util.find_spec("torch") is None:
            raise HwgenError("training needs PyTorch, which is not installed", remedy='pip install "hwgen[train]"')

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        return self.fit_in(graph, data, Surroundings(graph))

    def fit_in(self, graph: FloatGraph, data: Data, around: Surroundings) -> Plan:
        self.check_installed()
        if data.y is None and self.distill < 1:
            raise HwgenError("training needs labels y", remedy="give labels, or distill = 1.0")
        if not len(data):
            raise HwgenError("training needs at least one input")
        from hwgen.compress.training.loop import train

        folder = around.checkpoints
        file = folder / f"step{around.number}_finetune.pt" if folder is not None else None
        settings = Settings(**{f.name: getattr(self, f.name) for f in fields(Settings)})
        trained, curve = train(graph, around.original, data, settings, checkpoint=file, say=around.say)
        trained = within_machine(trained)
        layers = {op.name: _entry(op) for op in trained.ops if isinstance(op, FloatConv | BatchNorm)}
        return self.plan(layers=layers, maps={name: q.to_json() for name, q in trained.maps.items()}, curve=curve)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        new = {op: (_restored(op, plan.layers[op.name]),) for op in graph.ops if op.name in plan.layers}
        maps = {name: Quantizer.from_json(plan.maps[name]) for name in graph.maps}
        return replace(graph.replace_ops(new), maps=maps)


def _entry(op: FloatConv | BatchNorm) -> dict[str, Any]:
    """What was trained of an operator, as data."""
    if isinstance(op, BatchNorm):
        return {name: pack(getattr(op, name)) for name in _BN}
    quantizer = {} if op.quantizer is None else {"quantizer": op.quantizer.to_json()}
    return {"zeros": int(np.sum(op.weight == 0)), "weight": pack(op.weight), "bias": pack(op.bias), **quantizer}


def _restored(op: Any, entry: dict[str, Any]) -> Any:
    """Undo `_entry`."""
    if isinstance(op, BatchNorm):
        return replace(op, gamma=unpack(entry["gamma"]), beta=unpack(entry["beta"]), mean=unpack(entry["mean"]),
                       variance=unpack(entry["variance"]))
    quantizer = Quantizer.from_json(entry["quantizer"]) if "quantizer" in entry else None
    return replace(op, weight=unpack(entry["weight"]), bias=unpack(entry["bias"]), quantizer=quantizer)
