"""Changes to a TFLite network before it is written (what it says), and to the bytes of a file (how it says it)."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np

from tests.tflite_builder import TfliteBuilder

_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 127, 128, 255, 256, 1_000_000, 2**31 - 1, -1)
_SCALES = (0.0, -0.05, 1e-45, 1e-38, 1e-10, 1e-3, 0.5, 1.0, 3.0, 1e10, 3e38, float("nan"), float("inf"))
_ZERO_POINTS = (0, 1, -1, 5, 127, -128, 128, 255, -129, 2**31)
_TYPES = ("int8", "uint8", "int16", "int32", "float32", "int64")
_KINDS = (
    "ADD", "CONCATENATION", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE", "RELU", "RELU6", "RELU_N1_TO_1",
    "QUANTIZE", "MEAN", "PAD", "SOFTMAX", "SQUEEZE", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LOGISTIC",
    "MUL", "SUB", "DEQUANTIZE", "EXPAND_DIMS", "TRANSPOSE",
)  # fmt: skip


def mutated(builder: TfliteBuilder, random_: random.Random) -> tuple[TfliteBuilder, str]:
    """A changed network and what was changed."""
    made = copy.deepcopy(builder)
    notes = []
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        change = random_.choice((_shape, _quantization, _quantization, _type, _data, _option, _option, _wire, _kind,
                                 _order))
        notes.append(f"{change.__name__[1:]} {change(made, random_)}")
    return made, "; ".join(notes)


def _shape(b: TfliteBuilder, random_: random.Random) -> str:
    at = random_.randrange(len(b.tensors))
    shape = b.tensors[at]["shape"]
    kind = random_.choice(("size", "size", "longer", "shorter", "swap"))
    if kind == "longer" or not shape:
        shape.insert(random_.randrange(len(shape) + 1), 1)
    elif kind == "shorter":
        del shape[random_.randrange(len(shape))]
    elif kind == "swap":
        i, j = random_.randrange(len(shape)), random_.randrange(len(shape))
        shape[i], shape[j] = shape[j], shape[i]
    else:
        i = random_.randrange(len(shape))
        shape[i] = random_.choice((*_SIZES, shape[i] + 1, shape[i] - 1, shape[i] * 2))
    return f"t{at} {shape}"


def _quantization(b: TfliteBuilder, random_: random.Random) -> str:
    quantised = [i for i, t in enumerate(b.tensors) if t["scale"] is not None]
    if not quantised:
        return "none"
    at = random_.choice(quantised)
    tensor = b.tensors[at]
    kind = random_.choice(("scale", "scale", "zero_point", "zero_point", "fewer", "axis", "none", "no_zero_point"))
    scales = np.atleast_1d(np.array(tensor["scale"], np.float64)).copy()
    if kind == "scale":
        i = random_.randrange(len(scales)) if random_.random() < 0.5 else slice(None)
        scales[i] = random_.choice((*_SCALES, scales[0] * 2, scales[0] / 2, scales[0] * 1.001, scales[0] * 1000))
        tensor["scale"] = scales.astype(np.float32)
    elif kind == "zero_point":
        points = np.atleast_1d(np.array(tensor["zero_point"], np.int64)).copy()
        points[random_.randrange(len(points)) if random_.random() < 0.5 else slice(None)] = random_.choice(_ZERO_POINTS)
        tensor["zero_point"] = points
    elif kind == "fewer":
        tensor["scale"] = scales[: random_.randrange(len(scales) + 1)].astype(np.float32)
    elif kind == "axis":
        tensor["axis"] = random_.choice((0, 1, 2, 3, 4, -1))
    elif kind == "no_zero_point":
        tensor["zero_point"] = np.zeros(0, np.int64)
    else:
        tensor["scale"] = None
    return f"t{at} {kind}"


def _type(b: TfliteBuilder, random_: random.Random) -> str:
    at = random_.randrange(len(b.tensors))
    b.tensors[at]["dtype"] = random_.choice(_TYPES)
    return f"t{at} {b.tensors[at]['dtype']}"


def _data(b: TfliteBuilder, random_: random.Random) -> str:
    constants = [i for i, t in enumerate(b.tensors) if t["data"] is not None]
    at = random_.choice(constants) if constants else random_.randrange(len(b.tensors))
    tensor = b.tensors[at]
    kind = random_.choice(("value", "value", "value", "fewer", "none"))
    if tensor["data"] is None:
        tensor["data"] = np.zeros([max(n, 0) % 64 for n in tensor["shape"]], np.int8)
        return f"t{at} given"
    data = np.array(tensor["data"]).reshape(-1)
    if kind == "none" or not data.size:
        tensor["data"] = None
    elif kind == "fewer":
        tensor["data"] = data[: random_.randrange(data.size)]
    elif np.issubdtype(data.dtype, np.integer):
        limits = np.iinfo(data.dtype)
        chosen: Any = random_.randrange(data.size) if random_.random() < 0.7 else slice(None)
        data[chosen] = random_.choice((0, 1, 2, 3, limits.min, limits.max, -1 % 2**7, 4))
        tensor["data"] = data
    else:
        data[random_.randrange(data.size)] = random_.choice((0.0, float("nan"), 1e30, -1.0))
        tensor["data"] = data
    return f"t{at} {kind}"


def _option(b: TfliteBuilder, random_: random.Random) -> str:
    at = random_.randrange(len(b.operators))
    kind, _, _, options = b.operators[at]
    if not options:
        return "none"
    key = random_.choice(sorted(options))
    value = options[key]
    if isinstance(value, bool):
        options[key] = not value
    elif isinstance(value, float):
        options[key] = random_.choice((0.0, 1.0, 2.0, -1.0, float("nan")))
    else:
        options[key] = random_.choice((0, 1, 2, 3, 4, 5, -1, value + 1, max(value - 1, 0)))
        if key in ("Padding", "FusedActivationFunction", "WeightsFormat"):
            options[key] = max(0, options[key])
    return f"{kind}.{key} = {options[key]}"


def _wire(b: TfliteBuilder, random_: random.Random) -> str:
    at = random_.randrange(len(b.operators))
    kind, inputs, outputs, _ = b.operators[at]
    change = random_.choice(("input", "input", "output", "drop", "more", "swap"))
    other = random_.randrange(-1, len(b.tensors))
    if change == "input" and inputs:
        inputs[random_.randrange(len(inputs))] = other
    elif change == "output":
        outputs[0] = max(other, 0)
    elif change == "drop" and inputs:
        del inputs[random_.randrange(len(inputs))]
    elif change == "swap" and len(inputs) > 1:
        i, j = random_.sample(range(len(inputs)), 2)
        inputs[i], inputs[j] = inputs[j], inputs[i]
    else:
        inputs.append(other)
    return f"{kind} {change}"


def _kind(b: TfliteBuilder, random_: random.Random) -> str:
    at = random_.randrange(len(b.operators))
    kind, inputs, outputs, options = b.operators[at]
    new = random_.choice(_KINDS)
    try:
        b.operators[at] = (new, inputs, outputs, options if random_.random() < 0.5 else {})
    except KeyError:
        return "none"
    return f"{kind} to {new}"


def _order(b: TfliteBuilder, random_: random.Random) -> str:
    if len(b.operators) < 2:
        return "none"
    i, j = random_.sample(range(len(b.operators)), 2)
    change = random_.choice(("swap", "delete", "repeat"))
    if change == "swap":
        b.operators[i], b.operators[j] = b.operators[j], b.operators[i]
    elif change == "delete":
        del b.operators[i]
    else:
        b.operators.insert(j, b.operators[i])
    return f"{change} {i}, {j}"


def mutated_bytes(data: bytes, random_: random.Random) -> tuple[bytes, str]:
    """A file with a few wrong bytes or words, cut or with bytes put in."""
    raw, kind = bytearray(data), random_.random()
    if kind < 0.1:
        return bytes(raw[: random_.randrange(len(raw))]), "cut"
    if kind < 0.15:
        at = random_.randrange(len(raw))
        return bytes(raw[:at] + random_.randbytes(random_.randrange(1, 64)) + raw[at:]), f"bytes put in at {at}"
    places = []
    for _ in range(random_.choice((1, 1, 2, 4, 8))):
        at = random_.randrange(len(raw))
        if kind < 0.6 and at + 4 <= len(raw):
            at -= at % 4
            word = int.from_bytes(raw[at : at + 4], "little")
            new = random_.choice((word + 1, word - 1, 0, 1, 2, 4, 8, 255, 2**31 - 1, 2**32 - 1)) % 2**32
            raw[at : at + 4] = new.to_bytes(4, "little")
        else:
            raw[at] = random_.randrange(256)
        places.append(str(at))
    return bytes(raw), f"bytes at {', '.join(places)}"
