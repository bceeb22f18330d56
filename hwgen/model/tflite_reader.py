"""Read an int8 TFLite network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.model.graph import Graph, Op, Reshape, Tensor
from hwgen.model.ports import FileView, Port, Step
from hwgen.model.tflite_context import Context, Layer, nhwc
from hwgen.model.tflite_file import FileModel, FileOperator, FileTensor, parse_tflite
from hwgen.model.tflite_geometry import paddings
from hwgen.model.tflite_operators import convert
from hwgen.model.tflite_preflight import ALIASES, host_tail, layer_name, preflight


def read_tflite(path: str | Path) -> Graph:
    """Read a network that the TFLite converter quantised to int8.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Graph
        Device operators in file order; a quantize at the start and softmax, dequantize or quantize at the end are
        `Host` operators. Reshapes that change nothing in memory, and paddings that a convolution can do, are gone.

    Raises
    ------
    HwgenError
        When the file is damaged, the network is not int8, or any operator is not supported (all are listed).
    """
    path = Path(path)
    model = parse_tflite(path)
    preflight(path, model)
    context = Context(str(path), model)
    tail = host_tail(model)
    head = _head(model)
    entry = model.inputs[0] if head is None else head.outputs[0]
    source = context.register(entry, str(path))
    before = () if head is None else (_head_step(model, head, source.name),)
    for op in model.operators:
        if op is not head and op.index not in tail:
            read_layer(context, op, convert)
    end, after = read_tail(context, tail)
    if end not in context.names:
        raise HwgenError("no operator writes the network's output", where=str(path))
    last = context.tensors[context.names[end]]
    return Graph(model.name, "tflite", context.tensors, tuple(context.ops),
                 (_port(model, model.inputs[0], source, entry, before),),
                 (_port(model, model.outputs[0], last, end, tuple(after)),))


def _head_step(model: FileModel, head: FileOperator, name: str) -> Step:
    """What QUANTIZE does to the file's float or uint8 input."""
    given, made = model.tensors[head.inputs[0]], model.tensors[head.outputs[0]]
    common: dict[str, Any] = {"name": f"{name}/quantize", "source": head.kind, "output": name}
    if given.type == "FLOAT32":
        return Step(**common, kind="quantize", attrs=_scale(made) | {"type": made.type.lower()})
    old = _scale(given)
    return Step(**common, kind="requantize", attrs={"scale_in": old["scale"], "zero_point_in": old["zero_point"],
                                                    **_scale(made), "type": made.type.lower()})


def _port(model: FileModel, index: int, of: Tensor, at: int, steps: tuple[Step, ...]) -> Port:
    """The port of the file's tensor ``index``, behind which the map ``of`` lies as the file's tensor ``at``."""
    tensor = model.tensors[index]
    scale = _scale(tensor)
    return Port(name=_text(model, index), map=of.name, view=FileView(key=at, shape=model.tensors[at].shape),
                type=tensor.type.lower(), shape=tensor.shape, steps=steps, scale=float(scale.get("scale", 0.0)),
                zero_point=int(scale.get("zero_point", 0)))


def _head(model: FileModel) -> FileOperator | None:
    """The quantize from float or uint8 that reads the network's input, if there is one."""
    readers = [op for op in model.operators if model.inputs[0] in op.inputs]
    if len(readers) == 1 and readers[0].kind == "QUANTIZE" and model.tensors[model.inputs[0]].type != "INT8":
        return readers[0]
    return None


def read_layer(context: Context, op: FileOperator, convert: Callable[[Layer], Op]) -> None:
    """Convert one operator, or drop it when it only renames or its reader absorbs it."""
    model = context.model
    where = f"{context.path}: {op.kind} '{layer_name(model, op)}'"
    if len(op.outputs) != 1:
        raise HwgenError(f"an operator must have one output, not {len(op.outputs)}", where=where)
    index, target = op.inputs[0], op.outputs[0]
    if target in context.names or target in context.folded:
        raise HwgenError(f"tensor {target} is written twice", where=where)
    if op.kind in ALIASES:
        x = context.map_of(index, where)
        if _only_feeds_dense(model, target, op.index) or x.shape == nhwc(model.tensors[target], where):
            context.names[target] = x.name
            return
    output = context.register(target, where)
    layer = Layer(context, op, output, where)
    if op.kind in ALIASES:
        if _size(x.shape) != _size(output.shape):
            raise layer.error(f"shapes {x.shape} and {output.shape} hold different counts")
        layer.require_same_quantization(x)
        context.emit(Reshape(**layer.names(x)))
    elif op.kind == "PAD" and _only_feeds_convolution(model, target):
        x = context.map_of(index, where)
        layer.require_same_quantization(x)
        context.folded[target] = (x.name, paddings(layer, x))
        del context.tensors[output.name], context.names[target]
    else:
        context.emit(convert(layer))


def _readers(model: FileModel, index: int) -> list[FileOperator]:
    return [op for op in model.operators if index in op.inputs]


def _only_feeds_dense(model: FileModel, index: int, after: int) -> bool:
    """True when only fully connected layers read a tensor that operator ``after`` writes, directly or by reshapes."""
    readers = [op for op in _readers(model, index) if op.index > after]
    return bool(readers) and index not in model.outputs and all(
        op.kind == "FULLY_CONNECTED" or (op.kind in ALIASES and _only_feeds_dense(model, op.outputs[0], op.index))
        for op in readers)


def _only_feeds_convolution(model: FileModel, index: int) -> bool:
    readers = _readers(model, index)
    return (len(readers) == 1 and readers[0].kind in ("CONV_2D", "DEPTHWISE_CONV_2D")
            and readers[0].inputs[0] == index and index not in model.outputs)


def read_tail(context: Context, tail: set[int]) -> tuple[int, list[Step]]:
    """The file tensor that the device's last operator writes, and the host operators after it."""
    model = context.model
    host_ops = [op for op in model.operators if op.index in tail]
    if not host_ops:
        return model.outputs[0], []
    first = host_ops[0].inputs[0]
    steps: list[Step] = []
    for op in host_ops:
        source, target = model.tensors[op.inputs[0]], model.tensors[op.outputs[0]]
        common: dict[str, Any] = {"name": layer_name(model, op), "source": op.kind,
                                  "output": _text(model, op.outputs[0])}
        if op.kind in ALIASES:
            steps.append(Step(**common, kind="reshape", attrs={"shape": target.shape}))
        elif op.kind == "SOFTMAX":
            beta = float(op.options["Beta"])
            if source.type == "FLOAT32":
                steps.append(Step(**common, kind="softmax", attrs={"beta": beta, "axis": -1}))
            else:
                attrs = {"scale": _scale(source)["scale"], "beta": beta, "type": target.type.lower()}
                steps.append(Step(**common, kind="tflite_softmax", attrs=attrs))
        elif op.kind == "DEQUANTIZE":
            steps.append(Step(**common, kind="dequantize", attrs=_scale(source)))
        elif source.type == "FLOAT32":
            steps.append(Step(**common, kind="quantize", attrs=_scale(target) | {"type": target.type.lower()}))
        else:
            old = _scale(source)
            attrs = {"scale_in": old["scale"], "zero_point_in": old["zero_point"], **_scale(target),
                     "type": target.type.lower()}
            steps.append(Step(**common, kind="requantize", attrs=attrs))
    return first, steps


def _scale(tensor: FileTensor) -> dict[str, Any]:
    """Scale and zero point of a quantised tensor; nothing for a float one."""
    if not len(tensor.scales):
        return {}
    return {"scale": float(tensor.scales[0]),
            "zero_point": int(tensor.zero_points[0]) if len(tensor.zero_points) else 0}


def _text(model: FileModel, index: int) -> str:
    return model.tensors[index].name.split(";")[0].strip() or f"tensor_{index}"


def _size(shape: tuple[int, ...]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
