"""Real inputs to the integers a network expects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.host import quantize
from hwgen.model.graph import Graph, Tensor


def quantize_input(graph: Graph, x: NDArray[Any]) -> NDArray[np.int8]:
    """Quantise a batch for a network.

    Parameters
    ----------
    graph : Graph
    x : array, shape (N, H, W, C) or one image (H, W, C)
        Axes of length 1 may be left out, e.g. (N, 640). int8: taken as quantised already. float: real values in the
        network's units, ``round(x / scale) + zero_point`` (ties as the file's format has them), saturated. uint8:
        pixels 0..255, for networks whose input spans 0..255 or whose pixels are divided by 255.

    Returns
    -------
    int8 array, shape (N, H, W, C), C-contiguous

    Raises
    ------
    HwgenError
        For another shape or dtype, NaN or infinity, no images, or pixels where the network's units are unclear.
    """
    tensor = graph.tensors[graph.input]
    x = shaped(np.asarray(x), tensor.shape, graph.name)
    if x.dtype == np.int8:
        return np.ascontiguousarray(x)
    if x.dtype == np.uint8:
        values = np.arange(256, dtype=np.float32) * np.float32(_pixel_unit(graph))
        return np.take(quantize(values, _scale(tensor), graph.source), x)
    if not np.issubdtype(x.dtype, np.floating):
        raise HwgenError(f"the input must be int8, uint8 or float, not {x.dtype}", where=graph.name,
                         remedy="convert it with .astype(...) to what it means")
    if not np.all(np.isfinite(x)):
        raise HwgenError("the input must be finite, but holds NaN or infinity", where=graph.name)
    return quantize(x, _scale(tensor), graph.source)


def _scale(tensor: Tensor) -> dict[str, float]:
    return {"scale": tensor.scale, "zero_point": tensor.zero_point}


def shaped(x: NDArray[Any], shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """``x`` as (N, H, W, C), for a network whose input has the shape (1, H, W, C).

    Raises
    ------
    HwgenError
        For another shape (axes of length 1 may be left out), or no images.
    """
    shape = shape[1:]
    plain = tuple(size for size in shape if size != 1)
    squeezed = tuple(size for size in x.shape[1:] if size != 1)
    if x.shape == shape or (x.ndim and tuple(size for size in x.shape if size != 1) == plain and plain):
        x = x.reshape(1, *shape)
    elif x.ndim > 1 and squeezed == plain:
        x = x.reshape(len(x), *shape)
    else:
        text = ", ".join(map(str, shape))
        raise HwgenError(f"the input must have the shape (N, {text}) or ({text}), not {x.shape}", where=where)
    if not len(x):
        raise HwgenError("the input holds no images", where=where)
    return x


def _pixel_unit(graph: Graph) -> float:
    """What one step of an 8-bit pixel is worth in the network's units."""
    tensor = graph.tensors[graph.input]
    low = (-128 - tensor.zero_point) * tensor.scale
    high = (127 - tensor.zero_point) * tensor.scale
    if low <= 0.5 and high >= 200:
        return 1.0
    if abs(low) < 0.01 and abs(high - 1) < 0.01:
        return 1 / 255
    raise HwgenError(f"8-bit pixels do not say which real values they stand for: the network's input spans "
                     f"{low:.4g} to {high:.4g}", where=graph.name,
                     remedy="give float values in the network's units, or int8 values quantised already")
