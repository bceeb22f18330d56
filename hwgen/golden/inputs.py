"""What a user gives, to what the file's inputs take, and from there to the integers of the device's maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.host import apply, invert, quantize
from hwgen.model.graph import Graph
from hwgen.model.ports import FileView, Port

Array = NDArray[Any]

PLACES = ("reshape", "transpose")
"""Steps that only say where values are."""

TIES = 1 / 8
"""Share of random real inputs that lie half-way between two integers."""


def to_maps(graph: Graph, given: Sequence[Array]) -> dict[str, NDArray[np.int8]]:
    """The maps that the device is given.

    Parameters
    ----------
    graph : Graph
    given : sequence of array, shape (N, *shape of the input in the file)
        One for each input, in the file's types; see `file_inputs`.

    Returns
    -------
    dict of str to int8 array, shape (N, H, W, C), C-contiguous
    """
    maps = {}
    for port, values in zip(graph.inputs, given, strict=True):
        value = values
        for step in port.steps:
            value = apply(step, value, graph.source)
        maps[port.map] = port.view.from_file(value, graph.tensors[port.map].shape)
    return maps


def random_inputs(graph: Graph, count: int, seed: int) -> list[Array]:
    """Random images in the file's own types, such that every integer of the input's quantisation occurs.

    Parameters
    ----------
    graph : Graph
    count : int
    seed : int

    Returns
    -------
    list of array, shape (count, *shape of the input in the file)
    """
    rng = np.random.default_rng(seed)
    found = []
    for port in graph.inputs:
        if not port.real:
            limits = np.iinfo(port.type)
            low, high = (limits.min, limits.max) if limits.bits == 8 else (-128, 127)
            found.append(rng.integers(low, high + 1, (count, *port.shape)).astype(port.type))
            continue
        value = rng.integers(-128, 128, (count, *graph.tensors[port.map].shape[1:]), dtype=np.int8)
        within = rng.uniform(-0.5, 0.5, value.shape)
        ties = rng.random(value.shape) < TIES
        found.append(_before(port, value, np.where(ties, 0.5, within)))
    return found


def from_maps(graph: Graph, maps: Mapping[str, NDArray[np.int8]]) -> list[Array]:
    """Inputs of the file, in its types, that `to_maps` turns into ``maps``.

    Raises
    ------
    HwgenError
        When the host does something to an input that has no inverse.
    """
    return [_before(port, maps[port.map]) for port in graph.inputs]


def _before(port: Port, q: NDArray[np.int8], beside: NDArray[np.float64] | None = None) -> Array:
    """Values of an input that become the map's ``q``; real ones so many steps ``beside`` it."""
    value: Array = port.view.to_file(q)
    if beside is not None:
        value = value + _raw(port.view).to_file(beside)
    for step in reversed(port.steps):
        value = invert(step, value)
    return value.reshape(len(q), *port.shape).astype(port.type)


def _raw(view: FileView) -> FileView:
    """The view for values of any type: their places alone."""
    return replace(view, type="int8")


def from_map(port: Port, values: Array) -> Array:
    """Values (N, H, W, C) that lie as the map's do, placed as the file's input."""
    placed = _raw(port.view).to_file(values)
    for step in reversed(port.steps):
        placed = invert(step, placed) if step.kind in PLACES else placed
    return placed.reshape(len(values), *port.shape)


def _to_map(graph: Graph, port: Port, values: Array) -> NDArray[np.int8]:
    """The map of quantised values that lie as the file's input does."""
    for step in port.steps:
        values = apply(step, values, graph.source) if step.kind in PLACES else values
    return _raw(port.view).from_file(values, graph.tensors[port.map].shape)


def file_inputs(graph: Graph, arrays: Mapping[str, Array]) -> list[Array]:
    """What a user gives as the file's inputs take it.

    Parameters
    ----------
    graph : Graph
    arrays : mapping of str to array
        Under each input's name, or ``x0``, ``x1``, ...; ``x`` for the only one. Batch first, shaped as the file's
        input, or as (N, H, W, C) where only that fits; or one image without batch. Axes of length 1 may be left out.
        Of the file's type; or real numbers for an integer input, which are quantised as the format rounds; or int8:
        integers of the map; or uint8 where the input is not: pixels 0..255, for inputs that span 0..255 or 0..1.

    Returns
    -------
    list of array, shape (N, *shape of the input in the file), of the file's types

    Raises
    ------
    HwgenError
        For another shape or dtype, NaN or infinity, no images, inputs that are missing or of different numbers, or
        pixels where the network's units are unclear.
    """
    return typed(graph, placed(graph, arrays))


def placed(graph: Graph, arrays: Mapping[str, Array]) -> list[Array]:
    """What a user gives (see `file_inputs`) in the shapes of the file's inputs, types as given.

    Raises
    ------
    HwgenError
        For another shape, no images, inputs that are missing or of different numbers.
    """
    found = [shaped(port, graph.tensors[port.map].shape, _array(graph, arrays, i), graph.name)
             for i, port in enumerate(graph.inputs)]
    counts = [len(value) for value in found]
    if len(set(counts)) > 1:
        raise HwgenError(f"all inputs must have as many images, not {counts}", where=graph.name)
    return found


def typed(graph: Graph, values: Sequence[Array]) -> list[Array]:
    """Values that are `placed`, in the types of the file's inputs; errors as `file_inputs`."""
    return [_typed(graph, port, value) for port, value in zip(graph.inputs, values, strict=True)]


def quantize_input(graph: Graph, x: Array) -> NDArray[np.int8]:
    """The map of a network's only input, from what a user gives (see `file_inputs`): int8, (N, H, W, C)."""
    return to_maps(graph, file_inputs(graph, {"x": np.asarray(x)}))[graph.input]


def _array(graph: Graph, arrays: Mapping[str, Array], position: int) -> Array:
    names = [graph.inputs[position].name, f"x{position}"]
    if len(graph.inputs) == 1:
        names.insert(0, "x")
    for name in names:
        if name in arrays:
            return np.asarray(arrays[name])
    if len(graph.inputs) == 1:
        raise HwgenError(f"the inputs have no array x, but {', '.join(arrays) or 'nothing'}", where=graph.name,
                         remedy="np.savez(FILE, x=images, y=labels)")
    listed = ", ".join(f"{port.name!r} {_text(port.shape)}" for port in graph.inputs)
    raise HwgenError(f"input {graph.inputs[position].name!r} is missing: the network has {listed}", where=graph.name,
                     remedy="give each under its name, or as x0, x1, ... in this order")


def shaped(port: Port, nhwc: tuple[int, ...], x: Array, where: str) -> Array:
    """What a user gives, placed as the file's input.

    Parameters
    ----------
    port : Port
    nhwc : tuple of int
        (1, H, W, C), the shape of its map.
    x : array
        As the file's input, or where that does not fit as (N, H, W, C); see `file_inputs`.
    where : str
        Named in messages.

    Returns
    -------
    array, shape (N, *shape of the input in the file)

    Raises
    ------
    HwgenError
        For another shape, or no images.
    """
    own = port.shape
    for shape in (own, nhwc):
        fitted = fitting(x, shape)
        if fitted is None:
            continue
        if not len(fitted):
            raise HwgenError("the input holds no images", where=where)
        if shape is not own:
            return from_map(port, fitted[:, 0])
        return fitted
    texts = [f"(N, {_text(own[1:])[1:]}", _text(own[1:])]
    also = "" if _plain(own[1:]) == _plain(nhwc[1:]) else f", or channels last (N, {_text(nhwc[1:])[1:]}"
    raise HwgenError(f"the input must have the shape {' or '.join(texts)} as in the file{also}, not {x.shape}",
                     where=f"{where}: {port.name}", remedy=_rearranged(x, own))


def _rearranged(x: Array, own: tuple[int, ...]) -> str:
    """What to write to get the file's shape, if that can be told."""
    turned = next((axes for axes in _MOVED.get(x.ndim, ()) if fitting(x.transpose(axes), own) is not None), None)
    if turned:
        return f"x.transpose{turned}"
    flat = x.ndim == 2 and x.shape[1] == int(np.prod(own))
    return f"x.reshape(-1, {_text(own[1:])[1:]}" if flat else "np.transpose or np.reshape the array"


_MOVED = {3: ((1, 2, 0), (2, 0, 1), (0, 2, 1)),
          4: ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1))}
"""By number of axes: channels moved to the end, or to the front; height and width exchanged."""


def fitting(x: Array, shape: tuple[int, ...]) -> Array | None:
    """``x`` as (N, *shape) where ``shape`` has batch 1: a batch, or one image; axes of length 1 may be left out."""
    plain, given = _plain(shape[1:]), _plain(x.shape)
    if x.shape == shape[1:] or (x.ndim and given == plain and plain and (x.ndim == 0 or _plain(x.shape[1:]) != plain)):
        return x.reshape(1, *shape)
    if x.ndim and _plain(x.shape[1:]) == plain and (x.ndim > 1 or not plain):
        return x.reshape(len(x), *shape)
    return None


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _typed(graph: Graph, port: Port, x: Array) -> Array:
    """``x``, in the file's shape, in the file's type."""
    if np.issubdtype(x.dtype, np.floating):
        if not np.all(np.isfinite(x)):
            raise HwgenError("the input must be finite, but holds NaN or infinity", where=graph.name)
        with np.errstate(over="ignore"):
            single = x.astype(np.float32)
        if not np.all(np.isfinite(single)):
            raise HwgenError(f"the input must be finite in float32, but holds {np.abs(x).max():.4g}", where=graph.name)
        return single.astype(port.type) if port.real else quantize(single, _scale(port), graph.source)
    if str(x.dtype) == port.type:
        return np.ascontiguousarray(x)
    if x.dtype == np.uint8:
        pixels = np.arange(256, dtype=np.float32) * np.float32(_pixel_unit(graph, port))
        table = pixels.astype(port.type) if port.real else quantize(pixels, _scale(port), graph.source)
        return np.take(table, x)
    if x.dtype == np.int8:
        if not port.real and not any(step.kind == "cast" for step in port.steps):
            return (x.astype(np.int16) + 128).astype(np.uint8) if port.type == "uint8" else x.astype(port.type)
        return _before(port, _to_map(graph, port, x))
    kinds = ", ".join(dict.fromkeys(["int8", "uint8", port.type] if not port.real else ["int8", "uint8"]))
    raise HwgenError(f"the input must be {kinds} or float, not {x.dtype}", where=graph.name,
                     remedy="convert it with .astype(...) to what it means")


def _scale(port: Port) -> dict[str, Any]:
    return {"scale": port.scale, "zero_point": port.zero_point, "type": port.type}


def _pixel_unit(graph: Graph, port: Port) -> float:
    """What one step of an 8-bit pixel is worth in the network's units."""
    tensor = graph.tensors[port.map]
    plain = all(step.kind in ("quantize", "requantize") for step in port.steps)
    low = (-128 - tensor.zero_point) * tensor.scale
    high = (127 - tensor.zero_point) * tensor.scale
    if plain and low <= 0.5 and high >= 200:
        return 1.0
    if plain and abs(low) < 0.01 and abs(high - 1) < 0.01:
        return 1 / 255
    raise HwgenError(f"8-bit pixels do not say which real values they stand for: the network's input spans "
                     f"{low:.4g} to {high:.4g}", where=graph.name,
                     remedy="give float values in the network's units, or int8 values quantised already")
