"""Files as Keras and TensorFlow's LiteRT converter write them: `make_tensorflow.py FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SIZE = 16


def images(model: keras.Model) -> Callable[[], Iterator[list[Any]]]:
    """Random calibration images between 0 and 1."""
    shapes = [(1, *tensor.shape[1:]) for tensor in model.inputs]

    def batches() -> Iterator[list[Any]]:
        rng = np.random.default_rng(1)
        for _ in range(16):
            yield [rng.uniform(0, 1, shape).astype(np.float32) for shape in shapes]

    return batches


INT8, FLOAT = tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS


def converted(model: keras.Model, ends: Any = tf.float32, operators: Any = INT8, **settings: Any) -> bytes:
    """Fully quantised, with inputs and outputs of the type ``ends``."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = images(model)
    converter.target_spec.supported_ops = [operators]
    converter.inference_input_type = converter.inference_output_type = ends
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


def residual(batch: int | None = 1) -> keras.Model:
    """Convolutions with a shortcut, depthwise, poolings, fully connected."""
    x = given = keras.Input((SIZE, SIZE, 3), batch_size=batch)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.ReLU(max_value=6)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1)(y), x]))
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(10, activation="softmax")(x))


def sequential(*inner: Any, shape: tuple[int, ...] = (SIZE, SIZE, 3), batch: int | None = 1) -> keras.Model:
    """Layers one after the other."""
    return keras.Sequential([keras.Input(shape, batch_size=batch), *inner])


def several() -> keras.Model:
    """Two inputs and two outputs."""
    left, right = (keras.Input((SIZE, SIZE, channels), batch_size=1, name=name)
                   for name, channels in (("left", 3), ("right", 1)))
    both = layers.Concatenate()([layers.Conv2D(8, 3, padding="same", activation="relu")(x) for x in (left, right)])
    both = layers.Conv2D(8, 3, padding="same", activation="relu")(both)
    mask = layers.Conv2D(2, 1, name="mask")(both)
    return keras.Model([left, right], [mask, layers.Dense(4, name="classes")(layers.GlobalAveragePooling2D()(both))])


def normalised() -> keras.Model:
    """`Normalization` in front, adapted to given data."""
    norm = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.04, 0.05, 0.06])
    return sequential(norm, layers.Conv2D(8, 3, activation="relu"), layers.Flatten(), layers.Dense(4))


def files() -> Iterator[tuple[str, bytes]]:
    """Name and content of each."""
    conv = layers.Conv2D
    net = residual()
    yield "float32 inputs and outputs", converted(net)
    yield "int8 inputs and outputs", converted(net, tf.int8)
    yield "uint8 inputs and outputs", converted(net, tf.uint8)
    yield "batch not fixed, Flatten", converted(sequential(
        conv(8, 3, activation="relu"), layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(10), batch=None))
    yield "dilated convolutions", converted(sequential(
        conv(8, 3, dilation_rate=2, padding="same", activation="relu"), conv(8, 3, dilation_rate=2),
        layers.GlobalMaxPooling2D(), layers.Dense(4)))
    yield "Rescaling", converted(sequential(
        layers.Rescaling(1 / 127.5, offset=-1), conv(8, 3, activation="relu"), layers.Flatten(), layers.Dense(4)))
    yield "Normalization", converted(normalised())
    yield "several inputs and outputs", converted(several(), tf.int8)
    yield "Conv1D over time", converted(sequential(
        conv1d(8, 5, 2), conv1d(8, 5, 2), layers.GlobalAveragePooling1D(), layers.Dense(4), shape=(64, 3)))
    yield "Dense layers alone", converted(sequential(
        layers.Dense(32, activation="relu"), layers.Dense(4, activation="softmax"), shape=(40,)))
    yield "scales of whole tensors", converted(net, tf.int8, _experimental_disable_per_channel=True)
    yield "sigmoid at the end", converted(sequential(
        conv(8, 3, activation="relu"), layers.Flatten(), layers.Dense(1, activation="sigmoid")))
    yield "squeeze and excite", converted(excited())
    yield "upsampling", converted(sequential(conv(8, 3, padding="same"), layers.UpSampling2D(), conv(2, 1)))
    yield "int16 activations", converted(
        net, operators=tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8)
    yield "dynamic range (no representative data)", converted(
        net, operators=FLOAT, representative_dataset=None)
    yield "float", converted(net, operators=FLOAT, optimizations=[])


def conv1d(filters: int, kernel: int, stride: int) -> layers.Layer:
    """A convolution over time."""
    return layers.Conv1D(filters, kernel, strides=stride, padding="same", activation="relu")


def excited() -> keras.Model:
    """A gate on channels."""
    x = given = keras.Input((SIZE, SIZE, 3), batch_size=1)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    gate = layers.Dense(8, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return keras.Model(given, layers.Dense(4)(layers.Flatten()(layers.Multiply()([x, gate]))))


def main(folder: Path) -> None:
    """Write all files."""
    keras.utils.set_random_seed(7)
    for name, content in files():
        (folder / f"{name}.tflite").write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
