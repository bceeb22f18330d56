"""Changes to an ONNX model that keep it a protocol buffer: any field of any message, by its type.

The fields come from the schema itself (protobuf's descriptors), so what the format gains is changed too.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import numpy_helper

_INTEGERS = (0, 1, -1, 2, 3, 4, 8, 13, 127, 128, 255, 256, 1_000_000, 2**31 - 1, 2**31, -(2**31), 2**40,
             2**63 - 1, -(2**63))
_REALS = (0.0, -0.0, 1.0, 0.5, -1.0, 1e-45, 1e-10, 1e10, 3e38, float("nan"), float("inf"), -float("inf"))
_ATTRIBUTES: tuple[tuple[str, Any], ...] = (
    ("axis", 0), ("axis", 1), ("axis", -1), ("axis", 2), ("group", 2), ("dilations", [2, 2]),
    ("pads", [1, 0, 0, 0]), ("auto_pad", "SAME_UPPER"), ("auto_pad", "SAME_LOWER"), ("auto_pad", "VALID"),
    ("ceil_mode", 1), ("storage_order", 1), ("count_include_pad", 1), ("pads", [0, 0, 1, 1]), ("strides", [2, 2]),
    ("strides", [2, 1]), ("kernel_shape", [2, 2]), ("alpha", 0.5), ("beta", 2.0), ("transA", 1), ("transB", 1),
    ("transB", 0), ("perm", [0, 2, 3, 1]), ("block_size", 2), ("perm", [0, 1, 3, 2]), ("saturate", 0),
    ("output_dtype", 2), ("output_dtype", 3), ("precision", 1), ("keepdims", 0), ("axes", [2, 3]), ("axes", [3]),
    ("allowzero", 1), ("min", 0.0), ("max", 6.0), ("mode", "reflect"), ("to", 1), ("noop_with_empty_axes", 1),
    ("training_mode", 1), ("channels_last", 1),
)  # fmt: skip
_OPERATORS = (
    "Conv", "Add", "Sub", "Mul", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Gemm",
    "MatMul", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear", "Pad",
    "Identity", "Concat", "Softmax", "LogSoftmax", "ReduceMean", "Dropout", "Sigmoid", "BatchNormalization", "Cast",
    "Unknown",
)  # fmt: skip
_OPSETS = (7, 10, 11, 12, 13, 17, 18, 19, 20, 21, 22, 23, 25, 99)


def mutated(model: bytes, random_: random.Random) -> tuple[bytes, str]:
    """A changed model and what was changed."""
    proto = onnx.ModelProto.FromString(model)
    notes = []
    for _ in range(random_.choice((1, 1, 1, 1, 2, 3))):
        change = random_.choice((_field, _field, _field, _constant, _constant, _attribute, _attribute, _operator, _wire,
                                 _opset, _node))
        notes.append(f"{change.__name__[1:]} {change(proto, random_)}")
    return proto.SerializeToString(), "; ".join(notes)


def _leaves(message: Message, path: str = "") -> Iterator[tuple[Message, FieldDescriptor, str]]:
    """Every field that is set, of every message, and the message that holds it."""
    for field, value in message.ListFields():
        here = f"{path}.{field.name}"
        yield message, field, here
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for i, inner in enumerate(value if _repeated(field) else [value]):
                yield from _leaves(inner, f"{here}[{i}]")


def _repeated(field: FieldDescriptor) -> bool:
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED


def _field(proto: onnx.ModelProto, random_: random.Random) -> str:
    holder, field, path = random_.choice(list(_leaves(proto)))
    value = getattr(holder, field.name)
    if _repeated(field):
        return f"{path} {_elements(proto, field, value, random_)}"
    if field.type == FieldDescriptor.TYPE_MESSAGE or random_.random() < 0.1:
        holder.ClearField(field.name)
        return f"{path} cleared"
    new = _scalar(proto, field, value, random_)
    try:
        setattr(holder, field.name, new)
    except (ValueError, TypeError):  # out of the field's range
        holder.ClearField(field.name)
    return f"{path} = {new!r:.40}"


def _elements(proto: onnx.ModelProto, field: FieldDescriptor, values: Any, random_: random.Random) -> str:
    at = random_.randrange(len(values))
    kind = random_.choice(("change", "change", "delete", "repeat", "swap"))
    if kind == "delete":
        del values[at]
        return f"[{at}] deleted"
    if kind == "swap":
        other = random_.randrange(len(values))
        items = list(values)
        items[at], items[other] = items[other], items[at]
        del values[:]
        values.extend(items)
        return f"[{at}], [{other}] swapped"
    if kind == "repeat" or field.type == FieldDescriptor.TYPE_MESSAGE:
        values.append(values[at])
        return f"[{at}] repeated"
    new = _scalar(proto, field, values[at], random_)
    try:
        values[at] = new
    except (ValueError, TypeError):
        del values[at]
    return f"[{at}] = {new!r:.40}"


def _scalar(proto: onnx.ModelProto, field: FieldDescriptor, value: Any, random_: random.Random) -> Any:
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return random_.choice((*_REALS, value * 2, value / 2, value * 1.01, -value))
    if field.type == FieldDescriptor.TYPE_STRING:
        return random_.choice((*_names(proto), "", "nowhere", "[/b]", value + "x"))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _bytes(value, random_)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return random_.choice([v.number for v in field.enum_type.values])
    return random_.choice((*_INTEGERS, value + 1, value - 1, value * 2))


def _bytes(value: bytes, random_: random.Random) -> bytes:
    if not value or random_.random() < 0.2:
        return value[: random_.randrange(len(value) + 1)]
    raw = bytearray(value)
    raw[random_.randrange(len(raw))] = random_.randrange(256)
    return bytes(raw)


def _names(proto: onnx.ModelProto) -> list[str]:
    names = [name for node in proto.graph.node for name in (*node.input, *node.output)]
    return [*names, *(t.name for t in proto.graph.initializer)]


def _constant(proto: onnx.ModelProto, random_: random.Random) -> str:
    """Another value, type, or shape of a constant that stays a legal one."""
    if not proto.graph.initializer:
        return "none"
    tensor = random_.choice(proto.graph.initializer)
    try:
        values = numpy_helper.to_array(tensor).copy()
    except Exception:  # noqa: BLE001 changed before into what onnx cannot read
        return f"{tensor.name} unreadable"
    kind = random_.choice(("value", "value", "all", "type", "shape"))
    if kind in ("value", "all") and values.size:
        flat = values.reshape(-1)
        chosen = slice(None) if kind == "all" else random_.randrange(flat.size)
        if values.dtype.kind == "f":
            one = float(flat[0])
            flat[chosen] = random_.choice((*_REALS, one * 2, one / 2, one * 1.001, one * 100, one / 100))
        elif values.dtype.kind in "iu":
            limits = np.iinfo(values.dtype)
            number = random_.choice((0, 1, 2, 3, -1, 10, int(limits.min), int(limits.max), int(flat[0]) + 1))
            flat[chosen] = max(int(limits.min), min(number, int(limits.max)))
    elif kind == "type":
        values = values.astype(random_.choice(("int8", "uint8", "int32", "int64", "float32", "float16", "int16")))
    elif kind == "shape":
        values = random_.choice((values.reshape(-1), values[None], values[:1] if values.ndim else values[None],
                                 values.reshape(values.shape[::-1])))
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return f"{tensor.name} {kind}"


def _attribute(proto: onnx.ModelProto, random_: random.Random) -> str:
    node = random_.choice(proto.graph.node)
    key, value = random_.choice(_ATTRIBUTES)
    for i, attribute in reversed(list(enumerate(node.attribute))):
        if attribute.name == key:
            del node.attribute[i]
    node.attribute.append(onnx.helper.make_attribute(key, value))
    return f"{node.op_type}.{key} = {value}"


def _operator(proto: onnx.ModelProto, random_: random.Random) -> str:
    node = random_.choice(proto.graph.node)
    before, node.op_type = node.op_type, random_.choice(_OPERATORS)
    return f"{before} to {node.op_type}"


def _wire(proto: onnx.ModelProto, random_: random.Random) -> str:
    """An input that comes from elsewhere, or is left out."""
    node = random_.choice(proto.graph.node)
    if not node.input:
        return "none"
    at = random_.randrange(len(node.input))
    node.input[at] = random_.choice((*_names(proto), ""))
    return f"{node.op_type}[{at}] = {node.input[at]!r}"


def _opset(proto: onnx.ModelProto, random_: random.Random) -> str:
    if not proto.opset_import:
        return "none"
    proto.opset_import[0].version = random_.choice(_OPSETS)
    return str(proto.opset_import[0].version)


def _node(proto: onnx.ModelProto, random_: random.Random) -> str:
    """An operator of one input put in, or one taken out and bridged."""
    nodes = proto.graph.node
    at = random_.randrange(len(nodes))
    node = nodes[at]
    if random_.random() < 0.5 and node.input:
        source, target = node.input[0], node.output[0]
        del nodes[at]
        for other in nodes:
            for i, name in enumerate(other.input):
                if name == target:
                    other.input[i] = source
        return f"{node.op_type} bridged"
    if not node.input:
        return "none"
    kind = random_.choice(("Relu", "Identity", "Transpose", "Flatten", "MaxPool", "Softmax", "Sigmoid"))
    attributes = {"kernel_shape": [1, 1]} if kind == "MaxPool" else {}
    name = f"put_in_{len(nodes)}"
    made = onnx.helper.make_node(kind, [node.input[0]], [name], name=name, **attributes)
    node.input[0] = name
    nodes.insert(at, made)
    return f"{kind} before {node.op_type}"
