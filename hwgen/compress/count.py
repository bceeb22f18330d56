"""What a network costs: parameters, multiplications, bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.coding import encode_huffman, encode_indices
from hwgen.compress.execute import fake_weights
from hwgen.compress.graph import BatchNorm, FloatConv, FloatGraph

_FLOAT_BYTES = 4
_SCALE_BYTES, _ZERO_POINT_BYTES, _BIAS_BYTES = 4, 1, 4


@dataclass(frozen=True)
class Counts:
    """Totals of a network.

    ``parameters`` are weights, biases and batch normalisation; ``weights`` and ``nonzero`` the weights alone, as they
    are once quantised; ``macs`` the multiplications of one input, ``nonzero_macs`` those by a weight that is not zero;
    ``bytes`` what storing it takes, see `layer_bytes`.
    """

    parameters: int
    weights: int
    nonzero: int
    macs: int
    nonzero_macs: int
    bytes: int

    @property
    def mac_density(self) -> float:
        """Share of the multiplications by a weight that is not zero."""
        return self.nonzero_macs / self.macs if self.macs else 1.0


def count(graph: FloatGraph) -> Counts:
    """Count a network."""
    used = fake_weights(graph)
    parameters = weights = nonzero = macs = nonzero_macs = size = 0
    for op, rounded in zip(graph.convs, used.convs, strict=True):
        kept = int(np.count_nonzero(rounded.weight))
        pixels = int(np.prod(graph.shapes[op.output][1:3]))
        parameters += op.weight.size + op.bias.size
        weights += op.weight.size
        nonzero += kept
        macs += pixels * op.weight.size
        nonzero_macs += pixels * kept
        size += layer_bytes(op)
    for norm in graph.ops:
        if isinstance(norm, BatchNorm):
            parameters += 4 * norm.gamma.size
            size += 4 * norm.gamma.size * _FLOAT_BYTES
    # Maps that keep their input's scale share its quantizer.
    size += len({id(q) for q in graph.maps.values()}) * (_SCALE_BYTES + _ZERO_POINT_BYTES)
    return Counts(parameters, weights, nonzero, macs, nonzero_macs, size)


def layer_bytes(op: FloatConv) -> int:
    """Bytes that a layer takes in storage, whole bytes a layer.

    Weights are stored one after the other, or as a bitmap of those that are not zero followed by them, whichever is
    shorter; or as `hwgen.compress.coding` does where the layer is to be stored so, codebooks and code tables included,
    unless that is longer. Scales take 4 bytes each, zero points 1 where the scheme has any, biases 4.
    """
    quantizer = op.quantizer
    bits = quantizer.bits if quantizer is not None else 8 * _FLOAT_BYTES
    nonzero = int(np.count_nonzero(op.weight if quantizer is None else quantizer.fake(op.weight)))
    sizes = [-(-min(op.weight.size * bits, op.weight.size + nonzero * bits) // 8)]
    if op.storage != "plain":
        values = stored_integers(op)
        indexed = encode_indices(values)
        sizes += [len(indexed)] if indexed is not None else []
        sizes += [len(encode_huffman(values))] if op.storage == "huffman" else []
    total = min(sizes) + op.bias.size * _BIAS_BYTES
    if quantizer is not None:
        total += quantizer.scale.size * (_SCALE_BYTES + (0 if quantizer.narrow else _ZERO_POINT_BYTES))
    return total


def stored_integers(op: FloatConv) -> NDArray[np.int64]:
    """What is stored of a layer's weights: the integers less their zero point; before it is quantised, the bits of the
    float numbers."""
    if op.quantizer is None:
        return (op.weight + np.float32(0)).view(np.int32).astype(np.int64)  # + 0: the negative zero is zero
    # A group's zero points have a form of their own: dequantising undoes it.
    exact = replace(op.quantizer, scale=np.ones_like(op.quantizer.scale))
    return exact.dequantize(op.quantizer.quantize(op.weight)).astype(np.int64)
