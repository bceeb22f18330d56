"""Train LeNet-300-100 or LeNet-5 on MNIST: ``python -m hwgen.compress.training.lenet lenet5 --data mnist.npz -o DIR``.

The two networks that pruning is measured on since Han 2015. LeNet-5 has Caffe's shape: 431,080 parameters, no
activation after its convolutions. DIR gets the network and ``mnist_train.npz``, ``mnist_test.npz`` for
``hwgen compress``, pixels 0 to 1.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.commands.files import write_file
from hwgen.compress.accuracy import float_accuracy
from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph, FloatPool
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.compress.training.loop import train
from hwgen.compress.training.settings import Settings
from hwgen.model.graph import Op

_SETTINGS = {"lenet300": Settings(epochs=15, optimizer="adamw", batch=128, weight_decay=0.05, keep_zeros=False),
             "lenet5": Settings(epochs=6, optimizer="adamw", batch=128, weight_decay=0.05, keep_zeros=False, shift=1)}


def lenet300(seed: int) -> FloatGraph:
    """LeNet-300-100, untrained."""
    rng = np.random.default_rng(seed)
    ops = (_layer(rng, "fc1", "x", (300, 28, 28, 1), lo=0.0), _layer(rng, "fc2", "fc1_out", (100, 1, 1, 300), lo=0.0),
           _layer(rng, "fc3", "fc2_out", (10, 1, 1, 100)))
    return FloatGraph("lenet300", {"x": (1, 28, 28, 1), **{op.output: (1, 1, 1, len(op.weight)) for op in ops}}, ops,
                      "x", "fc3_out")


def lenet5(seed: int) -> FloatGraph:
    """LeNet-5 as Caffe has it, untrained."""
    rng = np.random.default_rng(seed)
    ops: tuple[Op, ...] = (
        _layer(rng, "conv1", "x", (20, 5, 5, 1)), _pool("pool1", "conv1_out"),
        _layer(rng, "conv2", "pool1_out", (50, 5, 5, 20)), _pool("pool2", "conv2_out"),
        _layer(rng, "fc1", "pool2_out", (500, 4, 4, 50), lo=0.0), _layer(rng, "fc2", "fc1_out", (10, 1, 1, 500)))
    shapes = {"x": (1, 28, 28, 1), "conv1_out": (1, 24, 24, 20), "pool1_out": (1, 12, 12, 20),
              "conv2_out": (1, 8, 8, 50), "pool2_out": (1, 4, 4, 50), "fc1_out": (1, 1, 1, 500),
              "fc2_out": (1, 1, 1, 10)}
    return FloatGraph("lenet5", shapes, ops, "x", "fc2_out")


def _layer(rng: np.random.Generator, name: str, source: str, form: tuple[int, int, int, int], *,
           lo: float = -np.inf) -> FloatConv:
    """A layer with weights of He's size (He 2015)."""
    weight = rng.normal(0, np.sqrt(2 / np.prod(form[1:])), form).astype(np.float32)
    return FloatConv(name=name, inputs=(source,), output=f"{name}_out", source="Conv", weight=weight,
                     bias=np.zeros(form[0], np.float32), lo=lo)


def _pool(name: str, source: str) -> FloatPool:
    return FloatPool(name=name, inputs=(source,), output=f"{name}_out", source="MaxPool", kind="max", kernel=(2, 2),
                     stride=(2, 2))


def load_mnist(path: Path, part: str, seed: int = 0) -> Data:
    """``x_train`` and ``y_train`` (or test) of a file, pixels 0 to 1."""
    with np.load(path) as file:
        x: NDArray[np.uint8] = file[f"x_{part}"]
        y = file[f"y_{part}"].astype(np.int64)
    return Data((x.reshape(-1, 28, 28, 1) / np.float32(255)).astype(np.float32), y, seed)


def main(arguments: list[str] | None = None) -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description="Train LeNet-300-100 or LeNet-5 on MNIST.")
    parser.add_argument("network", choices=sorted(_SETTINGS))
    parser.add_argument("--data", type=Path, required=True, help="x_train, y_train, x_test, y_test")
    parser.add_argument("--output", "-o", type=Path, required=True, help="folder")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    net = (lenet300 if options.network == "lenet300" else lenet5)(options.seed)
    train_data, test = (load_mnist(options.data, part, options.seed) for part in ("train", "test"))
    settings = replace(_SETTINGS[options.network], threads=options.threads)
    settings = replace(settings, epochs=options.epochs or settings.epochs)
    options.output.mkdir(parents=True, exist_ok=True)
    trained, _ = train(net, net, train_data, settings, say=lambda text: print(text, file=sys.stderr, flush=True),
                       checkpoint=options.output / f"{options.network}.pt")
    write_file(options.output / f"{options.network}.onnx", float_onnx(trained))
    for part, data in (("train", train_data), ("test", test)):
        np.savez_compressed(options.output / f"mnist_{part}.npz", x=data.x, y=np.asarray(data.y))
    accuracy = float_accuracy(trained, test)
    assert accuracy is not None  # there are labels
    print(f"test accuracy {100 * accuracy.top1:.2f} % ({100 * accuracy.low:.2f}-{100 * accuracy.high:.2f})")


if __name__ == "__main__":
    main()
