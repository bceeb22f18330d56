"""What Keras and the TFLite converter write besides plain layers, in random networks: any batch, the arithmetic of
shapes that this brings, dilation between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND, constants beside maps, transposes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from tflite import TensorType

from tests.dialects.tflite_networks import KINDS, VALID, Kind, Map, Net, Style, grown


class KerasNet(Net):
    """A `Net` with the converter's idioms."""

    def numbers(self, *values: int) -> int:
        return self.b.constant(np.array(values, np.int32))

    def flatten(self, x: Map) -> Map:
        """``Flatten`` of any batch: its shape is computed anew in each run."""
        if x.flat or self.chance(40):
            return super().flatten(x)
        y = self.map((1, 1, math.prod(x.shape)), x.scale, zero_point=x.zero_point, flat=True)
        shape = self.b.op("SHAPE", [x.number], self.b.tensor((4,), scale=None, dtype="int32"),
                          OutType=TensorType.INT32)
        batch = self.b.op("STRIDED_SLICE", [shape, self.numbers(0), self.numbers(1), self.numbers(1)],
                          self.b.tensor((), scale=None, dtype="int32"), ShrinkAxisMask=1)
        size = self.b.constant(np.array(y.shape[2], np.int32))
        both = self.b.op("PACK", [batch, size], self.b.tensor((2,), scale=None, dtype="int32"), ValuesCount=2, Axis=0)
        self.b.op("RESHAPE", [x.number, both], y.number)
        return y

    def dilated(self, x: Map) -> Map | None:
        """A convolution of pixels dealt out to batches; ``same`` padding half of the time."""
        (kh, kw), block = self.pick((3, 3), (2, 3), (3, 1)), self.pick(2, 2, 3)
        same, depthwise = self.chance(50), self.chance(40)
        paddings, crops, dealt, size = [], [], [], []
        for n, k in zip(x.shape[:2], (kh, kw), strict=True):
            reach = (k - 1) * block
            before = reach // 2 if same else 0
            after = reach - before if same else 0
            more = -(n + before + after) % block
            paddings.append((before, after + more))
            crops.append((0, more))
            dealt.append((n + before + after + more) // block)
            size.append(n + before + after - reach)
        if min(size) < 1 or min(dealt[0] - kh, dealt[1] - kw) < 0:
            return None
        channels = x.shape[2] if depthwise else self.between(1, 12)
        if math.prod(size) * kh * kw * x.shape[2] * channels > 60_000:
            return None
        blocks = self.numbers(block, block)
        apart = self.b.op("SPACE_TO_BATCH_ND", [x.number, blocks, self.b.constant(np.array(paddings, np.int32))],
                          self.b.tensor((block * block, *dealt, x.shape[2]), scale=x.scale, zero_point=x.zero_point))
        options = {"Padding": VALID, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
        small = (dealt[0] - kh + 1, dealt[1] - kw + 1, channels)
        if depthwise:
            y = self.weighted("DEPTHWISE_CONV_2D", x._replace(number=apart), (1, kh, kw, channels), small, kh * kw, 3,
                              DepthMultiplier=1, **options)
        else:
            y = self.weighted("CONV_2D", x._replace(number=apart), (channels, kh, kw, x.shape[2]), small,
                              kh * kw * x.shape[2], 0, **options)
        self.b.tensors[y.number]["shape"] = [block * block, *small]
        whole = self.map((size[0], size[1], channels), y.scale, zero_point=y.zero_point)
        self.b.op("BATCH_TO_SPACE_ND", [y.number, blocks, self.b.constant(np.array(crops, np.int32))], whole.number)
        return whole

    def factor(self, x: Map) -> Map:
        """``Rescaling`` and the like: a constant, one for all or one a channel."""
        zero = self.pick(0, -128, self.between(-60, 60))  # what is left of the constant has 8 bits
        values = self.rng.integers(max(zero, 0) - 128, min(zero, 0) + 128, self.pick((1, 1, 1, x.shape[2]), (1,)))
        y = self.result(x.shape)
        constant = self.b.tensor(values.shape, scale=np.float32(y.scale / x.scale / 60), zero_point=zero,
                                 data=values.astype(np.int8))
        self.b.op("MUL", [x.number, constant][:: self.pick(1, -1)], y.number)
        return y

    def term(self, x: Map) -> Map:
        """A constant added to a map: ``Normalization``, or the bias of a dilated convolution."""
        values = self.rng.integers(-127, 128, (1, 1, 1, x.shape[2])).astype(np.int8)
        constant = self.b.tensor(values.shape, scale=np.float32(x.scale * self.rng.uniform(0.1, 2)), data=values,
                                 zero_point=self.between(-128, 127))
        y = self.result(x.shape)
        self.b.op("ADD", [x.number, constant][:: self.pick(1, -1)], y.number)
        return y

    def largest(self, x: Map) -> Map:
        """``GlobalMaxPooling2D``."""
        keep = self.chance(50)
        y = self.map((1, 1, x.shape[2]), x.scale, zero_point=x.zero_point, flat=not keep)
        self.b.op("REDUCE_MAX", [x.number, self.numbers(1, 2)], y.number, KeepDims=keep)
        return y

    def pad_with_zero(self, x: Map) -> Map:
        h, w, c = x.shape
        widths = np.array([[0, 0], [self.between(0, 2), 1], [1, self.between(0, 2)], [0, 0]], np.int32)
        y = self.map((h + int(widths[1].sum()), w + int(widths[2].sum()), c), x.scale, zero_point=x.zero_point)
        zero = self.b.tensor((), scale=x.scale, zero_point=x.zero_point, data=np.array(x.zero_point, np.int8))
        self.b.op("PADV2", [x.number, self.b.constant(widths), zero], y.number)
        return y

    def output(self, x: Map) -> int:
        if x.flat or not self.chance(25):
            return super().output(x)
        h, w, c = x.shape
        end = self.b.tensor((1, c, h, w), scale=x.scale, zero_point=x.zero_point)
        return self.b.op("TRANSPOSE", [x.number, self.numbers(0, 3, 1, 2)], end)


KERAS: tuple[Kind, ...] = (*KINDS, KerasNet.dilated, KerasNet.dilated, KerasNet.factor, KerasNet.term,
                           KerasNet.largest, KerasNet.pad_with_zero)


def write_keras(seed: int, folder: Path) -> Path:
    """Write the network of a seed."""
    net = KerasNet(seed, Style())
    x, entry = net.input()
    if net.chance(70):
        net.b.tensors[entry]["signature"] = [-1, *net.b.tensors[entry]["shape"][1:]]
    return net.b.save(folder / f"{seed}.tflite", [entry], [net.output(grown(net, x, KERAS))])
