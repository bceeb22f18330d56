"""Files as ai-edge-quantizer writes them from float TFLite networks: `make_ai_edge_quantizer.py FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_quantizer import quantizer, recipe, recipe_manager
from keras import layers

SIZE = 16
RECIPES = ("static_wi8_ai8", "static_wi8_ai16", "weight_only_wi8_afp32", "dynamic_wi8_afp32")


def residual() -> keras.Model:
    """Convolutions with a shortcut, depthwise, poolings, fully connected."""
    x = given = keras.Input((SIZE, SIZE, 3), batch_size=1, name="image")
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.ReLU(max_value=6)(layers.DepthwiseConv2D(3, padding="same")(x))
    x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1)(y), x]))
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(given, layers.Dense(10, activation="softmax")(x))


def branches() -> keras.Model:
    """Two convolutions side by side, a ReLU6 that no operator takes in."""
    given = keras.Input((SIZE, SIZE, 3), batch_size=1, name="image")
    x = layers.Concatenate()([layers.Conv2D(8, 3)(given), layers.Conv2D(4, 3, activation="relu")(given)])
    x = layers.AveragePooling2D(2)(layers.ReLU(max_value=6)(x))
    return keras.Model(given, layers.Dense(10)(layers.Flatten()(x)))


def saved(model: keras.Model, path: Path) -> str:
    """The float network as TFLite."""
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return str(path)


def recipes() -> dict[str, Any]:
    """The shipped ones, and ``static_wi8_ai8`` with weights of 4 bits, and with a network whose ends stay float32."""
    found = {name: getattr(recipe, name)() for name in RECIPES}
    narrow, real = recipe_manager.RecipeManager(), recipe_manager.RecipeManager()
    for manager in (narrow, real):
        manager.load_quantization_recipe(recipe.static_wi8_ai8())
    for name in ("CONV_2D", "FULLY_CONNECTED"):
        narrow.add_static_config(regex=".*", operation_name=recipe.TFLOperationName[name], activation_num_bits=8,
                                 weight_num_bits=4)
    for name in ("INPUT", "OUTPUT"):
        real.add_quantization_config(regex=".*", operation_name=recipe.TFLOperationName[name],
                                     algorithm_key=recipe.AlgorithmName.NO_QUANTIZE)
    return found | {"int4 weights, int8 activations": narrow.get_quantization_recipe(),
                    "float32 inputs and outputs": real.get_quantization_recipe()}


def images(model: keras.Model) -> dict[str, Iterator[dict[str, Any]]]:
    """Calibration data of the network's one signature."""
    rng = np.random.default_rng(1)
    names = [tensor.name for tensor in model.inputs]
    return {"serving_default": [{name: rng.uniform(0, 1, (1, SIZE, SIZE, 3)).astype(np.float32) for name in names}
                                for _ in range(16)]}


def main(folder: Path) -> None:
    """Write all files."""
    keras.utils.set_random_seed(7)
    work = folder / "float"
    work.mkdir()
    for kind, model in (("residual", residual()), ("branches", branches())):
        path = saved(model, work / f"{kind}.tflite")
        for name, rules in recipes().items():
            made = quantizer.Quantizer(path, rules)
            result = made.calibrate(images(model)) if made.need_calibration else None
            made.quantize(result).export_model(str(folder / f"{name}, {kind}.tflite"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
