"""Networks as PyTorch exports them: fake quantisation becomes QDQ, both by the old and by the new exporter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import quantize_input
from hwgen.model.onnx_reader import read_onnx
from tests.model.onnx_networks import run_onnx
from tests.references import compared

torch = pytest.importorskip("torch", reason="PyTorch is not installed (it is only needed to train)")


def fake(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    scale = (high - low) / 255
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-128 - low / scale), -128, 127)


def fake_weight(weight: torch.Tensor, channels: int) -> torch.Tensor:
    scale = weight.detach().abs().flatten(1).amax(1) / 127
    zero = torch.zeros(channels, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -128, 127)


class Network(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = torch.nn.Conv2d(8, 8, 1)
        self.dense = torch.nn.Linear(8 * 4 * 4, 10)

    def conv(self, layer: torch.nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        weight = fake_weight(layer.weight, layer.out_channels)
        return torch.nn.functional.conv2d(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation,
                                          layer.groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = fake(torch.relu(self.conv(self.stem, fake(x, -3, 3))), 0, 2)
        b = fake(torch.nn.functional.relu6(self.conv(self.depthwise, a)), 0, 2)
        a = fake(torch.relu(a + fake(self.conv(self.pointwise, b), -1, 1)), 0, 2.5)
        a = fake(torch.nn.functional.avg_pool2d(a, 2), 0, 2)
        weight = fake_weight(self.dense.weight, 10)
        return fake(torch.nn.functional.linear(a.flatten(1), weight, self.dense.bias), -2, 2)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the exporter's own
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_export(dynamo: bool, tmp_path: Path) -> None:
    if dynamo:
        pytest.importorskip("onnxscript", reason="onnxscript is not installed (PyTorch's exporter needs it)")
    torch.manual_seed(3)
    path = tmp_path / "net.onnx"
    torch.onnx.export(Network().eval(), (torch.randn(1, 3, 8, 8),), str(path), dynamo=dynamo,
                      opset_version=18 if dynamo else 17)
    graph = read_onnx(path)
    assert [op.source for op in graph.ops] == ["Conv", "Conv", "Conv", "Add", "AveragePool", "Gemm"]
    x = np.random.default_rng(3).normal(size=(1, 3, 8, 8)).astype(np.float32)
    maps = quantize_input(graph, x)
    result = run(graph, maps)
    assert compared(path, graph, maps).equal
    difference = file_outputs(graph, result.tensors)[0].reshape(1, 10) - run_onnx(path, x)
    assert np.abs(difference).max() <= 2.01 * graph.tensors[graph.output].scale
