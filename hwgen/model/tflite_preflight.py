"""Say everything that keeps a TFLite network from running, at once and before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.model.tflite_file import FileModel, FileOperator, FileTensor

SUPPORTED = ("ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "EXPAND_DIMS",
             "FULLY_CONNECTED", "MAX_POOL_2D", "MEAN", "PAD", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1",
             "RESHAPE", "SOFTMAX", "SQUEEZE")
ALIASES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")
"""Operators that only rename: NHWC data keep their order in memory."""

_REQUIRED_INPUTS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "ADD": 2, "MEAN": 2, "PAD": 2,
                    "RESHAPE": 1, "EXPAND_DIMS": 1, "SQUEEZE": 1}
"""How many inputs an operator must have, where not all it names are; RESHAPE's shape and a bias may be absent."""

_REMEDIES = {
    "LOGISTIC": "end the network before it and apply it on the host, or use RELU6 inside the network",
    "TANH": "replace it by RELU or RELU6 and retrain",
    "HARD_SWISH": "replace it by RELU6 and retrain",
    "LEAKY_RELU": "replace it by RELU and retrain",
    "PRELU": "replace it by RELU and retrain",
    "MUL": "fold it into the preceding convolution (batch normalisation does so at conversion), or drop the scaling",
    "SUB": "fold the constant into the next layer's bias before conversion",
    "TRANSPOSE": "build the network channel-last (NHWC), so that the converter emits no transpose",
    "TRANSPOSE_CONV": "replace it by nearest upsampling in the input pipeline and a convolution",
    "BATCH_MATMUL": "use a dense layer with constant weights",
    "PADV2": "pad with zero (PAD)",
}
_DEFAULT_REMEDY = "replace it by supported operators before conversion"


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
        For a network of other types, several inputs or outputs, a batch or dynamic size; one error that lists every
        unsupported operator by layer with a remedy.
    """
    where = str(path)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise HwgenError(f"the network must have one input and one output, not {len(model.inputs)} and "
                         f"{len(model.outputs)}", where=where)
    tail = host_tail(model)
    (_check_real if real else _check_types)(where, model, tail)
    supported = tuple(kind for kind in SUPPORTED if not real or kind not in ("QUANTIZE", "DEQUANTIZE"))
    problems = [f"{op.kind} '{layer_name(model, op)}': {what} -> {remedy}"
                for op in model.operators for what, remedy in _problems(model, op, op.index in tail, supported, real)]
    if problems:
        lines = "\n  - ".join(problems)
        verb = "cannot be compressed" if real else "cannot run on the accelerator"
        raise HwgenError(f"{len(problems)} operator(s) {verb}:\n  - {lines}", where=where,
                         remedy=f"supported operators: {', '.join(supported)}")
    _check_shapes(where, model)


def layer_name(model: FileModel, op: FileOperator) -> str:
    """How messages and the graph name an operator: its output tensor, or kind and number when that has no name."""
    name = model.tensors[op.outputs[0]].name.split(";")[0].strip()
    return name or f"{op.kind.lower()}_{op.index}"


def host_tail(model: FileModel) -> set[int]:
    """Numbers of the operators at the network's end that the host runs, reshapes before and between them included."""
    producers = {index: op for op in model.operators for index in op.outputs}
    tail: set[int] = set()
    pending: set[int] = set()
    tensor = model.outputs[0]
    while (op := producers.get(tensor)) is not None and op.inputs and op.index not in tail | pending:
        if op.kind in ALIASES:
            pending.add(op.index)
        elif op.kind in ("SOFTMAX", "DEQUANTIZE") or (op.kind == "QUANTIZE" and model.tensors[tensor].type != "INT8"):
            tail |= pending | {op.index}
            pending = set()
        else:
            break
        tensor = op.inputs[0]
    # Reshapes between the last device operator and the first host operator belong to the host as well.
    return tail | pending if tail else tail


def _activation(model: FileModel, op: FileOperator) -> FileTensor | None:
    return model.tensors[op.inputs[0]] if op.inputs and op.inputs[0] >= 0 else None


def _check_types(where: str, model: FileModel, tail: set[int]) -> None:
    """The messages for the common wrong models: float, 16-bit and uint8 activations."""
    for op in model.operators:
        tensor = _activation(model, op)
        if tensor is None or op.index in tail or op.kind in ("QUANTIZE", "DEQUANTIZE") or op.kind not in SUPPORTED:
            continue
        if tensor.type in ("FLOAT32", "FLOAT16") and op.kind != "SOFTMAX":
            raise HwgenError(
                f"the network computes in {tensor.type.lower()} (first in {op.kind} '{layer_name(model, op)}'), "
                "not in int8", where=where,
                remedy="quantise it with the TFLite converter: full integer quantisation "
                       "(representative_dataset, TFLITE_BUILTINS_INT8)")
        if tensor.type == "INT16":
            raise HwgenError(f"16-bit activations are not supported (first in {op.kind} '{layer_name(model, op)}')",
                             where=where, remedy="quantise activations to int8")
        if tensor.type == "UINT8" and op.kind not in ALIASES:
            raise HwgenError("uint8 activations (the scheme before TFLite 2) are not supported "
                             f"(first in {op.kind} '{layer_name(model, op)}')", where=where,
                             remedy="convert the network again with int8 quantisation")


def _check_real(where: str, model: FileModel, tail: set[int]) -> None:
    """The message for a network whose maps are not float32."""
    for op in model.operators:
        tensor = _activation(model, op)
        if tensor is not None and op.kind in SUPPORTED and tensor.type != "FLOAT32":
            raise HwgenError(f"the network computes in {tensor.type.lower()} (first in {op.kind} "
                             f"'{layer_name(model, op)}'), not in float32", where=where,
                             remedy="compressors take the trained float network: convert it without quantisation")


def _check_shapes(where: str, model: FileModel) -> None:
    tensor = model.tensors[model.inputs[0]]
    # A signature of -1 for the batch alone is what Keras exports write for a network that takes any batch.
    if any(size < 0 for size in tensor.signature[1:]) or 0 in tensor.shape or not tensor.shape:
        raise HwgenError(f"the input '{tensor.name}' must have a fixed size, not "
                         f"{list(tensor.signature or tensor.shape)}", where=where,
                         remedy="fix height, width and channels before conversion")
    if len(tensor.shape) > 1 and tensor.shape[0] != 1:
        raise HwgenError(f"the input '{tensor.name}' must have batch 1, not {tensor.shape[0]}", where=where,
                         remedy="convert the network with batch size 1; hwgen runs batches image by image")


def _problems(model: FileModel, op: FileOperator, on_host: bool, supported: tuple[str, ...],
              real: bool) -> list[tuple[str, str]]:
    """What keeps one operator from running, each with its remedy."""
    if op.kind not in supported:
        return [("unsupported operator", _REMEDIES.get(op.kind, _DEFAULT_REMEDY))]
    if on_host:
        return []
    found = []
    tensor = _activation(model, op)
    if op.kind in ("SOFTMAX", "DEQUANTIZE"):
        found.append(("runs on the host, so it may only stand at the network's end", "cut the network there"))
    if op.kind == "CONCATENATION" and op.options["FusedActivationFunction"]:
        found.append(("a fused activation on a concatenation", "put the activation before the concatenation"))
    constant = [i for i in op.inputs if i >= 0 and model.tensors[i].data is not None]
    required = _REQUIRED_INPUTS.get(op.kind, len(op.inputs))
    if len(op.inputs) < required or any(i < 0 for i in op.inputs[:required]):
        return [("inputs are missing", "convert the network again: the file is damaged")]
    if tensor is None or tensor.data is not None:
        found.append(("its input is missing or constant", "fold constants before conversion"))
    if op.kind in ("ADD", "CONCATENATION"):
        if constant:
            found.append(("an operand is constant", "fold the constant into the preceding layer's bias"))
        elif op.kind == "ADD" and len({model.tensors[i].shape for i in op.inputs}) != 1:
            found.append(("its operands have different shapes", "broadcasting is not supported: add equal maps"))
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        found += _weight_problems(model, op, real)
    if op.kind in ("MEAN", "PAD") and (len(op.inputs) < 2 or model.tensors[op.inputs[1]].data is None):
        found.append(("its axes or paddings are not constant", "use constant ones"))
    activation = op.options.get("FusedActivationFunction", 0)
    if activation not in (0, 1, 2, 3):
        found.append((f"fused activation {activation} is not NONE, RELU, RELU_N1_TO_1 or RELU6", "use RELU or RELU6"))
    return found


def _weight_problems(model: FileModel, op: FileOperator, real: bool) -> list[tuple[str, str]]:
    found = []
    numbers = "FLOAT32" if real else "INT32"
    weight = model.tensors[op.inputs[1]] if len(op.inputs) > 1 and op.inputs[1] >= 0 else None
    bias = model.tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
    if weight is None or weight.data is None:
        found.append(("its weights are not constant", "freeze the network before conversion"))
    elif real and weight.type != "FLOAT32" and not (weight.type == "INT8" and len(weight.scales)):
        found.append((f"its weights are {weight.type.lower()}, neither float32 nor int8 with a scale",
                      "convert the network without quantisation"))
    elif not real and weight.type != "INT8":
        found.append((f"its weights are {weight.type.lower()}, not int8", "quantise the weights to int8"))
    elif not real and np.any(weight.zero_points) and op.kind != "FULLY_CONNECTED":
        found.append(("its weights have a zero point", "quantise the weights symmetrically"))
    if bias is not None and (bias.data is None or bias.type != numbers):
        found.append((f"its bias is not a constant {numbers.lower()} vector",
                      f"convert the network with a bias in {numbers.lower()}"))
    if op.options.get("WeightsFormat", 0) != 0:
        found.append(("its weights are shuffled", "convert without shuffled weights"))
    return found
