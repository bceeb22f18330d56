"""What is measured, and what it has to reach: networks, presets, limits and published figures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Benchmark:
    """One network on one preset. ``must`` and ``aim`` are cycles; ``published`` is for scale."""

    network: str
    model: str
    preset: str
    must: int | None = None
    aim: int | None = None
    published: str = ""


BENCHMARKS: tuple[Benchmark, ...] = (
    Benchmark("ResNet-8", "resnet8_int8.tflite", "base", 230_000, 205_000, "227.8 k with 162 multipliers (GAP9)"),
    Benchmark("DS-CNN", "dscnn_kws_int8.tflite", "base", 58_000, 47_000, "175.9 k (GAP9), 46.3 k with 188 DSPs"),
    Benchmark(
        "MobileNetV1-0.25",
        "mobilenetv1_025_vww_int8.tflite",
        "base",
        160_000,
        135_000,
        "416.2 k (GAP9), 144.1 k with 564 DSPs",
    ),
    Benchmark("autoencoder", "autoencoder_ad_int8.tflite", "base", 40_000, 36_000, "65.0 k (GAP9)"),
    Benchmark("wide ResNet-8", "resnet8_large_int8.tflite", "base"),
    Benchmark("streaming wake word", "streaming_wakeword_int8.tflite", "base"),
    Benchmark("ResNet-8", "resnet8_int8.tflite", "large", 65_000, 56_000),
    Benchmark("MobileNetV1-0.25", "mobilenetv1_025_vww_int8.tflite", "large", 60_000, 50_000),
    Benchmark("ResNet-8", "resnet8_int8.tflite", "tiny"),
    Benchmark("ResNet-8", "resnet8_int8.tflite", "small"),
)
"""Measured on one input, from the start write to the interrupt; memory of 32 cycles read latency, one beat a cycle."""

MODEL_TOLERANCE, LAYER_TOLERANCE, LAYER_CYCLES = 0.02, 0.03, 40
"""How far prediction and measurement may be apart: in total; for a layer, relative or in cycles, whichever is more."""
