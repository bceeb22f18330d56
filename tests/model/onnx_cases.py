"""Float networks that between them use every supported operator; see `onnx_networks`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.model.onnx_networks import Net

Case = Callable[[np.random.Generator], tuple[Net, str]]


def asymmetric_conv(rng: np.random.Generator) -> tuple[Net, str]:
    net = Net(rng, (1, 3, 11, 9))
    v = net.conv("x", 8, 3, (3, 2), pads=[1, 0, 0, 2], strides=[2, 1])
    v = net.node("Relu", v)
    v = net.conv(v, 6, 8, (1, 4), auto_pad="SAME_LOWER", strides=[1, 3])
    v = net.conv(v, 4, 6, (3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    return net, net.conv(v, 5, 4, (2, 2), auto_pad="VALID")


def groups_and_dilation(rng: np.random.Generator) -> tuple[Net, str]:
    net = Net(rng, (1, 4, 10, 10))
    v = net.conv("x", 8, 1, (3, 3), pads=[1, 1, 1, 1], group=4)  # depthwise, multiplier 2
    v = net.node("Clip", v, net.constant(0), net.constant(6))
    v = net.conv(v, 8, 1, (5, 5), pads=[2, 2, 2, 2], group=8)
    v = net.node("Clip", v, net.constant(-0.75), net.constant(1.25))
    v = net.conv(v, 6, 4, (3, 3), pads=[2, 3, 2, 3], dilations=[2, 3], group=2)
    return net, v


def residual(rng: np.random.Generator) -> tuple[Net, str]:
    net = Net(rng, (1, 8, 6, 7))
    a = net.node("Relu", net.conv("x", 8, 8, (3, 3), pads=[1, 1, 1, 1]))
    b = net.conv(a, 8, 8, (1, 1))
    c = net.node("Relu", net.node("Add", a, b))
    d = net.node("Add", c, net.conv(c, 8, 8, (3, 3), pads=[1, 1, 1, 1]))
    return net, net.node("Clip", d, net.constant(-1), net.constant(1))


def concat(rng: np.random.Generator) -> tuple[Net, str]:
    net = Net(rng, (1, 3, 6, 6))
    a = net.conv("x", 4, 3, (1, 1))
    b = net.node("Relu", net.conv("x", 6, 3, (3, 3), pads=[1, 1, 1, 1]))
    c = net.node("Concat", a, b, "x", axis=1)
    d = net.node("Concat", c, c, axis=2)
    e = net.node("Concat", d, d, axis=-1)
    return net, net.node("Relu", net.node("Concat", e, net.node("Relu", e), axis=1))


def pools(rng: np.random.Generator) -> tuple[Net, str]:
    net = Net(rng, (1, 5, 13, 12))
    v = net.conv("x", 5, 5, (1, 1))
    v = net.node("MaxPool", v, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
    v = net.node("AveragePool", v, kernel_shape=[2, 3], strides=[1, 1], pads=[0, 1, 1, 1])
    v = net.node("AveragePool", v, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    v = net.node("MaxPool", v, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    v = net.node("AveragePool", v, kernel_shape=[2, 2], strides=[1, 2])
    return net, net.node("GlobalAveragePool", v)


def pad_and_mean(rng: np.random.Generator) -> tuple[Net, str]:
    net = Net(rng, (1, 4, 7, 7))
    v = net.node("Pad", "x", net.constant([0, 0, 1, 0, 0, 0, 2, 3], np.int64), net.constant(0.0))
    a = net.conv(v, 6, 4, (3, 3), strides=[2, 2])
    b = net.node("Pad", a, net.constant([0, 0, 0, 1, 0, 0, 1, 0], np.int64))
    c = net.node("MaxPool", b, kernel_shape=[2, 2])
    d = net.node("ReduceMean", c, axes=[2, 3], keepdims=0)
    return net, net.node("Gemm", d, net.random(3, 6), net.random(3), transB=1)


def dense(rng: np.random.Generator) -> tuple[Net, str]:
    """Flatten in the middle (columns must be permuted), Gemm with and without transB, MatMul with a bias added."""
    net = Net(rng, (1, 2, 4, 5))
    v = net.node("Relu", net.conv("x", 6, 2, (3, 3), pads=[1, 1, 1, 1]))
    v = net.node("Flatten", v)
    v = net.node("Relu", net.node("Gemm", v, net.random(12, 120), net.random(12), transB=1))
    v = net.node("Gemm", v, net.random(12, 9))
    v = net.node("Add", net.node("MatMul", v, net.random(9, 7)), net.random(7))
    v = net.node("Relu", v)
    v = net.node("Reshape", v, net.constant([0, 7, 1, 1], np.int64))
    v = net.conv(v, 10, 7, (1, 1))
    v = net.node("Reshape", v, net.constant([1, -1], np.int64))
    return net, net.node("Softmax", v)


def alone(rng: np.random.Generator) -> tuple[Net, str]:
    """Activations that cannot be fused, and shapes that change between vectors and maps."""
    net = Net(rng, (1, 12))
    v = net.node("Gemm", "x", net.random(12, 12))
    v = net.node("Reshape", v, net.constant([1, 1, 3, 4], np.int64))
    v = net.conv(v, 4, 1, (2, 2))
    v = net.node("MaxPool", v, kernel_shape=[2, 2])
    v = net.node("Clip", v, net.constant(-0.5), net.constant(0.5))
    v = net.node("Dropout", v)
    v = net.node("Transpose", v, perm=[0, 2, 3, 1])
    v = net.node("MatMul", v, net.random(4, 5))
    return net, net.node("Transpose", v, perm=[0, 3, 1, 2])


CASES: tuple[Case, ...] = (asymmetric_conv, groups_and_dilation, residual, concat, pools, pad_and_mean, dense, alone)
