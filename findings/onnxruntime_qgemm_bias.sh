#!/usr/bin/env bash
# ONNX Runtime 1.32.0: graph optimisation changes a quantised Gemm whose bias has a scale of its own.
#
# DequantizeLinear states the scale of the bias, here 0.005. The default optimisation fuses the dequantisers, Gemm and
# QuantizeLinear into com.microsoft.QGemm, which has no input for that scale and takes the bias to be in input scale x weight
# scale, here 0.05 x 0.01: the bias counts a tenth. The fusion does not check that the two are equal. Files of ONNX Runtime's
# own quantiser have equal ones; those of others need not.
#
# Seen with Python 3.11, the input being zero, so that the output is the bias:
#   stated by the file:  [0.5, -1.0, 1.5, 0.25]
#   without optimisation [0.5, -1.0, 1.5, 0.25]
#   by default           [0.05, -0.1, 0.15, 0.05] (0.025 is half a step of the output and rounds to either side)
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

BIAS, SCALE = np.array([100, -200, 300, 50], np.int32), 0.005

constants = {
    "x_scale": np.float32(0.05), "w_scale": np.float32(0.01), "b_scale": np.float32(SCALE), "y_scale": np.float32(0.05),
    "zero": np.int8(0), "w_q": np.random.default_rng(1).integers(-127, 128, (4, 8)).astype(np.int8), "b_q": BIAS,
}
nodes = [
    helper.make_node("QuantizeLinear", ["x", "x_scale", "zero"], ["x_q"]),
    helper.make_node("DequantizeLinear", ["x_q", "x_scale", "zero"], ["x_real"]),
    helper.make_node("DequantizeLinear", ["w_q", "w_scale", "zero"], ["w"]),
    helper.make_node("DequantizeLinear", ["b_q", "b_scale"], ["b"]),
    helper.make_node("Gemm", ["x_real", "w", "b"], ["sum"], transB=1),
    helper.make_node("QuantizeLinear", ["sum", "y_scale", "zero"], ["y_q"]),
    helper.make_node("DequantizeLinear", ["y_q", "y_scale", "zero"], ["y"]),
]
graph = helper.make_graph(
    nodes, "gemm", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
onnx.checker.check_model(model, full_check=True)


def run(level):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.zeros((1, 8), np.float32)})[0][0]


levels = onnxruntime.GraphOptimizationLevel
stated, plain, default = BIAS * SCALE, run(levels.ORT_DISABLE_ALL), run(levels.ORT_ENABLE_ALL)
for what, values in (("stated by the file: ", stated), ("without optimisation", plain), ("by default          ", default)):
    print(what, [round(float(value), 4) for value in values])
step = 0.05
same = np.allclose(plain, stated, atol=step * 0.51) and np.allclose(default, BIAS * 0.05 * 0.01, atol=step * 0.51)
raise SystemExit(not same)
EOF
