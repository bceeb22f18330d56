"""Networks with QuantizeLinear and DequantizeLinear by hand: what a quantiser would decide, a test decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from tests.model.onnx_networks import Net


class Qdq(Net):
    """A network node by node; the first map is ``x``."""

    def integers(self, *numbers: int) -> str:
        return self.constant(numbers, np.int64)

    def quantised(self, source: str, scale: float, zero: int = 0, kind: type = np.int8) -> str:
        """The value after QuantizeLinear and DequantizeLinear."""
        s, z = self.constant(scale), self.constant(zero, kind)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", source, s, z), s, z)

    def weights(self, *shape: int, low: int = -127) -> str:
        """A quantised constant of about -1 to 1, with a scale for each output channel."""
        values = self.constant(self.rng.integers(low, 128, shape), np.int8)
        count = shape[0]
        scales = self.constant(self.rng.uniform(0.5, 1, count) / 127 / np.sqrt(np.prod(shape[1:])))
        return self.node("DequantizeLinear", values, scales, self.constant(np.zeros(count), np.int8), axis=0)

    def several(self, kind: str, outputs: int, *inputs: str, **attrs: Any) -> list[str]:
        """A node of several outputs."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind.lower()}{len(self.nodes)}", **attrs))
        return names

    def save(self, path: Path, output: str, *, batch: int | str = 1, opset: int = 17) -> Path:
        model = self.model(output, batch=batch)
        model.opset_import[0].version = opset
        onnx.save(model, path)
        return path
