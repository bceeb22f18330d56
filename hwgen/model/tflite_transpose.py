"""TRANSPOSE in a TFLite network: a view of the same map, for readers that can take the axes in another order."""

from __future__ import annotations

from hwgen.errors import HwgenError
from hwgen.model.graph import Reshape, Tensor
from hwgen.model.ports import NHWC, Axes, FileView
from hwgen.model.tflite_context import Context, nhwc
from hwgen.model.tflite_file import FileOperator

_CHANNEL_LAST = "build the network channel-last (NHWC), so that the converter emits no transpose"
REDUCTIONS = ("MEAN", "REDUCE_MAX")


def transposition(context: Context, op: FileOperator) -> tuple[int, ...]:
    """The permutation of an operator's input axes.

    Raises
    ------
    HwgenError
        When it is no permutation, or does not give the output's shape.
    """
    source, target = (context.model.tensors[i] for i in (op.inputs[0], op.outputs[0]))
    data = context.model.tensors[op.inputs[1]].data
    perm = () if data is None else tuple(int(n) for n in data.reshape(-1))
    if sorted(perm) != list(range(len(source.shape))) or tuple(source.shape[p] for p in perm) != target.shape:
        raise HwgenError(f"its permutation {list(perm)} does not turn {list(source.shape)} into {list(target.shape)}",
                         where=f"{context.path}: {op.kind} {target.name!r}", remedy="convert the network again")
    return perm


def _order(context: Context, index: int) -> tuple[int, ...]:
    """The axes of the map behind those of a file's tensor."""
    rank = len(context.model.tensors[index].shape)
    return context.orders.get(index) or NHWC[:1] + NHWC[len(NHWC) - rank + 1 :]


def read_transpose(context: Context, op: FileOperator, where: str) -> None:
    """Note the order of axes; where only axes of length 1 change places, the bytes stay and it is a reshape."""
    model, index, target = context.model, op.inputs[0], op.outputs[0]
    x = context.map_of(index, where, transposed=True)
    tensor = model.tensors[target]
    if context.quantization(tensor, where) != (x.scale, x.zero_point):
        raise HwgenError("input and output must share scale and zero point", where=where,
                         remedy="convert the network again")
    before = _order(context, index)
    order = tuple(before[p] for p in transposition(context, op))
    if order[0] != 0:
        raise HwgenError("moves the batch dimension", where=where, remedy="keep the batch first")
    if not _moved(order, x):
        shape = nhwc(tensor, where)
        if shape == x.shape:
            context.names[target] = x.name
            return
        output = context.register(target, where)
        context.emit(Reshape(name=output.name, inputs=(x.name,), output=output.name, source=op.kind))
        return
    context.names[target] = x.name
    context.orders[target] = order


def _moved(order: tuple[int, ...], x: Tensor) -> bool:
    """Whether values change places in memory."""
    long = [axis for axis in order if x.shape[axis] != 1]
    return long != sorted(long)


def reduced(context: Context, op: FileOperator, where: str) -> Tensor:
    """The map that a reduction of a transposed map writes: its axes stay where the map has them.

    Raises
    ------
    HwgenError
        When the reduced axes are not constant, or the output's shape is not what is left.
    """
    model, index, target = context.model, op.inputs[0], op.outputs[0]
    x, before = context.map_of(index, where, transposed=True), _order(context, index)
    data, tensor = model.tensors[op.inputs[1]].data, model.tensors[target]
    axes = set() if data is None else {int(a) % len(before) for a in data.reshape(-1)}
    gone = {before[a] for a in axes}
    left = before if op.options["KeepDims"] else tuple(axis for i, axis in enumerate(before) if i not in axes)
    shape = (1, *(1 if axis in gone else x.shape[axis] for axis in (1, 2, 3)))
    if tuple(shape[axis] for axis in left) != tensor.shape:
        raise HwgenError(f"its output is {list(tensor.shape)}, not what is left of the axes", where=where,
                         remedy=_CHANNEL_LAST)
    full: Axes = (*left, *(axis for axis in NHWC if axis not in left))  # type: ignore[assignment]
    scale, zero_point = context.quantization(tensor, where)
    like = Tensor(tensor.name, x.shape, scale, zero_point)
    name = tensor.name.split(";")[0].strip() or f"tensor_{target}"
    view = FileView(key=target, shape=tensor.shape, order=full)
    made = context.new_map(name, (1, shape[1], shape[2], shape[3]), like, view)
    context.names[target] = made.name
    if _moved(left, made):
        context.orders[target] = left
    return made
