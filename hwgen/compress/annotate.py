"""What a compressed network's ONNX file says beside its operators: documented entries of ``metadata_props``.

QuantizeLinear and DequantizeLinear state scales and 8-bit integers; they cannot state that a layer's integers have
fewer bits, come from a codebook, are zero by a grain or are to be stored in Huffman codes. `docs/compression.md`
describes every key.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from hwgen.compress.coding import encode_huffman, encode_indices
from hwgen.compress.count import layer_bytes, stored_integers
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.plan import Plan

FORMAT = "1"
"""Raised when a key changes its meaning."""

_GRAIN_SIZES = {"vector": "vector", "block": "block", "n:m": "pattern", "bank": "banks"}
"""The parameter of `prune` that says how large a grain is."""


def metadata(graph: FloatGraph, plans: Sequence[Plan], *, real: bool) -> dict[str, str]:
    """The entries of a quantised network.

    Parameters
    ----------
    graph : FloatGraph
        With quantizers.
    plans : sequence of Plan
        Of all steps, in order.
    real : bool
        The file holds real numbers, as the machine has no such scheme: then whole quantizers are among the entries.
    """
    grains = _grains(plans)
    layers = {op.name: _layer(op, grains.get(op.name), real=real) for op in graph.convs}
    maps = {name: q.to_json() if real else {"bits": q.bits} for name, q in graph.maps.items() if real or q.bits != 8}
    steps = [{"name": plan.technique, **plan.parameters} for plan in plans]
    values = {"steps": steps, "layers": layers, "maps": maps}
    return {"hwgen.format": FORMAT, **{f"hwgen.{key}": json.dumps(value) for key, value in values.items()}}


def annotated(content: bytes, entries: Mapping[str, str]) -> bytes:
    """The content of an ONNX file with entries added."""
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, dict(entries))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _grains(plans: Sequence[Plan]) -> dict[str, dict[str, Any]]:
    """By layer, what was removed together, of the last step that pruned it."""
    found: dict[str, dict[str, Any]] = {}
    for plan in plans:
        used = plan.parameters
        if plan.technique == "prune":
            kind = used["grain"]
            size = {_GRAIN_SIZES[kind]: used[_GRAIN_SIZES[kind]]} if kind in _GRAIN_SIZES else {}
            found |= {name: {"grain": kind, **size} for name in plan.layers}
    return found


def _layer(op: FloatConv, grain: dict[str, Any] | None, *, real: bool) -> dict[str, Any]:
    quantizer = op.quantizer
    assert quantizer is not None  # every layer of a quantised network has one
    values = stored_integers(op)
    entry: dict[str, Any] = {"bits": quantizer.bits, "scheme": "symmetric" if quantizer.narrow else "affine",
                             "zeros": int(np.sum(values == 0)), "storage": op.storage, "bytes": layer_bytes(op)}
    if grain is not None:
        entry |= grain
    if op.storage != "plain":
        book = np.unique(values[values != 0])
        forms = [encode_indices(values), encode_huffman(values) if op.storage == "huffman" else None]
        coded = min((form for form in forms if form is not None), key=len, default=None)
        entry["codebook"] = book.tolist()
        if coded is not None:
            entry["coded"] = base64.b64encode(coded).decode()
    if real:
        entry["quantizer"] = quantizer.to_json()
    return entry
