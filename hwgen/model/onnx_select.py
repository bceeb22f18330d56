"""Parts of a map, and channels in another order: a convolution whose weights are 0 and 1.

It runs on the array as every other layer does, and its integers are those of the map.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_values import Pending, Shape, View, Weights


def selected(node: Node, view: View, axis: int, indices: Sequence[int], name: str, emitter: Emitter) -> View | None:
    """The places ``indices`` of an axis of the map (1 height, 2 width, 3 channels), ``seen`` as before; None where they
    have no form: in height and width, they must lie in equal steps forwards.

    Parameters
    ----------
    node : Node
    view : View
    axis : int
    indices : sequence of int
        At least one.
    name : str
        The new map's.
    emitter : Emitter
    """
    size = view.shape[axis]
    if list(indices) == list(range(size)):
        return view
    if axis == 3:
        weights = np.eye(size, dtype=np.int8)[list(indices)].reshape(len(indices), 1, 1, size)
        return _emitted(node, view, weights, (1, 1), 1, name, emitter)
    steps = set(np.diff(indices).tolist()) or {1}
    step = steps.pop()
    if steps or step < 1:
        return None
    span = max(indices[0] + 1, size - len(indices) * step + 1)  # of the windows, so that there are no more of them
    kernel = np.zeros(span, np.int8)
    kernel[indices[0]] = 1
    form = (1, span, 1, 1) if axis == 1 else (1, 1, span, 1)
    weights = np.broadcast_to(kernel.reshape(form), (view.shape[3], *form[1:]))
    return _emitted(node, view, weights, (step, 1) if axis == 1 else (1, step), view.shape[3], name, emitter)


def _emitted(node: Node, view: View, weights: np.ndarray, stride: tuple[int, int], groups: int, name: str,
             emitter: Emitter) -> View:
    _, height, width, _ = view.shape
    shape: Shape = (1, (height - weights.shape[1]) // stride[0] + 1, (width - weights.shape[2]) // stride[1] + 1,
                    weights.shape[0])
    one = Weights(values=np.ascontiguousarray(weights), scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))
    waiting = Pending(shape=shape, order=view.order, seen=view.seen, kind="conv", node=node.name, op=node.op,
                      inputs=(view,), limits=emitter.limits.get(view.tensor.name, (-128, 127)),
                      args={"weights": one, "groups": groups, "stride": stride})
    found = emitter.lower(waiting, name, view.tensor.scale, view.tensor.zero_point)
    return replace(found, real=view.real, type=view.type)


def shuffled(node: Node, view: View, perm: tuple[int, ...], name: str, emitter: Emitter) -> View | None:
    """The map after a Transpose of parts of its channels (a channel shuffle); None where other values move too."""
    places = np.arange(math.prod(view.shape)).reshape(view.shape)
    turned = places.transpose(view.order).reshape(view.seen).transpose(perm)
    found = view.to_map(turned)
    channels = found[0, 0, 0] % view.shape[3]
    if not np.array_equal(found, places[..., channels]):
        return None
    moved = selected(node, view, 3, channels.tolist(), name, emitter)
    return None if moved is None else replace(moved, seen=turned.shape)
