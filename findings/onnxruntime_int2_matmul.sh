#!/usr/bin/env bash
# ONNX Runtime 1.32.0: with default graph optimisation a valid network with int2 weights cannot be loaded.
#
# DequantizeLinear of int2 constants came with operator set 25. Without graph optimisation ONNX Runtime runs MatMul behind it;
# with the default level it makes QLinearMatMul of the two, for which int2 is no type, and then refuses the network that it
# made itself. A user sees a message about an operator that is not in the file.
#
# Seen with Python 3.11:
#   without optimisation [0.8, -0.8, 0.0, -1.6]
#   by default           [ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. Type Error: Type 'tensor(int2)' of
#                        input parameter (w_q) of operator (QLinearMatMul) in node () is invalid.
#
# Exits with 0 while that is so, otherwise with 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2
"$work/env/bin/python" - <<'EOF'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

weights = helper.make_tensor("w_q", TensorProto.INT2, [8, 4], [1, -1, 0, -2] * 8)
constants = {"x_scale": np.float32(0.05), "w_scale": np.float32(0.1), "y_scale": np.float32(0.1), "zero": np.int8(0)}
nodes = [
    helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["x_q"]),
    helper.make_node("DequantizeLinear", ["x_q", "x_scale", "zero"], ["x_real"]),
    helper.make_node("DequantizeLinear", ["w_q", "w_scale"], ["w"]),
    helper.make_node("MatMul", ["x_real", "w"], ["sum"]),
    helper.make_node("QuantizeLinear", ["sum", "y_scale", "zero"], ["y_q"]),
    helper.make_node("DequantizeLinear", ["y_q", "y_scale", "zero"], ["y"]),
]
graph = helper.make_graph(
    nodes, "matmul", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    [weights, *(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=11)
onnx.checker.check_model(model, full_check=True)


def run(level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level, options.log_severity_level = level, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones((1, 8), np.float32)})[0][0]


levels = onnxruntime.GraphOptimizationLevel
plain = run(levels.ORT_DISABLE_ALL)
print("without optimisation", [round(float(value), 4) for value in plain])
try:
    print("by default          ", run(levels.ORT_ENABLE_ALL))
    refused = ""
except Exception as error:
    refused = str(error)
    print("by default          ", refused)
seen = np.allclose(plain, [0.8, -0.8, 0.0, -1.6]) and "int2" in refused and "QLinearMatMul" in refused
raise SystemExit(not seen)
EOF
