"""Say everything that keeps a TFLite network from running, at once and before any work."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from hwgen.model.obstacles import Obstacles
from hwgen.model.tflite_file import FileModel, FileOperator, FileTensor

SUPPORTED = (
    "ADD", "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "CAST", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D",
    "DEQUANTIZE", "EXPAND_DIMS", "FILL", "FULLY_CONNECTED", "GATHER", "LOG_SOFTMAX", "MAX_POOL_2D", "MEAN", "MUL",
    "PACK", "PAD", "PADV2", "QUANTIZE", "REDUCE_MAX", "REDUCE_PROD", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE",
    "SHAPE", "SOFTMAX", "SPACE_TO_BATCH_ND", "SQUEEZE", "STRIDED_SLICE", "SUB", "TRANSPOSE",
)
"""All that a file may hold; what of it may stand where follows from the rest of this module."""

DEVICE = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "EXPAND_DIMS", "FULLY_CONNECTED",
    "MAX_POOL_2D", "MEAN", "MUL", "PAD", "PADV2", "QUANTIZE", "REDUCE_MAX", "RELU", "RELU6", "RELU_N1_TO_1",
    "RESHAPE", "SQUEEZE", "SUB", "TRANSPOSE", "FLOAT RELU", "FLOAT RELU6", "FLOAT RELU_N1_TO_1",
)
HOST = ("SOFTMAX", "LOG_SOFTMAX", "DEQUANTIZE")
_INTEGER_ONLY = ("QUANTIZE", "MUL", "SUB", "PADV2", "REDUCE_MAX", "TRANSPOSE")
_FLOAT = (*(kind for kind in DEVICE if kind not in _INTEGER_ONLY and not kind.startswith("FLOAT")), "SOFTMAX")
"""What `hwgen compress` reads of float networks."""

ALIASES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
"""Operators that only rename: NHWC data keep their order in memory."""

FOLDED = {
    "SPACE_TO_BATCH_ND": ("is not one half of a dilated convolution", "use dilation_rate of the convolution"),
    "BATCH_TO_SPACE_ND": ("is not one half of a dilated convolution", "use dilation_rate of the convolution"),
} | dict.fromkeys(("CAST", "FILL", "GATHER", "PACK", "REDUCE_PROD", "SHAPE", "STRIDED_SLICE"), (
    "is supported on shapes and constants alone", "leave it to the host, or replace it by supported operators"))
"""Operators that passes take out where they mean something that the machine has."""

_REQUIRED_INPUTS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "ADD": 2, "MEAN": 2, "PAD": 2,
                    "SUB": 2, "RESHAPE": 1, "EXPAND_DIMS": 1, "SQUEEZE": 1, "REDUCE_MAX": 2, "MUL": 2, "TRANSPOSE": 2,
                    "PADV2": 3}
"""How many inputs an operator must have, where not all it names are; RESHAPE's shape and a bias may be absent."""

_CONSTANTS = {"MEAN": (1,), "PAD": (1,), "PADV2": (1, 2), "REDUCE_MAX": (1,), "TRANSPOSE": (1,)}
"""Inputs that must be constant, weights aside."""

REMEDIES = {
    "LOGISTIC": "end the network before it and apply it on the host, or use RELU6 inside the network",
    "TANH": "replace it by RELU or RELU6 and retrain",
    "HARD_SWISH": "replace it by RELU6 and retrain",
    "LEAKY_RELU": "replace it by RELU and retrain",
    "PRELU": "replace it by RELU and retrain",
    "TRANSPOSE_CONV": "replace it by nearest upsampling in the input pipeline and a convolution",
    "BATCH_MATMUL": "use a dense layer with constant weights",
    "RESIZE_NEAREST_NEIGHBOR": "resize on the host before or after the network",
    "RESIZE_BILINEAR": "resize on the host before or after the network",
    "CALL_ONCE": "convert a version without state: the network's own inputs and outputs instead of variables",
    "VAR_HANDLE": "convert a version without state: the network's own inputs and outputs instead of variables",
}
DEFAULT_REMEDY = "replace it by supported operators before conversion"


def preflight(path: Path, model: FileModel, *, real: bool = False) -> None:
    """Check types and operators of the whole network.

    Parameters
    ----------
    path : Path
        For messages.
    model : FileModel
    real : bool
        The network must be a float one; otherwise an int8 one.

    Raises
    ------
    HwgenError
        One error that lists everything in the way, each thing once, with its layers and a remedy.
    """
    found = Obstacles(str(path))
    _ends(found, model)
    _order(found, model)
    tail = host_tail(model)
    other = _types(found, model, tail, real)
    supported = _FLOAT if real else (*DEVICE, *HOST)
    for op in model.operators:
        if other and (op.kind in supported or (op.kind in SUPPORTED and not real)):
            continue  # what follows from the wrong type
        for what, remedy in _problems(model, op, op.index in tail, supported, real):
            found.add(op.kind, layer_name(model, op), what, remedy)
    listed = _FLOAT if real else SUPPORTED
    found.check("the network cannot be compressed:" if real else "the network cannot run on the accelerator:",
                f"supported operators: {', '.join(sorted(listed))}")


def layer_name(model: FileModel, op: FileOperator) -> str:
    """How messages and the graph name an operator: its output tensor, or kind and number when that has no name."""
    name = model.tensors[op.outputs[0]].name.split(";")[0].strip() if op.outputs else ""
    return name or f"{op.kind.lower()}_{op.index}"


def host_tail(model: FileModel) -> set[int]:
    """Numbers of the operators at the network's ends that the host runs, reshapes before and between them included."""
    producers = {index: op for op in model.operators for index in op.outputs}
    tail: set[int] = set()
    for output in model.outputs:
        own: set[int] = set()
        pending: list[FileOperator] = []
        tensor = output
        while (op := producers.get(tensor)) is not None and op.inputs and op.index not in own and op not in pending:
            if op.kind in (*ALIASES, "TRANSPOSE"):
                pending.append(op)
            elif op.kind in HOST or (op.kind == "QUANTIZE" and model.tensors[tensor].file_type != "INT8"):
                own |= {op.index, *(other.index for other in pending)}
                pending = []
            else:
                break
            tensor = op.inputs[0]
        # Reshapes between the last device operator and the first host operator belong to the host as well.
        if own or any(other.kind == "TRANSPOSE" for other in pending):
            own |= {other.index for other in pending}
        tail |= own
    readers: dict[int, set[int]] = {}
    for op in model.operators:
        for i in op.inputs:
            readers.setdefault(i, set()).add(op.index)
    while True:  # what something else reads too stays on the device, and with it all that it is made from
        shared = {op.index for op in model.operators if op.index in tail
                  and any(readers.get(i, set()) - tail for i in op.outputs)}
        if not shared:
            return tail
        tail -= shared


def _activation(model: FileModel, op: FileOperator) -> FileTensor | None:
    return model.tensors[op.inputs[0]] if op.inputs and op.inputs[0] >= 0 else None


def _ends(found: Obstacles, model: FileModel) -> None:
    if not model.inputs or not model.outputs:
        found.add("", "", f"the network must have inputs and outputs, not {len(model.inputs)} and {len(model.outputs)}",
                  "convert the network again")
    if len(set(model.inputs)) < len(model.inputs):
        found.add("", "", "an input is listed twice", "convert the network again")
    for index in model.inputs:
        tensor = model.tensors[index]
        # A signature of -1 for the batch alone is what Keras exports write for a network that takes any batch.
        if any(size < 0 for size in tensor.signature[1:]) or 0 in tensor.shape or not tensor.shape:
            found.add("", "", f"the input '{tensor.name}' must have a fixed size, not "
                      f"{list(tensor.signature or tensor.shape)}", "fix height, width and channels before conversion")
        elif len(tensor.shape) > 1 and tensor.shape[0] != 1:
            found.add("", "", f"the input '{tensor.name}' must have batch 1, not {tensor.shape[0]}",
                      "convert the network with batch size 1; hwgen runs batches image by image")


def _order(found: Obstacles, model: FileModel) -> None:
    """Runtimes execute operators in the file's order."""
    written = set(model.inputs) | {tensor.index for tensor in model.tensors if tensor.data is not None}
    produced = {i for op in model.operators for i in op.outputs}
    for op in model.operators:
        early = [i for i in op.inputs if i >= 0 and i in produced and i not in written]
        if early:
            found.add(op.kind, layer_name(model, op), f"tensor {early[0]} is read before any operator writes it",
                      "convert the network again: the file is damaged")
        written.update(op.outputs)


_TYPE_REMEDIES = {
    "FLOAT32": "quantise the whole network with the TFLite converter (representative_dataset, TFLITE_BUILTINS_INT8), "
               "or its float form with `hwgen compress --recipe int8`",
    "FLOAT16": "quantise the whole network with the TFLite converter (representative_dataset, TFLITE_BUILTINS_INT8)",
    "INT16": "quantise activations to int8",
    "UINT8": "convert the network again with int8 quantisation",
}


def _types(found: Obstacles, model: FileModel, tail: set[int], real: bool) -> bool:
    """Maps of other types: once for the whole network where no operator has the right one, which is returned."""
    wanted = "FLOAT32" if real else "INT8"
    wrong: list[tuple[FileOperator, str]] = []
    right = 0
    for op in model.operators:
        if op.index in tail or op.kind not in DEVICE or (op.kind == "QUANTIZE" and not real):
            continue
        maps = [model.tensors[i] for i in (*op.inputs[:1], *op.outputs) if i >= 0 and model.tensors[i].data is None]
        other = next((t for t in maps if t.type != wanted), None)
        right += other is None
        if other is not None:
            wrong.append((op, other.type))
    kinds = sorted({kind for _, kind in wrong})
    if wrong and not right:
        what = f"the network computes in {' and '.join(kinds).lower()}, not in {wanted.lower()}"
        remedy = ("compressors take the trained float network: convert it without quantisation" if real else
                  _TYPE_REMEDIES.get(kinds[0], "quantise the whole network to int8"))
        found.add("", "", what, remedy)
        return True
    for op, kind in wrong:
        found.add(op.kind, layer_name(model, op), f"computes in {kind.lower()}, not in {wanted.lower()}",
                  _TYPE_REMEDIES.get(kind, "quantise the whole network to int8"))
    return False


def _problems(model: FileModel, op: FileOperator, on_host: bool, supported: tuple[str, ...],
              real: bool) -> list[tuple[str, str]]:
    """What keeps one operator from running, each with its remedy."""
    if op.kind in FOLDED and not real:
        return [FOLDED[op.kind]]
    if op.kind not in supported:
        return [("unsupported operator", REMEDIES.get(op.kind, DEFAULT_REMEDY))]
    if not op.outputs or len(op.outputs) != 1:
        return [(f"must have one output, not {len(op.outputs)}", "convert the network again")]
    if op.foreign:
        return [("its options are missing or those of another operator",
                 "convert the network again: the file is damaged")]
    if on_host:
        return _host_problems(model, op)
    found = []
    tensor = _activation(model, op)
    required = _REQUIRED_INPUTS.get(op.kind, max(1, len(op.inputs)))
    if len(op.inputs) < required or any(i < 0 for i in op.inputs[:required]):
        return [("inputs are missing", "convert the network again: the file is damaged")]
    if op.kind in HOST:
        found.append(("runs on the host, so it may only stand at the network's end", "cut the network there"))
    if op.kind == "CONCATENATION" and op.options["FusedActivationFunction"]:
        found.append(("a fused activation on a concatenation", "put the activation before the concatenation"))
    constant = [i for i in op.inputs if i >= 0 and model.tensors[i].data is not None]
    if tensor is None or (tensor.data is not None and op.kind not in ("ADD", "MUL")):
        found.append(("its input is missing or constant", "fold constants before conversion"))
    if constant and (op.kind == "CONCATENATION" or (op.kind == "ADD" and (real or len(constant) == len(op.inputs)))):
        found.append(("an operand is constant", "fold the constant into the preceding layer's bias"))
    if op.kind == "ADD" and not constant and len({model.tensors[i].shape for i in op.inputs}) != 1:
        found.append(("its operands have different shapes", "broadcasting is not supported: add equal maps"))
    if op.kind in ("ADD", "MUL", "SUB") and len(constant) == 1:
        found += _constant_problems(model, op, constant[0])
    if op.kind == "SUB" and len(constant) != 1:
        found.append(("subtracts two maps", "add instead: negate the weights and bias of the layer before"))
    if op.kind == "MUL" and len(constant) != 1:
        found.append(("multiplies two maps", "only a constant can be multiplied, one for all or one a channel"))
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        found += _weight_problems(model, op, real)
    if any(model.tensors[op.inputs[at]].data is None for at in _CONSTANTS.get(op.kind, ())):
        found.append(("its axes or paddings are not constant", "use constant ones"))
    activation = op.options.get("FusedActivationFunction", 0)
    if activation not in (0, 1, 2, 3):
        found.append((f"fused activation {activation} is not NONE, RELU, RELU_N1_TO_1 or RELU6", "use RELU or RELU6"))
    return found


def _constant_problems(model: FileModel, op: FileOperator, index: int) -> list[tuple[str, str]]:
    """Of a constant that a map is added to or multiplied by."""
    constant = model.tensors[index]
    x, y = (model.tensors[i].shape for i in (next(i for i in op.inputs if i != index), op.outputs[0]))
    assert constant.data is not None
    size = constant.data.size
    if x != y or (size != 1 and (size, *constant.shape[-1:]) != (*x[-1:], *x[-1:])):
        return [(f"a constant of shape {list(constant.shape)} and a map of {list(x)}",
                 "a constant must be one number for all or one a channel")]
    return []


def _host_problems(model: FileModel, op: FileOperator) -> list[tuple[str, str]]:
    """What the host does at the end has the forms that runtimes have."""
    source = _activation(model, op)
    target = model.tensors[op.outputs[0]]
    again = "convert the network again"
    if source is None or source.data is not None:
        return [("its input is missing or constant", again)]
    beta = op.options.get("Beta", 1.0)
    if not 0 < beta < math.inf:
        return [(f"its beta must be finite and positive, not {beta:g}", again)]
    renames = op.kind in (*ALIASES, "TRANSPOSE")
    if source.shape != target.shape and not (renames and math.prod(source.shape) == math.prod(target.shape)):
        return [(f"turns {list(source.shape)} into {list(target.shape)}", again)]
    scaled = [t for t in (source, target) if t.type != "FLOAT32"]
    if any(t.type not in ("INT8", "UINT8", "INT16", "INT32") or len(t.scales) != 1 or len(t.zero_points) != 1
           or not (np.isfinite(t.scales).all() and (t.scales > 0).all()) for t in scaled):
        return [("its integers have no scale and zero point, or no legal ones", again)]
    pair = (source.type, target.type)
    wrong = {
        "DEQUANTIZE": source.type == "FLOAT32" or target.type != "FLOAT32",
        "QUANTIZE": target.type == "FLOAT32",
        "SOFTMAX": pair not in (("FLOAT32", "FLOAT32"), ("INT8", "INT8"), ("INT8", "INT16"), ("UINT8", "UINT8")),
        "LOG_SOFTMAX": pair not in (("FLOAT32", "FLOAT32"), ("INT8", "INT8")),
    }.get(op.kind, source.type != target.type)
    if wrong:
        return [(f"goes from {source.type.lower()} to {target.type.lower()}", again)]
    if op.kind in ("SOFTMAX", "LOG_SOFTMAX") and target.type != "FLOAT32":
        steps = {"INT8": 256, "UINT8": 256, "INT16": 65536} if op.kind == "SOFTMAX" else {"INT8": 16}
        lowest = {"INT8": -128, "UINT8": 0, "INT16": -32768} if op.kind == "SOFTMAX" else {"INT8": 127}
        if abs(float(target.scales[0]) * steps[target.type] - 1) > 1e-3 or target.zero_points[0] != lowest[target.type]:
            return [(f"its output must have the scale 1/{steps[target.type]} and zero point {lowest[target.type]}",
                     again)]
    return []


def _weight_problems(model: FileModel, op: FileOperator, real: bool) -> list[tuple[str, str]]:
    found = []
    numbers = "FLOAT32" if real else "INT32"
    weight = model.tensors[op.inputs[1]] if len(op.inputs) > 1 and op.inputs[1] >= 0 else None
    bias = model.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
    if weight is None or weight.data is None:
        found.append(("its weights are not constant", "freeze the network before conversion"))
    elif weight.sparse:
        found.append(("its weights are stored sparse", "convert without the optimisation EXPERIMENTAL_SPARSITY"))
    elif real and weight.type != "FLOAT32" and not (weight.type == "INT8" and len(weight.scales)):
        found.append((f"its weights are {weight.type.lower()}, neither float32 nor int8 with a scale",
                      "convert the network without quantisation"))
    elif not real and weight.type not in ("INT8", "INT4"):
        found.append((f"its weights are {weight.type.lower()}, not int8 or int4", "quantise the weights to int8"))
    if bias is not None and (bias.data is None or bias.type != numbers or bias.sparse):
        found.append((f"its bias is not a constant {numbers.lower()} vector",
                      f"convert the network with a bias in {numbers.lower()}"))
    if op.options.get("WeightsFormat", 0) != 0:
        found.append(("its weights are shuffled", "convert without shuffled weights"))
    return found
