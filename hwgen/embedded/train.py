"""Train, quantise and write the embedded network: ``python -m hwgen.embedded.train`` (needs ``hwgen[train]``).

Convolution, residual block of depthwise and pointwise convolutions, a depthwise-separable layer of stride 2, average
pooling and a fully connected layer, on scikit-learn's handwritten digits (UCI Optical Recognition of Handwritten
Digits). The same versions of torch and scikit-learn give the same files.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from torch import nn

from hwgen.embedded.quantize import Layer, quantize_digits
from hwgen.golden.graph import run
from hwgen.golden.inputs import quantize_input
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import write_onnx

FloatArray = NDArray[np.float32]

SEED = 1
EPOCHS = 80
BATCH = 64


class Digits(nn.Module):
    """The float network; every convolution has its batch normalisation, which quantisation folds."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(1, 16, 3)
        self.depthwise_1 = _conv(16, 16, 3, groups=16)
        self.pointwise_1 = _conv(16, 16, 1)
        self.depthwise_2 = _conv(16, 16, 3, stride=2, groups=16)
        self.pointwise_2 = _conv(16, 32, 1)
        self.dense = nn.Linear(2 * 2 * 32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores (N, 10) of images (N, 1, 8, 8) from 0 to 16."""
        a = torch.relu(self.stem(x))
        b = self.pointwise_1(torch.relu(self.depthwise_1(a)))
        a = torch.relu(a + b)
        a = torch.relu(self.pointwise_2(torch.relu(self.depthwise_2(a))))
        a = nn.functional.avg_pool2d(a, 2)
        return torch.as_tensor(self.dense(nn.functional.dropout(a.flatten(1), 0.2, self.training)))

    def layers(self) -> dict[str, Layer]:
        """Weights (O, kh, kw, I) and biases of each layer, batch normalisation folded."""
        result = {name: _folded(module) for name, module in self.named_children() if isinstance(module, nn.Sequential)}
        weight = self.dense.weight.detach().numpy().reshape(10, 32, 2, 2).transpose(0, 2, 3, 1)
        return result | {"dense": Layer(weight, self.dense.bias.detach().numpy())}


def _conv(channels: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out))


def _folded(module: nn.Sequential) -> Layer:
    conv, norm = module[0], module[1]
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = (conv.weight * factor.reshape(-1, 1, 1, 1)).detach().numpy().transpose(0, 2, 3, 1)
    bias = (norm.bias - norm.running_mean * factor).detach().numpy()
    return Layer(weight, bias, conv.stride[0], int(conv.padding[0]),
                 conv.groups)


def load_data() -> tuple[FloatArray, FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Training and test images (N, 8, 8, 1) from 0 to 16, training and test labels: 80 to 20, stratified."""
    images, labels = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1).astype(np.float32)
    split: tuple[FloatArray, FloatArray, NDArray[np.int64], NDArray[np.int64]] = train_test_split(
        x, labels.astype(np.int64), test_size=0.2, random_state=SEED, stratify=labels)
    return split


def _shifted(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image (N, 1, 8, 8) moved by -1, 0 or 1 pixels in both directions."""
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    offset = torch.randint(0, 3, (2, len(x)), generator=generator)
    rows = offset[0][:, None, None] + torch.arange(8)[:, None]
    columns = offset[1][:, None, None] + torch.arange(8)
    return padded[torch.arange(len(x))[:, None, None], 0, rows, columns].unsqueeze(1)


def train(x: FloatArray, y: NDArray[np.int64], epochs: int = EPOCHS) -> Digits:
    """Train on images (N, 8, 8, 1) and labels (N,); progress goes to stderr."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(SEED)
    images, labels = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(y)
    network = Digits()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    steps = -(-len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=epochs * steps)
    shown = time.monotonic()
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        total = 0.0
        for start in range(0, len(x), BATCH):
            pick = order[start : start + BATCH]
            loss = nn.functional.cross_entropy(network(_shifted(images[pick], generator)), labels[pick],
                                               label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(pick)
        if time.monotonic() - shown > 2 or epoch == epochs - 1:
            shown = time.monotonic()
            print(f"epoch {epoch + 1}/{epochs}: loss {total / len(x):.4f}", file=sys.stderr)
    return network.eval()


def main(arguments: list[str] | None = None) -> None:
    """Write ``digits.onnx`` and ``digits_test.npz``."""
    parser = argparse.ArgumentParser(description="Train the embedded network and write its files.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder, this package by default")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(arguments)
    x_train, x_test, y_train, y_test = load_data()
    network = train(x_train, y_train, options.epochs)
    with torch.no_grad():
        scores = network(torch.from_numpy(x_test.transpose(0, 3, 1, 2).copy())).numpy()
    options.output.mkdir(parents=True, exist_ok=True)
    write_onnx(quantize_digits(network.layers(), x_train), options.output / "digits.onnx")
    np.savez_compressed(options.output / "digits_test.npz", x=x_test, y=y_test)
    graph = read_onnx(options.output / "digits.onnx")
    result = run(graph, quantize_input(graph, x_test)).output.reshape(len(x_test), 10)
    print(f"test accuracy: float {np.mean(scores.argmax(1) == y_test):.4f}, "
          f"int8 {np.mean(result.argmax(1) == y_test):.4f} of {len(y_test)} images")


if __name__ == "__main__":
    main()
