"""Files as NNCF's post-training quantisation writes them: `make_nncf.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nncf
import onnx
import torch
from torch import nn

SIZE = 16


class Residual(nn.Module):
    """Convolutions with a shortcut, depthwise, poolings, fully connected."""

    def __init__(self, *last: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
                                   nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        self.last = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
                                  nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10), *last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One image."""
        x = self.stem(x)
        return self.last(torch.relu(self.inner(x) + x))


def saved(net: nn.Module, path: Path, dynamo: bool) -> onnx.ModelProto:
    """The float network as ONNX."""
    torch.onnx.export(net, (torch.randn(1, 3, SIZE, SIZE),), str(path), dynamo=dynamo, opset_version=18,
                      input_names=["image"], output_names=["classes"], external_data=False)
    return onnx.load(path)


def main(folder: Path) -> None:
    """Write all files."""
    torch.manual_seed(7)
    work = folder / "float"
    work.mkdir()
    images = [torch.randn(1, 3, SIZE, SIZE) for _ in range(16)]
    arrays = nncf.Dataset(images, lambda image: {"image": image.numpy()})
    net = Residual().eval()
    settings: dict[str, dict[str, Any]] = {
        "defaults": {},
        "preset MIXED": {"preset": nncf.QuantizationPreset.MIXED},
        "target_device CPU": {"target_device": nncf.TargetDevice.CPU},
        "target_device NPU": {"target_device": nncf.TargetDevice.NPU},
    }
    for name, options in settings.items():
        found = nncf.quantize(saved(net, work / "net.onnx", False), arrays, **options)
        onnx.save(found, folder / f"ONNX, {name}.onnx")
    onnx.save(nncf.quantize(saved(net, work / "dynamo.onnx", True), arrays), folder / "ONNX by dynamo, defaults.onnx")
    last = saved(Residual(nn.Softmax(1)).eval(), work / "softmax.onnx", False)
    onnx.save(nncf.quantize(last, arrays), folder / "ONNX, Softmax at the end.onnx")
    graph = torch.export.export(Residual().eval(), (images[0],)).module()
    saved(nncf.quantize(graph, nncf.Dataset(images)), folder / "PyTorch FX, exported by dynamo.onnx", True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
