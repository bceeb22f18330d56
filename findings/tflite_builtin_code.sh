#!/usr/bin/env bash
# ai-edge-quantizer 0.10.0 with tflite 2.18.0: operators that the quantiser adds are read as ADD.
#
# Since 2020 the schema of TFLite has two fields for an operator's code: deprecated_builtin_code (a byte, for readers of
# before) and builtin_code; a reader takes the larger (GetBuiltinCode in TensorFlow's schema_utils.cc), a writer fills both.
# ai-edge-quantizer leaves the first at 0 in the codes of the DEQUANTIZE and QUANTIZE that it adds. The method
# OperatorCode.BuiltinCode() of the package tflite returns the first whenever the second is below 127: 0, ADD.
# LiteRT itself reads the file rightly.
#
# Seen with Python 3.11:
#   tflite 2.18.0 reads:            ['ADD', 'FULLY_CONNECTED']
#   ai-edge-litert 2.3.0 executes:  ['DEQUANTIZE', 'FULLY_CONNECTED']
#
# Exits with 0 while that is so, otherwise with 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet ai-edge-quantizer==0.10.0 ai-edge-litert==2.3.0 tflite==2.18.0
cd "$work"
"$work/env/bin/python" - <<'EOF'
import flatbuffers
import numpy as np
import tflite
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import quantizer, recipe

# A fully connected layer in float32: one operator.
def tensor(name, shape, buffer):
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name, shape, buffer, schema.TensorType.FLOAT32
    return made

def buffer(values=None):
    made = schema.BufferT()
    made.data = None if values is None else np.frombuffer(values.tobytes(), np.uint8)
    return made

weights = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
code = schema.OperatorCodeT()
code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.FULLY_CONNECTED
layer = schema.OperatorT()
layer.opcodeIndex, layer.inputs, layer.outputs = 0, [0, 1, -1], [2]
layer.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
layer.builtinOptions = schema.FullyConnectedOptionsT()
graph = schema.SubGraphT()
graph.tensors = [tensor("x", [1, 64], 1), tensor("w", [64, 64], 2), tensor("y", [1, 64], 1)]
graph.inputs, graph.outputs, graph.operators = [0], [2], [layer]
model = schema.ModelT()
model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
model.buffers = [buffer(), buffer(), buffer(weights)]
builder = flatbuffers.Builder()
builder.Finish(model.Pack(builder), b"TFL3")
with open("float.tflite", "wb") as file:
    file.write(builder.Output())

quantizer.Quantizer("float.tflite", recipe.weight_only_wi8_afp32()).quantize().export_model("quantised.tflite")

with open("quantised.tflite", "rb") as file:
    read = tflite.Model.GetRootAs(file.read(), 0)
names = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
operators = (read.Subgraphs(0).Operators(i) for i in range(read.Subgraphs(0).OperatorsLength()))
found = [names[read.OperatorCodes(op.OpcodeIndex()).BuiltinCode()] for op in operators]
executed = [op["op_name"] for op in Interpreter("quantised.tflite")._get_ops_details() if op["op_name"] != "DELEGATE"]
print("tflite 2.18.0 reads:           ", found)
print("ai-edge-litert 2.3.0 executes: ", executed)
raise SystemExit((found, executed) != (["ADD", "FULLY_CONNECTED"], ["DEQUANTIZE", "FULLY_CONNECTED"]))
EOF
