"""Files as qkeras networks become through QONNX's converter: `make_qkeras.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import onnx
import qonnx.converters
from keras import layers
from qkeras import QActivation, QConv2D, QDense, quantized_bits, quantized_relu

SIZE = 16


def plain(bits: int, first: object, result: object = None, bias: bool = False) -> keras.Model:
    """Convolutions and a fully connected layer, of which ``bias`` says whether it has one; ``result`` quantises it."""
    number = quantized_bits(bits, 0, alpha=1)
    weights = {"kernel_quantizer": number, "bias_quantizer": number, "bias_initializer": "random_normal"}
    relu = quantized_relu(bits, 2)
    return keras.Sequential([
        layers.Input((SIZE, SIZE, 3), batch_size=1, name="image"),
        QActivation(first, name="given"),
        QConv2D(8, 3, name="conv1", **weights), QActivation(relu, name="relu1"),
        layers.MaxPooling2D(2), QConv2D(8, 3, name="conv2", **weights), QActivation(relu, name="relu2"),
        layers.Flatten(), QDense(4, name="dense", activation=result, use_bias=bias, **weights)])


def main(folder: Path) -> None:
    """Write all files."""
    keras.utils.set_random_seed(7)
    for bits in (8, 4):
        signed, relu = quantized_bits(bits, 3, alpha=1), quantized_relu(bits, 0)
        networks = {
            f"{bits} bits": plain(bits, relu, signed),
            f"{bits} bits, QDense with bias": plain(bits, relu, signed, bias=True),
            f"{bits} bits, result not quantised": plain(bits, relu),
            f"{bits} bits, quantized_bits in front": plain(bits, quantized_bits(bits, 0, alpha=1), signed),
        }
        for name, net in networks.items():
            model, _ = qonnx.converters.from_keras(net, opset=13)
            onnx.save(model, folder / f"{name}.onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
