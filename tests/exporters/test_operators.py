"""docs/operators.md says of each format what becomes of an operator, as the readers' own tables have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hwgen.model import onnx_check, onnx_remedies, tflite_preflight
from tests.exporters import document


def listed(operators: Iterable[str]) -> str:
    return ", ".join(f"`{op}`" for op in sorted(operators))


def where(rows: Mapping[str, Iterable[str]]) -> str:
    lines = (f"| {place} | {listed(ops)} |\n" for place, ops in rows.items())
    return "| where | operators |\n|---|---|\n" + "".join(lines)


def refused(remedies: Mapping[str, str], default: str) -> str:
    """Operators by what the message advises."""
    by_remedy: dict[str, list[str]] = {}
    for op, remedy in remedies.items():
        by_remedy.setdefault(remedy, []).append(op)
    rows = "".join(f"| {listed(ops)} | {remedy} |\n" for remedy, ops in sorted(by_remedy.items()))
    return f"| refused | advice |\n|---|---|\n{rows}| any other | {default} |\n"


def tflite() -> str:
    folded, host = set(tflite_preflight.FOLDED), set(tflite_preflight.HOST)
    device = {kind for kind in tflite_preflight.DEVICE if not kind.startswith("FLOAT ")} - host
    renamed = set(tflite_preflight.ALIASES)
    assert folded | host | device == set(tflite_preflight.SUPPORTED)
    return "### TFLite\n\n" + where({
        "machine": device - renamed, "nowhere: another view of the same values": renamed,
        "host, at the network's ends": host,
        "taken out: arithmetic of shapes, dilation": folded,
    }) + "\n" + refused(tflite_preflight.REMEDIES, tflite_preflight.DEFAULT_REMEDY)


def onnx() -> str:
    ends, same = onnx_check.QUANTIZE, onnx_check.SAME | onnx_check.LAYOUT
    device = onnx_check.SUPPORTED - ends - same - onnx_check.HEADS - onnx_check.TAILS
    refuses = {op: advice for op, advice in onnx_remedies.INSIDE.items() if op not in device}
    return "### ONNX\n\n" + where({
        "machine": device, "nowhere: another view of the same values": same,
        "scales of what is beside them; at the network's ends: host": ends,
        "host, at the network's beginning": onnx_check.HEADS, "host, at its end": onnx_check.TAILS,
    }) + "\n" + refused(refuses, onnx_remedies.DEFAULT)


def test_lists_of_operators() -> None:
    document.update("operators", lambda _: f"{tflite()}\n{onnx()}")
