"""Small random float networks, quantised as users do it: onnxruntime's quantize_static."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # type: ignore[import-untyped]


class Net:
    """Builds a float network node by node; the first map is ``x``."""

    def __init__(self, rng: np.random.Generator, shape: Sequence[int]) -> None:
        self.rng, self.shape = rng, tuple(shape)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def random(self, *shape: int, scale: float = 0.3) -> str:
        return self.constant(self.rng.normal(0, scale, shape))

    def node(self, kind: str, *inputs: str, **attrs: Any) -> str:
        output = f"v{len(self.nodes)}"
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **attrs))
        return output

    def conv(self, source: str, out: int, per_group: int, kernel: tuple[int, int], **attrs: Any) -> str:
        weight, bias = self.random(out, per_group, *kernel), self.random(out, scale=0.2)
        return self.node("Conv", source, weight, bias, kernel_shape=list(kernel), **attrs)

    def model(self, output: str, *, batch: int | str | None = None) -> onnx.ModelProto:
        self.nodes.append(helper.make_node("Identity", [output], ["y"], name="end"))
        shape = list(self.shape) if batch is None else [batch, *self.shape[1:]]
        graph = helper.make_graph(self.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class _Data(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[NDArray[np.float32]]) -> None:
        self.batches = iter([{"x": b} for b in batches])

    def get_next(self) -> Any:
        return next(self.batches, None)


def quantise(net: Net, output: str, folder: Path, *, unsigned: bool = False, per_channel: bool = True,
             form: QuantFormat = QuantFormat.QDQ, weights: QuantType = QuantType.QInt8,
             **options: Any) -> tuple[Path, NDArray[np.float32]]:
    """Quantise and save; returns the file and one input, NCHW as the network's."""
    images = [net.rng.normal(0, 1, net.shape).astype(np.float32) for _ in range(4)]
    onnx.save(net.model(output), folder / "float.onnx")
    target = folder / "net.onnx"
    quantize_static(folder / "float.onnx", target, _Data(images), quant_format=form, per_channel=per_channel,
                    activation_type=QuantType.QUInt8 if unsigned else QuantType.QInt8, weight_type=weights,
                    **options)
    return target, images[0]


def run_onnx(path: Path, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """ONNX Runtime without graph optimisation: real arithmetic between the quantised maps."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def ranges(net: Net, images: int = 4) -> dict[str, tuple[float, float]]:
    """The least and greatest number of each value of a float network on random images."""
    graph = helper.make_graph(net.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, net.shape)],
                              [onnx.ValueInfoProto(name=name) for node in net.nodes for name in node.output],
                              net.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: dict[str, tuple[float, float]] = {}
    for _ in range(images):
        x = net.rng.normal(0, 1, net.shape).astype(np.float32)
        names = [value.name for value in session.get_outputs()]
        for name, value in zip(["x", *names], [x, *session.run(None, {"x": x})], strict=True):
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = min(low, float(value.min())), max(high, float(value.max()))
    return found
