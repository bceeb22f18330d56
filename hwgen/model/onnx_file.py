"""An ONNX file opened for reading: parsed, batch set to 1, constants folded, unreachable nodes dropped.

Nothing here knows about quantisation, except that QuantizeLinear and DequantizeLinear of constants are not folded to
float: the reader needs the integers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hwgen.errors import HwgenError
from hwgen.model.graph import MAX_MAP
from hwgen.model.obstacles import ObstacleError, Obstacles
from hwgen.model.onnx_dialects.qonnx import import_operator_sets
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_passes import rewrite
from hwgen.model.onnx_passes.constants import fold
from hwgen.model.onnx_passes.shapes import contradiction, infer

OLDEST = 10
"""The operator set that QuantizeLinear came with."""

CHECK = "export the network again; check the file with onnx.checker.check_model(..., full_check=True)"

@dataclass(frozen=True)
class End:
    """An input or output of the network: its name, NumPy's name of its type and, of an input, its shape with batch 1,
    which is None where it is not fixed."""

    name: str
    type: str
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """What the reader walks over.

    ``nodes`` are in execution order and all reach an output; ``consts`` holds initialisers and folded constants;
    ``opset`` is the version of ONNX's operator set; ``obstacles`` is what is in the way already;
    ``invalid`` is what ONNX's own inference finds wrong, if anything.
    """

    name: str
    nodes: tuple[Node, ...]
    consts: dict[str, Array]
    consumers: dict[str, tuple[Node, ...]]
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    opset: int
    obstacles: Obstacles
    invalid: str

    def integers(self, node: Node, position: int) -> list[int] | None:
        """The numbers of a constant input (a shape, axes, amounts of padding); None when it is not constant.

        Raises
        ------
        HwgenError
            When they are not integers.
        """
        constant = self.consts.get(node.input(position))
        if constant is None:
            return None
        if not np.issubdtype(constant.dtype, np.integer):
            raise ObstacleError(self.name, node.op, node.name,
                           f"input {node.input(position)!r} must be integers, not {constant.dtype}",
                           "export the network again")
        return [int(n) for n in constant.reshape(-1)]

    def map_name(self, name: str) -> str:
        """What to call the map behind a real value: the output of the one QuantizeLinear it leads to, if it does."""
        start = name
        while len(users := self.consumers.get(name, ())) == 1:
            name = users[0].outputs[0]
            if users[0].op == "QuantizeLinear":
                return name
            if users[0].op not in ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"):
                break
        return start


def open_onnx(path: str | Path) -> OnnxFile:
    """Read and normalise an ONNX file.

    Raises
    ------
    HwgenError
        Not an ONNX file, damaged, or no inputs or outputs.
    """
    path = Path(path)
    model = _parse(path)
    found = Obstacles(path.stem)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if opset < OLDEST:
        found.add("", "", f"the operator set must be {OLDEST} or later, not {opset}",
                  "export the network with opset_version=13 or later")
    inits = {t.name: t for t in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in inits]
    outputs = list(model.graph.output)
    if not inputs or not outputs:
        raise HwgenError(f"the network must have inputs and outputs, not {len(inputs)} and {len(outputs)}",
                         where=path.name, remedy="export the network again")
    ends = tuple(End(v.name, _type(v), _fixed_shape(v, found)) for v in inputs)
    del model.graph.value_info[:]  # shapes that were derived from a symbolic batch
    for output in outputs:
        output.type.tensor_type.ClearField("shape")
    invalid = contradiction(model)
    consts = {name: _array(t, path) for name, t in inits.items()}
    names = [value.name for value in outputs]
    nodes = rewrite(_nodes(fold(model, consts), path), consts, names, {o.domain: o.version for o in model.opset_import})
    consumers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in dict.fromkeys(node.inputs):
            consumers.setdefault(name, []).append(node)
    return OnnxFile(name=path.stem, nodes=tuple(nodes), consts=consts,
                    consumers={k: tuple(v) for k, v in consumers.items()}, inputs=ends,
                    outputs=tuple(End(value.name, _type(value)) for value in outputs), opset=opset, obstacles=found,
                    invalid=invalid)


def _type(value: onnx.ValueInfoProto) -> str:
    try:
        return helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    except (KeyError, TypeError, ValueError):
        return "no tensor"


def _parse(path: Path) -> onnx.ModelProto:
    where = path.name
    if not path.is_file():
        raise HwgenError("there is no such file", where=str(path))
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except Exception as error:  # protobuf raises several unrelated types
        raise HwgenError("this is not an ONNX file, or it is damaged", where=where, remedy=CHECK) from error
    if not model.graph.node or not model.opset_import:
        raise HwgenError("this is not an ONNX file, or it is empty", where=where, remedy=CHECK)
    if model.graph.sparse_initializer:
        raise HwgenError("constants are stored as sparse tensors (sparse_initializer)", where=where,
                         remedy="store them as plain initialisers")
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise HwgenError(f"its external data cannot be read ({error})", where=where,
                         remedy="put the .data file next to the .onnx file") from error
    import_operator_sets(model)
    checked = infer(model)
    for output in checked.graph.output:  # exporters may leave out its shape, which no operator set but ONNX's tells
        output.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(checked)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise HwgenError(f"the ONNX file is not valid ({first})", where=where, remedy=CHECK) from error
    return model


def _fixed_shape(value: onnx.ValueInfoProto, found: Obstacles) -> tuple[int, ...] | None:
    """The input's shape, a symbolic batch set to 1 in the model too; None, and an obstacle, where it is not fixed."""
    tensor = value.type.tensor_type
    fix = "fix it with onnxruntime.tools.make_dynamic_shape_fixed"
    if not tensor.HasField("shape") or not tensor.shape.dim:
        found.add("input", value.name, "its shape is not stated", fix)
        return None
    shape: list[int] = []
    for axis, dim in enumerate(tensor.shape.dim):
        size = dim.dim_value if dim.HasField("dim_value") else 0
        if size < 1 and axis:
            found.add("input", value.name, f"dimension {axis} must be a fixed size, not {dim.dim_param or 'dynamic'!r}",
                      fix)
            return None
        if axis == 0 and size > 1:
            found.add("input", value.name, f"its batch must be 1, not {size}",
                      "export the network with batch 1 or a symbolic batch; data may still be a batch")
            return None
        shape.append(size or 1)
    if math.prod(shape) > MAX_MAP:
        found.add("input", value.name, f"its shape {tuple(shape)} has more than 2^28 values", "export it smaller")
        return None
    for axis, size in enumerate(shape):
        tensor.shape.dim[axis].dim_value = size
    return tuple(shape)


def _array(tensor: onnx.TensorProto, path: Path) -> Array:
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise HwgenError(f"constant {tensor.name!r} cannot be read ({error})", where=path.name,
                         remedy="the file is damaged: export the network again") from error


def _nodes(protos: Sequence[onnx.NodeProto], path: Path) -> list[Node]:
    """The nodes, with unique names."""
    nodes: list[Node] = []
    taken: set[str] = set()
    for proto in protos:
        name = proto.name or proto.output[0]
        while name in taken:
            name += "_"
        taken.add(name)
        attrs = {a.name: _attribute(a, path) for a in proto.attribute}
        nodes.append(Node(name, proto.op_type, proto.domain, tuple(proto.input), tuple(proto.output), attrs))
    return nodes


def _attribute(attribute: onnx.AttributeProto, path: Path) -> Any:
    if attribute.type == onnx.AttributeProto.TENSOR:
        return _array(attribute.t, path)
    if attribute.type == onnx.AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    value = onnx.helper.get_attribute_value(attribute)
    return list(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value
