"""Files as ONNX Runtime's quantiser writes them: `make_onnxruntime.py FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

SIZE = 16
QDQ: dict[str, Any] = {"quant_format": QuantFormat.QDQ}
QOPERATOR: dict[str, Any] = {"quant_format": QuantFormat.QOperator}
INT8: dict[str, Any] = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8}
UINT8: dict[str, Any] = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QUInt8}

FLAVOURS: dict[str, dict[str, Any]] = {
    "QDQ, defaults": QDQ,
    "QDQ, int8": QDQ | INT8,
    "QDQ, int8, per channel": QDQ | INT8 | {"per_channel": True},
    "QDQ, int8, symmetric": QDQ | INT8 | {"extra_options": {"ActivationSymmetric": True, "WeightSymmetric": True}},
    "QDQ, uint8 activations, int8 weights": QDQ | {"activation_type": QuantType.QUInt8},
    "QDQ, uint8 activations and weights": QDQ | UINT8,
    "QDQ, uint8, per channel": QDQ | UINT8 | {"per_channel": True},
    "QDQ, reduce_range": QDQ | UINT8 | {"reduce_range": True},
    "QDQ, int8, a pair for each reader": QDQ | INT8 | {"extra_options": {"DedicatedQDQPair": True}},
    "QDQ, int8, weights behind QuantizeLinear": QDQ | INT8 | {"extra_options": {"AddQDQPairToWeight": True}},
    "QDQ, int8, int4 weights": QDQ | {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt4},
    "QDQ, int16 activations": QDQ | {"activation_type": QuantType.QInt16, "weight_type": QuantType.QInt8},
    "QOperator, defaults": QOPERATOR,
    "QOperator, int8, per channel": QOPERATOR | INT8 | {"per_channel": True},
    "QOperator, uint8": QOPERATOR | UINT8,
}


class Net:
    """An ONNX graph in the making."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator; returns the name of its output."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"/{op}_{len(self.nodes)}", **attributes))
        return name

    def constant(self, values: Any, kind: type = np.float32) -> str:
        """Append a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weights(self, *shape: int) -> str:
        """Random weights of a sensible size."""
        return self.constant(self.rng.normal(0, 1.4 / np.sqrt(np.prod(shape[1:])), shape))

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, groups: int = 1, stride: int = 1) -> str:
        """A convolution that keeps the size but for its stride."""
        weight, bias = self.weights(outputs, inputs // groups, kernel, kernel), self.weights(outputs)
        return self.add("Conv", x, weight, bias, kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, group=groups,
                        strides=[stride] * 2)

    def norm(self, x: str, channels: int) -> str:
        """BatchNormalization."""
        factors = [self.constant(self.rng.uniform(0.5, 1.5, channels)) for _ in range(4)]
        return self.add("BatchNormalization", x, *factors)

    def dense(self, x: str, inputs: int, outputs: int) -> str:
        """A fully connected layer."""
        return self.add("Gemm", x, self.weights(outputs, inputs), self.weights(outputs), transB=1)

    def save(self, path: Path, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> None:
        """Write the model."""
        ends = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in e.items()]
                for e in (inputs, outputs)]
        model = helper.make_model(helper.make_graph(self.nodes, "net", *ends, self.constants), ir_version=10,
                                  opset_imports=[helper.make_opsetid("", 21)])
        onnx.checker.check_model(model)
        onnx.save(model, path)


def residual(path: Path, *, norm: bool = False, batch: int | str = 1) -> None:
    """Convolutions with a shortcut, depthwise, poolings, fully connected."""
    net = Net()
    stem = net.conv("image", 3, 8, stride=1)
    x = net.add("Relu", net.norm(stem, 8) if norm else stem)
    inner = net.add("Relu", net.conv(x, 8, 8, groups=8))
    x = net.add("Relu", net.add("Add", net.conv(inner, 8, 8, 1), x))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Clip", net.conv(x, 8, 16), net.constant(0), net.constant(6))
    x = net.add("GlobalAveragePool", x)
    if batch == 1:
        x = net.add("Flatten", x)
    else:  # as PyTorch exports view(x.size(0), -1)
        size = net.add("Gather", net.add("Shape", x), net.constant(0, np.int64), axis=0)
        size = net.add("Unsqueeze", size, net.constant([0], np.int64))
        x = net.add("Reshape", x, net.add("Concat", size, net.constant([-1], np.int64), axis=0))
    net.nodes.append(helper.make_node("Softmax", [net.dense(x, 16, 10)], ["classes"], axis=1))
    net.save(path, {"image": [batch, 3, SIZE, SIZE]}, {"classes": [batch, 10]})


def several(path: Path) -> None:
    """Two inputs and two outputs."""
    net = Net()
    a, b = net.add("Relu", net.conv("left", 3, 8)), net.add("Relu", net.conv("right", 1, 8))
    both = net.add("Relu", net.conv(net.add("Concat", a, b, axis=1), 16, 8))
    net.nodes.append(helper.make_node("Identity", [net.conv(both, 8, 2, 1)], ["mask"]))
    pooled = net.add("Flatten", net.add("GlobalAveragePool", both))
    net.nodes.append(helper.make_node("Identity", [net.dense(pooled, 8, 4)], ["classes"]))
    net.save(path, {"left": [1, 3, SIZE, SIZE], "right": [1, 1, SIZE, SIZE]},
             {"mask": [1, 2, SIZE, SIZE], "classes": [1, 4]})


class Images(CalibrationDataReader):
    """Random calibration images."""

    def __init__(self, path: Path) -> None:
        rng = np.random.default_rng(1)
        ends = onnx.load(path).graph.input
        shapes = {e.name: [d.dim_value or 1 for d in e.type.tensor_type.shape.dim] for e in ends}
        self.images: Iterator[dict[str, Any]] = iter(
            [{name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()} for _ in range(16)])

    def get_next(self) -> dict[str, Any] | None:
        """The next image."""
        return next(self.images, None)


def main(folder: Path) -> None:
    """Write all files."""
    work = folder / "float"
    work.mkdir()
    plain, norm, dynamic, two = (work / f"{name}.onnx" for name in ("plain", "norm", "dynamic", "two"))
    residual(plain)
    residual(norm, norm=True)
    residual(dynamic, norm=True, batch="batch")
    several(two)
    for name, options in FLAVOURS.items():
        quantize_static(plain, folder / f"{name}.onnx", Images(plain), **options)
    quantize_static(norm, folder / "QDQ, BatchNormalization, no quant_pre_process.onnx", Images(norm), **QDQ, **INT8)
    for path, name in ((norm, "QDQ, quant_pre_process"), (dynamic, "QDQ, quant_pre_process, symbolic batch")):
        ready = work / f"{path.stem}_ready.onnx"
        quant_pre_process(path, ready)
        quantize_static(ready, folder / f"{name}.onnx", Images(ready), **QDQ, **INT8)
    quantize_static(two, folder / "QDQ, several inputs and outputs.onnx", Images(two), **QDQ, **INT8)
    quantize_static(two, folder / "QOperator, several inputs and outputs.onnx", Images(two), **QOPERATOR, **INT8)
    quantize_dynamic(plain, folder / "quantize_dynamic.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
