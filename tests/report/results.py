"""A verification's JSON with known figures."""

from __future__ import annotations

from typing import Any

from hwgen.config import Config


def result(cycles: int = 1000, predicted: int = 990, bit_exact: bool = True) -> dict[str, Any]:
    layers = [
        {
            "name": "conv<1>",
            "op": "Conv",
            "mapping": "pixel",
            "cycles": cycles - 100,
            "predicted": predicted - 100,
            "macs": 6400,
            "utilisation": 6400 / 8 / (cycles - 100),
            "mismatches": 0,
            "detail": "",
            "zeros": None,
        },
        {
            "name": "add",
            "op": "Add",
            "mapping": "elementwise",
            "cycles": 100,
            "predicted": 100,
            "macs": 0,
            "utilisation": 0.0,
            "mismatches": 0,
            "detail": "",
            "zeros": None,
        },
    ]
    return {
        "model": "net.onnx",
        "config": Config(name="tiny", rows=1, columns=1).to_dict(),
        "bit_exact": bit_exact,
        "mismatches": 0 if bit_exact else 3,
        "examples": [] if bit_exact else ["conv<1> tile 2 (0, 1, 3): expected 5, got 6"],
        "failures": [],
        "cycles": {"total": cycles, "predicted": predicted, "layers": layers},
        "macs": 6400,
        "multipliers": 8,
        "utilisation": 6400 / 8 / cycles,
        "bytes": {"read": 5000, "written": 64},
        "images": 2,
        "zeros": None,
        "stages": {"generating Verilog": 12.0, "building": 0.0},
        "sim": {"name": "icarus", "version": "Icarus 11", "build_s": 0.1, "run_s": 2.0, "cycles_per_s": 500.0},
        "reference": {"name": "ONNX Runtime", "equal": True, "summary": "10 values"},
    }
