"""Weights and multiplications of well-known networks, without biases: what the survey notes in ../shared state."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compress.count import Counts, count
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.model.graph import Op


class Layers:
    """Collects layers; their weights are one number seen as a tensor, so that even VGG-16 takes no memory."""

    def __init__(self, size: int, channels: int = 3) -> None:
        self.size, self.channels = size, channels
        self.ops: list[Op] = []
        self.shapes: dict[str, tuple[int, int, int, int]] = {}

    def conv(self, out: int, kernel: int, stride: int = 1, groups: int = 1, size: int | None = None,
             source: int | None = None) -> None:
        """SAME padding, unless the output's size is given; ``source`` are the input channels of a side branch."""
        self.size = size or -(-self.size // stride)
        name = f"layer{len(self.ops)}"
        shape = (out, kernel, kernel, (source or self.channels) // groups)
        weight = np.broadcast_to(np.float32(1), shape)
        self.ops.append(FloatConv(name=name, inputs=("x",), output=name, weight=weight, groups=groups,
                                  bias=np.zeros(out, np.float32)))
        self.shapes[name] = (1, self.size, self.size, out)
        self.channels = out

    def dense(self, out: int, inputs: int | None = None) -> None:
        self.size, self.channels = 1, inputs or self.channels
        self.conv(out, 1)

    def pool(self, size: int) -> None:
        self.size = size

    def count(self) -> Counts:
        return count(FloatGraph("net", self.shapes, tuple(self.ops), "x", self.ops[-1].output))


def alexnet(classifier: bool = True) -> Counts:
    net = Layers(227)
    net.conv(96, 11, 4, size=55)
    net.pool(27)
    net.conv(256, 5, groups=2)
    net.pool(13)
    net.conv(384, 3)
    net.conv(384, 3, groups=2)
    net.conv(256, 3, groups=2)
    for out, inputs in ((4096, 9216), (4096, None), (1000, None)) if classifier else ():
        net.dense(out, inputs)
    return net.count()


def vgg16(classifier: bool = True) -> Counts:
    net = Layers(224)
    for out, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            net.conv(out, 3)
        net.pool(net.size // 2)
    for out, inputs in ((4096, 25088), (4096, None), (1000, None)) if classifier else ():
        net.dense(out, inputs)
    return net.count()


def resnet50(stride_in_3x3: bool = False) -> Counts:
    net = Layers(224)
    net.conv(64, 7, 2)
    net.pool(56)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            source = net.channels
            first, second = (1, stride) if stride_in_3x3 else (stride, 1)
            net.conv(width, 1, first)
            net.conv(width, 3, second)
            net.conv(4 * width, 1)
            if not block:
                net.conv(4 * width, 1, source=source)
    net.dense(1000)
    return net.count()


def mobilenet_v1() -> Counts:
    net = Layers(224)
    net.conv(32, 3, 2)
    for out, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
                        (1024, 1)):
        net.conv(net.channels, 3, stride, groups=net.channels)
        net.conv(out, 1)
    net.dense(1000)
    return net.count()


@pytest.mark.parametrize(("counts", "weights", "macs"), [
    (alexnet, 60.95e6, 724e6),
    (lambda: alexnet(False), 2.33e6, 666e6),
    (vgg16, 138.34e6, 15.47e9),
    (lambda: vgg16(False), 14.71e6, 15.35e9),
    (resnet50, 25.50e6, 3.858e9),
    (lambda: resnet50(True), 25.50e6, 4.089e9),
    (mobilenet_v1, 4.21e6, 568.7e6),
], ids=["AlexNet", "its convolutions", "VGG-16", "its convolutions", "ResNet-50", "ResNet-50 v1.5", "MobileNet-v1"])
def test_totals(counts, weights: float, macs: float) -> None:  # type: ignore[no-untyped-def]
    c = counts()
    assert c.weights == pytest.approx(weights, rel=2.5e-3 if weights < 5e6 else 5e-4)
    assert c.macs == pytest.approx(macs, rel=1e-3)
