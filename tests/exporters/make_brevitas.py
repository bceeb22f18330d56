"""Files as Brevitas writes them, QCDQ and QONNX: `make_brevitas.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from brevitas import nn as qnn
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import (
    Int8ActPerTensorFloat,
    Int8Bias,
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int32Bias,
    ShiftedUint8ActPerTensorFloat,
    Uint8ActPerTensorFloat,
)
from torch import nn

SIZE = 16


class Residual(nn.Module):
    """Convolutions with a shortcut, depthwise, poolings, fully connected; every map quantised."""

    def __init__(self, weight: Any, act: Any, bits: int) -> None:
        super().__init__()
        conv: dict[str, Any] = {"weight_quant": weight, "weight_bit_width": bits}
        relu = {"act_quant": Uint8ActPerTensorFloat, "bit_width": bits}
        self.given = qnn.QuantIdentity(act_quant=act)
        self.stem = qnn.QuantConv2d(3, 8, 3, padding=1, **conv)
        self.relu = qnn.QuantReLU(**relu)
        self.depthwise = qnn.QuantConv2d(8, 8, 3, padding=1, groups=8, **conv)
        self.relu2 = qnn.QuantReLU(**relu)
        self.pointwise = qnn.QuantConv2d(8, 8, 1, **conv)
        self.shortcut = qnn.QuantIdentity(act_quant=act)
        self.sum = qnn.QuantReLU(**relu)
        self.last = qnn.QuantConv2d(8, 16, 3, padding=1, **conv)
        self.relu3 = qnn.QuantReLU(**relu)
        self.pool = nn.AvgPool2d(SIZE // 2)
        self.pooled = qnn.QuantIdentity(act_quant=act)
        self.dense = qnn.QuantLinear(16, 10, True, **conv)
        self.result = qnn.QuantIdentity(act_quant=act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One image."""
        x = self.relu(self.stem(self.given(x)))
        y = self.shortcut(self.pointwise(self.relu2(self.depthwise(x))))
        x = nn.functional.max_pool2d(self.sum(x + y), 2)
        x = self.pooled(self.pool(self.relu3(self.last(x))))
        return self.result(self.dense(x.flatten(1)))


def trained(weight: Any = Int8WeightPerTensorFloat, act: Any = Int8ActPerTensorFloat,
            bits: int = 8) -> nn.Module:
    """A network whose scales have seen data."""
    torch.manual_seed(7)
    net = Residual(weight, act, bits)
    net.train()
    for _ in range(8):
        net(torch.randn(4, 3, SIZE, SIZE))
    return net.eval()


def plain(*last: nn.Module, bias: Any = None) -> nn.Module:
    """A classifier; as in most examples its result stays real, unless ``last`` quantises it."""
    torch.manual_seed(7)
    return nn.Sequential(
        qnn.QuantIdentity(return_quant_tensor=True), qnn.QuantConv2d(3, 8, 3, bias_quant=bias),
        qnn.QuantReLU(return_quant_tensor=True), nn.Flatten(),
        qnn.QuantLinear(8 * 14 * 14, 4, True, bias_quant=bias), *last).eval()


def main(folder: Path) -> None:
    """Write all files."""
    args = torch.randn(1, 3, SIZE, SIZE)

    def qcdq(net: nn.Module, name: str, dynamo: bool = False, opset: int = 18) -> None:
        export_onnx_qcdq(net, args=args, export_path=str(folder / f"{name}.onnx"), dynamo=dynamo, opset_version=opset)

    channels = {"weight": Int8WeightPerChannelFloat}
    for dynamo, how in ((False, "QCDQ"), (True, "QCDQ, dynamo")):
        qcdq(trained(), how, dynamo)
        qcdq(trained(**channels), f"{how}, per channel", dynamo)
        qcdq(trained(**channels, bits=4), f"{how}, 4 bits", dynamo)
    qcdq(trained(act=ShiftedUint8ActPerTensorFloat), "QCDQ, uint8 with zero points")
    qcdq(plain(qnn.QuantIdentity(), bias=Int8Bias), "QCDQ, biases of 8 bits")
    qcdq(plain(qnn.QuantIdentity(), bias=Int32Bias), "QCDQ, biases of 32 bits")
    qcdq(trained(), "QCDQ, operator set 13", opset=13)
    qcdq(plain(), "QCDQ, last layer's result not quantised")
    for dynamo, how in ((False, "QONNX"), (True, "QONNX, dynamo")):
        for bits in (8, 4):
            net = trained(**channels, bits=bits)
            export_qonnx(net, args=args, export_path=str(folder / f"{how}, {bits} bits.onnx"), dynamo=dynamo,
                         opset_version=18)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
