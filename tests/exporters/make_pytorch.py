"""Files as PyTorch's exporters and ONNX Runtime's quantiser write them: `make_pytorch.py FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

SIZE = 16


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution and its normalisation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """A shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.inner = nn.Sequential(conv(inputs, outputs, stride=stride), nn.ReLU(), conv(outputs, outputs))
        self.short = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One map."""
        return torch.relu(self.inner(x) + self.short(x))


class Classifier(nn.Module):
    """Layers, an average, a fully connected layer."""

    def __init__(self, channels: int, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.dense = nn.Sequential(*layers), nn.Linear(channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One image."""
        x = nn.functional.adaptive_avg_pool2d(self.layers(x), 1)
        return self.dense(x.view(x.size(0), -1))


def networks() -> dict[str, nn.Module]:
    """What is exported."""
    return {
        "ResNet's layers": Classifier(16, conv(3, 8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(8, 8),
                                      Residual(8, 16, 2)),
        "MobileNet's layers": Classifier(16, conv(3, 8, stride=2), nn.ReLU6(), conv(8, 8, groups=8), nn.ReLU6(),
                                         conv(8, 16, 1), nn.ReLU6(), nn.Dropout()),
        "MobileNetV3's layers": Classifier(16, conv(3, 8, stride=2), nn.Hardswish(), conv(8, 8, groups=8), nn.ReLU(),
                                           conv(8, 16, 1)),
        "LeNet's layers": nn.Sequential(nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3),
                                        nn.ReLU(), nn.Flatten(), nn.Linear(288, 10), nn.Softmax(1)),
    }


class Images(CalibrationDataReader):
    """Random calibration images."""

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self.images: Iterator[dict[str, Any]] = iter(
            [{"image": rng.normal(0, 1, (1, 3, SIZE, SIZE)).astype(np.float32)} for _ in range(16)])

    def get_next(self) -> dict[str, Any] | None:
        """The next image."""
        return next(self.images, None)


def main(folder: Path) -> None:
    """Write all files."""
    torch.manual_seed(7)
    work = folder / "float"
    work.mkdir()
    for name, net in networks().items():
        net(torch.randn(32, 3, SIZE, SIZE))  # statistics of the normalisations
        net.eval()
        for how in ("TorchScript", "dynamo", "TorchScript, symbolic batch"):
            exported, ready = work / "exported.onnx", work / "ready.onnx"
            axes = {"dynamic_axes": {"image": {0: "batch"}}} if "batch" in how else {}
            torch.onnx.export(net, (torch.randn(1, 3, SIZE, SIZE),), str(exported), dynamo=how == "dynamo",
                              input_names=["image"], opset_version=18, external_data=False, **axes)
            quant_pre_process(exported, ready)
            quantize_static(ready, folder / f"{how}, quantize_static, {name}.onnx", Images(),
                            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
