"""Train the embedded network and write its files: ``python -m hwgen.embedded.train`` (needs ``hwgen[train]``).

Convolution, residual block of depthwise and pointwise convolutions, a depthwise-separable layer of stride 2, average
pooling and a fully connected layer, on scikit-learn's handwritten digits (UCI Optical Recognition of Handwritten
Digits). The same versions of torch and scikit-learn give the same files. The int8 network is what `hwgen compress`
makes of the float one with the recipe ``int8``.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

from hwgen.compress.data import Data
from hwgen.compress.data import load_data as read_data
from hwgen.compress.graph import BatchNorm, FloatAdd, FloatConv, FloatGraph, FloatPool, Shape
from hwgen.compress.load import load_float_model
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.compress.pipeline import compress
from hwgen.compress.recipe import load_recipe
from hwgen.compress.shipped import find_recipe
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm
from hwgen.compress.training.loop import train
from hwgen.compress.training.settings import Settings
from hwgen.model.graph import Op

SEED = 1
SETTINGS = Settings(epochs=80, batch=64, optimizer="adamw", rate=1e-2, weight_decay=1e-2, shift=1, keep_zeros=False)


def untrained(seed: int = SEED) -> FloatGraph:
    """The network with random weights of He's size (He 2015)."""
    rng = np.random.default_rng(seed)
    ops: list[Op] = []

    def conv(name: str, source: str, form: tuple[int, int, int, int], **options: Any) -> FloatConv:
        weight = rng.normal(0, np.sqrt(2 / np.prod(form[1:])), form).astype(np.float32)
        bias = np.zeros(form[0], np.float32)
        return FloatConv(name=name, inputs=(source,), output=f"{name}_out", source="Conv", weight=weight, bias=bias,
                         pad=(form[1] // 2,) * 4 if form[1] % 2 else (0,) * 4, **options)

    def normalised(name: str, source: str, form: tuple[int, int, int, int], lo: float = 0.0, **options: Any) -> None:
        ops.append(replace(conv(name, source, form, **options), output=f"{name}_sum"))
        ones, zeros = np.ones(form[0], np.float32), np.zeros(form[0], np.float32)
        ops.append(BatchNorm(name=f"{name}_norm", inputs=(f"{name}_sum",), output=f"{name}_out", gamma=ones, beta=zeros,
                             mean=zeros, variance=ones, epsilon=1e-5, lo=lo))

    normalised("stem", "image", (16, 3, 3, 1))
    normalised("depthwise_1", "stem_out", (16, 3, 3, 1), groups=16)
    normalised("pointwise_1", "depthwise_1_out", (16, 1, 1, 16), lo=-np.inf)
    ops.append(FloatAdd(name="residual", inputs=("stem_out", "pointwise_1_out"), output="residual_out", lo=0.0))
    normalised("depthwise_2", "residual_out", (16, 3, 3, 1), groups=16, stride=(2, 2))
    normalised("pointwise_2", "depthwise_2_out", (32, 1, 1, 16))
    ops.append(FloatPool(name="pool", inputs=("pointwise_2_out",), output="pool_out", kind="average", kernel=(2, 2),
                         stride=(2, 2)))
    ops.append(conv("dense", "pool_out", (10, 2, 2, 32)))
    shapes: dict[str, Shape] = {"image": (1, 8, 8, 1), "residual_out": (1, 8, 8, 16), "pool_out": (1, 2, 2, 32),
                                "dense_out": (1, 1, 1, 10)}
    for name, shape in (("stem", (1, 8, 8, 16)), ("depthwise_1", (1, 8, 8, 16)), ("pointwise_1", (1, 8, 8, 16)),
                        ("depthwise_2", (1, 4, 4, 16)), ("pointwise_2", (1, 4, 4, 32))):
        shapes |= {f"{name}_sum": shape, f"{name}_out": shape}
    return FloatGraph("digits", shapes, tuple(ops), "image", "dense_out")


def load_data(seed: int = SEED) -> tuple[Data, Data]:
    """Training and test images (N, 8, 8, 1) from 0 to 16 with labels: 80 to 20, stratified."""
    images, labels = load_digits(return_X_y=True)
    x: NDArray[np.float32] = images.reshape(-1, 8, 8, 1).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(x, labels.astype(np.int64), test_size=0.2, random_state=seed,
                                                        stratify=labels)
    return Data(x_train, y_train, seed), Data(x_test, y_test, seed)


def main(arguments: list[str] | None = None) -> None:
    """Write ``digits_float.onnx``, ``digits.onnx``, ``digits_train.npz`` and ``digits_test.npz``."""
    parser = argparse.ArgumentParser(description="Train the embedded network and write its files.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder, this package by default")
    parser.add_argument("--epochs", type=int, default=SETTINGS.epochs)
    options = parser.parse_args(arguments)
    folder: Path = options.output
    fit, test = load_data()
    start = untrained()
    trained, _ = train(start, start, fit, replace(SETTINGS, epochs=options.epochs),
                       say=lambda text: print(text, file=sys.stderr, flush=True))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digits_float.onnx").write_bytes(float_onnx(fold_batch_norm(trained)))
    for part, data in (("train", fit), ("test", test)):
        np.savez_compressed(folder / f"digits_{part}.npz", x=data.x, y=np.asarray(data.y))
    # From the files, as the command line does it.
    network = load_float_model(folder / "digits_float.onnx")
    fit, test = (read_data(network, folder / f"digits_{part}.npz") for part in ("train", "test"))
    made = compress(network, load_recipe(find_recipe("int8")), fit, test)
    (folder / "digits.onnx").write_bytes(made.onnx)
    for row in made.rows:
        assert row.accuracy is not None  # there are labels
        print(f"{row.name}: {row.accuracy.correct} of {row.accuracy.total} test images right")


if __name__ == "__main__":
    main()
