"""Files as torchao's PT2E quantisation and PyTorch's ONNX exporter write them: `make_torchao.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

SIZE = 16


def plain() -> nn.Module:
    """Convolutions and a fully connected layer, one after the other."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
                         nn.Flatten(), nn.Linear(16 * 6 * 6, 10))


def mobile() -> nn.Module:
    """Normalisation, depthwise, ReLU6, an average."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(),
                         nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


class Residual(nn.Module):
    """A shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.dense = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One image."""
        x = torch.relu(self.stem(x))
        x = torch.relu(self.inner(x) + x)
        return self.dense(x.mean((2, 3)))


def quantised(net: nn.Module, quantizer: Any) -> nn.Module:
    """The network after calibration."""
    torch.manual_seed(7)
    example = (torch.randn(1, 3, SIZE, SIZE),)
    prepared = prepare_pt2e(torch.export.export(net.eval(), example).module(), quantizer)
    for _ in range(8):
        prepared(torch.randn(1, 3, SIZE, SIZE))
    return convert_pt2e(prepared)


def main(folder: Path) -> None:
    """Write all files."""
    torch.manual_seed(7)
    example = (torch.randn(1, 3, SIZE, SIZE),)
    networks = {"plain": plain(), "MobileNet's layers": mobile(), "residual": Residual()}
    for name, net in networks.items():
        default = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
        torch.onnx.export(quantised(net, default), example, str(folder / f"X86InductorQuantizer, {name}.onnx"),
                          dynamo=True, external_data=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
