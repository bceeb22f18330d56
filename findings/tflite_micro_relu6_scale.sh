#!/usr/bin/env bash
# TFLite Micro (tflite-micro 0.dev20261023182759): RELU6 of int8 ignores the scale and zero point of its output.
#
# The kernel of a RELU6 that stands alone clamps the integers between the input's 0 and 6 and copies them, as if both tensors
# had one scale; nothing refuses the network when they differ. LiteRT's reference kernels rescale.
#
# Seen with Python 3.11; real values 0.0, 1.0, 2.0, 3.0, 6.0, 8.0 in, scale 0.1 with zero point 0; out, scale 0.05 with zero
# point -10:
#   exact                 [0.0, 1.0, 2.0, 3.0, 6.0, 6.0]
#   ai-edge-litert 2.3.0  [0.0, 1.0, 2.0, 3.0, 6.0, 6.0]
#   tflite-micro          [0.5, 1.0, 1.5, 2.0, 3.5, 3.5]
#
# Exits with 0 while that is so, otherwise with 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet ai-edge-litert==2.3.0 tflite-micro==0.dev20261023182759 flatbuffers==25.12.19 pyyaml==6.0.3
"$work/env/bin/python" - <<'EOF'
import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

REAL = np.array([0.0, 1.0, 2.0, 3.0, 6.0, 8.0])
IN, OUT = (0.1, 0), (0.05, -10)


def tensor(name, scale, zero_point, buffer):
    made = schema.TensorT()
    made.name, made.shape, made.buffer, made.type = name, [1, len(REAL)], buffer, schema.TensorType.INT8
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale, made.quantization.zeroPoint = [scale], [zero_point]
    return made


code = schema.OperatorCodeT()
code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.RELU6
code.version = 2  # the first with int8
relu6 = schema.OperatorT()
relu6.opcodeIndex, relu6.inputs, relu6.outputs = 0, [0], [1]
graph = schema.SubGraphT()
graph.tensors = [tensor("x", *IN, 1), tensor("y", *OUT, 2)]
graph.inputs, graph.outputs, graph.operators = [0], [1], [relu6]
model = schema.ModelT()
model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
model.buffers = [schema.BufferT() for _ in range(3)]
builder = flatbuffers.Builder()
builder.Finish(model.Pack(builder), b"TFL3")
data = bytes(builder.Output())

x = np.round(REAL / IN[0] + IN[1]).astype(np.int8)[None]
litert = Interpreter(model_content=data, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
litert.allocate_tensors()
litert.set_tensor(litert.get_input_details()[0]["index"], x)
litert.invoke()
micro = runtime.Interpreter.from_bytes(data)
micro.set_input(x, 0)
micro.invoke()


def real(q):
    return [round(float((int(value) - OUT[1]) * OUT[0]), 4) for value in q[0]]


exact = [float(value) for value in np.clip(REAL, 0, 6)]
found = real(litert.get_tensor(litert.get_output_details()[0]["index"])), real(micro.get_output(0))
print("exact                ", exact)
print("ai-edge-litert 2.3.0 ", found[0])
print("tflite-micro         ", found[1])
raise SystemExit(found != (exact, [0.5, 1.0, 1.5, 2.0, 3.5, 3.5]))
EOF
