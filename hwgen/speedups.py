"""What skipping zeros has to give: work, machines, and the speed-ups over the dense machine that are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.sparse_layer import Zeros


@dataclass(frozen=True)
class Inputs:
    """Real inputs: an array of an .npz file; ``frames`` neighbouring rows of it together are one input."""

    file: str
    key: str = "x"
    frames: int = 1


@dataclass(frozen=True)
class Network:
    """A network on real inputs.

    Parameters
    ----------
    file : str
    inputs : Inputs
    zeros : float
        Share of every layer's weights that is set to zero, at random places.
    dense : str
        File of the network that the dense machine runs; default: the same one.
    compressed : bool
        The files are among those that the recipes make (docs/compression.md), which need not be there.
    """

    file: str
    inputs: Inputs
    zeros: float = 0.0
    dense: str = ""
    compressed: bool = False

    @property
    def files(self) -> list[str]:
        return [f for f in (self.file, self.dense, self.inputs.file) if f]


@dataclass(frozen=True)
class Speedup:
    """A layer with zeros, or a network, on a machine that skips and on one that does not.

    Parameters
    ----------
    name : str
    work : Zeros or Network
    must, aim : float, optional
        Speed-ups over ``base`` (a layer: over the same one without zeros there).
    preset : str
    skip : str
        Changes the preset's.
    of_bound : bool
        ``must`` and ``aim`` are shares of what the zeros among the weights have to give: multiply-accumulates over
        those by a weight that is not zero.
    """

    name: str
    work: Zeros | Network
    must: float | None = None
    aim: float | None = None
    preset: str = "base-sparse"
    skip: str = ""
    of_bound: bool = False

    @property
    def machine(self) -> str:
        return self.preset + (f", skip = {self.skip}" if self.skip else "")


NO_LOSS = 1 / 1.02
"""At most 2 % more cycles than the dense machine."""

CIFAR, KWS, PHOTOS = Inputs("cifar10_test.npz"), Inputs("kws01.npz"), Inputs("photos.npz", "x96")
SOUND, WAKE_WORD = Inputs("ad_sample_1clip.npz", frames=5), Inputs("sww_calibration.npz", "specs")


def _layer(name: str, must: float, aim: float, preset: str = "base-sparse", **zeros: float | str) -> Speedup:
    return Speedup(name, Zeros(**zeros), must, aim, preset)  # type: ignore[arg-type]


SPEEDUPS: tuple[Speedup, ...] = (
    _layer("no zeros", NO_LOSS, 1),
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
    Speedup("ResNet-8 as it is", Network("resnet8_int8.tflite", CIFAR), 1.5, 1.8),
    Speedup("DS-CNN as it is", Network("dscnn_kws_int8.tflite", KWS), NO_LOSS, 1),
    Speedup("MobileNetV1-0.25 as it is", Network("mobilenetv1_025_vww_int8.tflite", PHOTOS), 1.8, 2.4),
    Speedup("autoencoder as it is", Network("autoencoder_ad_int8.tflite", SOUND), NO_LOSS, 1),
    Speedup("wide ResNet-8 as it is", Network("resnet8_large_int8.tflite", CIFAR), NO_LOSS, 1),
    Speedup("streaming wake word as it is", Network("streaming_wakeword_int8.tflite", WAKE_WORD), NO_LOSS, 1),
    Speedup(
        "ResNet-8, 70 % of every layer's weights zero, at random",
        Network("resnet8_int8.tflite", CIFAR, zeros=0.7),
        2.7,
        3.1,
        skip="weight",
    ),
    Speedup(
        "ResNet-8 by `sparse70_int8`",
        Network("resnet8_sparse70.onnx", CIFAR, compressed=True),
        0.85,
        0.95,
        of_bound=True,
    ),
    Speedup("ResNet-8 by `two_of_four_trained_int8`", Network("resnet8_two_of_four.onnx", CIFAR, compressed=True)),
    Speedup("ResNet-8 by `vector50_uniform_int8`", Network("resnet8_vector50.onnx", CIFAR, compressed=True)),
    Speedup(
        "DS-CNN by `dscnn_sparse60_int8`",
        Network("dscnn_sparse60.onnx", Inputs("kws01_real.npz"), compressed=True),
        1.4,
        1.65,
    ),
    Speedup(
        "LeNet-5 by `deep_lenet5`, over `int8`",
        Network("lenet5_deep.onnx", Inputs("mnist_test.npz"), dense="lenet5_int8.onnx", compressed=True),
        5,
        7,
    ),
)

IMAGES, TYPICAL = 4, 16
"""Inputs of a network that are measured, cycles being their mean; others, by whose zeros mappings are chosen."""

CURVES: dict[str, tuple[Zeros, ...]] = {
    "weights": tuple(Zeros(weights=d) for d in (1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)),
    "activations": tuple(Zeros(activations=d) for d in (1, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)),
    "both": tuple(Zeros(d, d, "vector") for d in (1, 0.8, 0.6, 0.5, 0.4, 0.3)),
}
"""Of the picture; both: vectors of 8 weights, and activations."""
