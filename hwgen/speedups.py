"""What skipping zeros has to give: work, machines, and the speed-ups over the dense machine that are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.sparse_layer import Zeros

Work = Zeros | str


@dataclass(frozen=True)
class Speedup:
    """A layer with zeros, or a network as it is, on a machine that skips and on one that does not.

    Parameters
    ----------
    name : str
    work : Zeros or str
        A network is the name of its file; its inputs are real ones.
    must, aim : float
        Speed-ups over ``base`` (a layer: over the same one without zeros there).
    preset : str
    data : str
        File and key of a network's inputs.
    """

    name: str
    work: Work
    must: float
    aim: float
    preset: str = "base-sparse"
    data: tuple[str, str] = ("", "x")


def _layer(name: str, must: float, aim: float, preset: str = "base-sparse", **zeros: float | str) -> Speedup:
    return Speedup(name, Zeros(**zeros), must, aim, preset)  # type: ignore[arg-type]


SPEEDUPS: tuple[Speedup, ...] = (
    *(
        _layer(f"weights {share}", must, aim, weights=share)
        for share, must, aim in ((0.5, 1.85, 1.95), (0.3, 3.0, 3.2), (0.2, 4.2, 4.7), (0.1, 6.5, 8))
    ),
    _layer("weights 1:4", 3.5, 3.9, grain="1:4"),
    _layer("weights 2:4", 1.9, 1.97, grain="2:4"),
    _layer("activations 0.5", 1.8, 1.95, activations=0.5),
    _layer("activations 0.3", 2.8, 3.2, activations=0.3),
    _layer("vectors of weights 0.3, activations 0.4", 5.5, 7, weights=0.3, activations=0.4, grain="vector"),
    _layer("weights 0.3, activations 0.4", 5, 6.5, "sparse-fine", weights=0.3, activations=0.4),
    Speedup("ResNet-8 as it is", "resnet8_int8.tflite", 1.5, 1.8, data=("cifar10_test.npz", "x")),
    Speedup("DS-CNN as it is", "dscnn_kws_int8.tflite", 0.98, 1, data=("kws01.npz", "x")),
    Speedup("MobileNetV1-0.25 as it is", "mobilenetv1_025_vww_int8.tflite", 1.8, 2.4, data=("photos.npz", "x96")),
)
IMAGES = 4
"""Inputs of a network; cycles are their mean."""

CURVES: dict[str, tuple[Zeros, ...]] = {
    "weights": tuple(Zeros(weights=d) for d in (1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)),
    "activations": tuple(Zeros(activations=d) for d in (1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)),
    "both": tuple(Zeros(d, d, "vector") for d in (1, 0.8, 0.6, 0.5, 0.4, 0.3)),
}
"""Of the picture; both: vectors of 8 weights, and activations."""
