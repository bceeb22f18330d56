"""Read an int8 TFLite network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.model.graph import Graph, Op, Reshape, Tensor
from hwgen.model.ports import Port, Step
from hwgen.model.tflite_context import Context, Layer, nhwc, view_of
from hwgen.model.tflite_file import FileModel, FileOperator, FileTensor, parse_tflite
from hwgen.model.tflite_geometry import paddings
from hwgen.model.tflite_kernels import litert_alone
from hwgen.model.tflite_operators import convert
from hwgen.model.tflite_passes import rewritten
from hwgen.model.tflite_preflight import ALIASES, host_tail, layer_name, preflight
from hwgen.model.tflite_transpose import REDUCTIONS, read_transpose, reduced, transposition


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
    stored = parse_tflite(path)
    model = rewritten(stored)
    preflight(path, model)
    context = Context(str(path), model, litert=litert_alone(stored))
    tail = host_tail(model)
    inputs, heads = [], set()
    for index in model.inputs:
        port, head = read_head(context, index)
        inputs.append(port)
        heads.add(head)
    read_layers(context, [op for op in model.operators if op.index not in tail and op.index not in heads], convert)
    outputs = tuple(_output(context, index, tail) for index in model.outputs)
    return Graph(model.name, "tflite", context.tensors, tuple(context.ops), tuple(inputs), outputs)


def read_layers(context: Context, operators: list[FileOperator], convert: Callable[[Layer], Op]) -> None:
    """Convert operators; one error lists all that cannot be, without those that only follow from another."""
    found: list[HwgenError] = []
    lost: set[int] = set()
    for op in operators:
        if lost.intersection(op.inputs):
            lost.update(op.outputs)
            continue
        try:
            read_layer(context, op, convert)
        except HwgenError as error:
            found.append(error)
            lost.update(op.outputs)
    if len(found) == 1:
        raise found[0]
    if found:
        places = [(e.where or "").removeprefix(f"{context.path}: ") for e in found]
        lines = [f"{place}: {e.what}" + (f" -> {e.remedy}" if e.remedy else "")
                 for place, e in zip(places, found, strict=True)]
        raise HwgenError("\n  - ".join([f"{len(found)} layers cannot be read:", *lines]), where=context.path)


def read_head(context: Context, index: int) -> tuple[Port, int]:
    """An input's port, and the number of the QUANTIZE that reads it, which the host does (-1: none)."""
    model, where = context.model, context.path
    given = model.tensors[index]
    readers = [op for op in model.operators if index in op.inputs]
    if given.type == "INT8":
        of = context.register(index, where)
        return _port(model, index, of, index, ()), -1
    kinds = sorted({op.kind for op in readers})
    if len(readers) != 1 or kinds != ["QUANTIZE"] or given.type not in ("FLOAT32", "UINT8", "INT16"):
        raise HwgenError(f"the {given.type.lower()} input '{_text(model, index)}' must be read by one QUANTIZE, not by "
                         f"{', '.join(kinds) or 'nothing'}", where=where,
                         remedy="convert with inference_input_type int8, uint8 or float32")
    head = readers[0]
    made = head.outputs[0]
    if model.tensors[made].shape != given.shape:
        raise HwgenError(f"QUANTIZE turns the input of {list(given.shape)} into {list(model.tensors[made].shape)}",
                         where=where, remedy="convert the network again: the file is damaged")
    of = context.register(made, where)
    common: dict[str, Any] = {"name": f"{of.name}/quantize", "source": head.kind, "output": of.name}
    target = _file_scale(model.tensors[made]) | {"type": model.tensors[made].file_type.lower()}
    if given.type == "FLOAT32":
        step = Step(**common, kind="quantize", attrs=target)
    else:
        scale, zero_point = _checked_scale(given, where)
        step = Step(**common, kind="requantize", attrs={"scale_in": scale, "zero_point_in": zero_point, **target})
    return _port(model, index, of, made, (step,)), head.index


def _checked_scale(tensor: FileTensor, where: str) -> tuple[float, int]:
    if len(tensor.scales) != 1 or len(tensor.zero_points) != 1 or not 0 < float(tensor.scales[0]) < np.inf:
        raise HwgenError(f"'{tensor.name}' must have one positive scale and one zero point", where=where,
                         remedy="quantise the network again with a representative data set")
    return float(tensor.scales[0]), int(tensor.zero_points[0])


def _output(context: Context, index: int, tail: set[int]) -> Port:
    """An output's port: the device's last map behind it and what the host does to it."""
    model = context.model
    end, steps = read_tail(context, index, tail)
    if end not in context.names:
        raise HwgenError(f"no operator writes the network's output '{_text(model, index)}'", where=context.path)
    return _port(model, index, context.tensors[context.names[end]], end, tuple(steps))


def _port(model: FileModel, index: int, of: Tensor, at: int, steps: tuple[Step, ...]) -> Port:
    """The port of the file's tensor ``index``, behind which the map ``of`` lies as the file's tensor ``at``."""
    tensor = model.tensors[index]
    scale = _scale(tensor)
    offset = 128 if tensor.stored == "UINT8" else 0
    return Port(name=tensor.name or f"tensor_{index}", map=of.name, view=view_of(model.tensors[at]),
                type=tensor.file_type.lower(), shape=tensor.shape, steps=steps, scale=float(scale.get("scale", 0.0)),
                zero_point=int(scale.get("zero_point", 0)) + offset)


def read_layer(context: Context, op: FileOperator, convert: Callable[[Layer], Op]) -> None:
    """Convert one operator, or drop it when it only renames or its reader absorbs it."""
    model = context.model
    where = f"{context.path}: {op.kind} '{layer_name(model, op)}'"
    index, target = op.inputs[0], op.outputs[0]
    if target in context.names or target in context.folded:
        raise HwgenError(f"tensor {target} is written twice", where=where)
    if op.kind in ALIASES:
        _read_alias(context, op, where)
        return
    if op.kind == "TRANSPOSE":
        read_transpose(context, op, where)
        return
    if op.kind in REDUCTIONS and index in context.orders:
        output = reduced(context, op, where)
    else:
        output = context.register(target, where)
    layer = Layer(context, op, output, where)
    if op.kind == "PAD" and _only_feeds_convolution(model, target):
        x = context.map_of(index, where)
        layer.require_same_quantization(x)
        context.folded[target] = (x.name, paddings(layer, x))
        del context.tensors[output.name], context.names[target]
    else:
        context.emit(convert(layer))


def _read_alias(context: Context, op: FileOperator, where: str) -> None:
    """The same bytes by another name; with another scale or zero point they mean something else from here on."""
    model, index, target = context.model, op.inputs[0], op.outputs[0]
    x = context.map_of(index, where)
    scale, zero_point = context.quantization(model.tensors[target], where)
    same = (scale, zero_point) == (x.scale, x.zero_point)
    shape = nhwc(model.tensors[target], where)
    if math.prod(shape) != math.prod(x.shape):
        raise HwgenError(f"shapes {x.shape} and {shape} hold different counts", where=where)
    if _only_feeds_dense(model, target, op.index) or x.shape == shape:
        if not same:
            again = context.new_map(f"{_text(model, target)}/rescaled", x.shape, replace(x, scale=scale,
                                                                                        zero_point=zero_point))
            context.emit(Reshape(name=again.name, inputs=(x.name,), output=again.name, source=op.kind))
            x = again
        context.names[target] = x.name
        return
    output = context.register(target, where)
    context.emit(Reshape(name=output.name, inputs=(x.name,), output=output.name, source=op.kind))


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


def read_tail(context: Context, output: int, tail: set[int]) -> tuple[int, list[Step]]:
    """The file tensor that the device's last operator before an output writes, and the host's steps from there."""
    model = context.model
    producers = {index: op for op in model.operators if op.index in tail for index in op.outputs}
    chain: list[FileOperator] = []
    tensor = output
    while (op := producers.get(tensor)) is not None:
        chain.append(op)
        tensor = op.inputs[0]
    return tensor, [_step(context, op) for op in reversed(chain)]


def _step(context: Context, op: FileOperator) -> Step:
    model = context.model
    source, target = model.tensors[op.inputs[0]], model.tensors[op.outputs[0]]
    common: dict[str, Any] = {"name": layer_name(model, op), "source": op.kind, "output": _text(model, op.outputs[0])}
    kind = target.file_type.lower()
    if op.kind in ALIASES:
        return Step(**common, kind="reshape", attrs={"shape": target.shape, "from": source.shape})
    if op.kind == "TRANSPOSE":
        return Step(**common, kind="transpose", attrs={"perm": transposition(context, op)})
    if op.kind in ("SOFTMAX", "LOG_SOFTMAX"):
        beta = {"beta": float(op.options["Beta"])} if op.kind == "SOFTMAX" else {}
        if source.type == "FLOAT32":
            return Step(**common, kind=op.kind.lower(), attrs={"axis": -1, **beta})  # type: ignore[arg-type]
        attrs = {"scale": float(source.scales[0]), "type": kind, **beta}
        return Step(**common, kind=f"tflite_{op.kind.lower()}", attrs=attrs)  # type: ignore[arg-type]
    if op.kind == "DEQUANTIZE":
        return Step(**common, kind="dequantize", attrs=_file_scale(source))
    if source.type == "FLOAT32":
        return Step(**common, kind="quantize", attrs=_file_scale(target) | {"type": kind})
    given = _file_scale(source)
    return Step(**common, kind="requantize", attrs={"scale_in": given["scale"], "zero_point_in": given["zero_point"],
                                                    **_file_scale(target), "type": kind})


def _file_scale(tensor: FileTensor) -> dict[str, Any]:
    """Scale and zero point as the file's own integers have them."""
    scale = _scale(tensor)
    return scale | {"zero_point": scale["zero_point"] + (128 if tensor.stored == "UINT8" else 0)}


def _scale(tensor: FileTensor) -> dict[str, Any]:
    """Scale and zero point of a quantised tensor; nothing for a float one."""
    if not len(tensor.scales):
        return {}
    return {"scale": float(tensor.scales[0]),
            "zero_point": int(tensor.zero_points[0]) if len(tensor.zero_points) else 0}


def _text(model: FileModel, index: int) -> str:
    return model.tensors[index].name.split(";")[0].strip() or f"tensor_{index}"
