"""Names that layers may have, each of which is something else to one of those who print them."""

from __future__ import annotations

from pathlib import Path

import onnx

NAMES = (
    "[/b]",
    "[bold]x",
    "<b>&amp;</b>",
    "with spaces, \"quotes\" and 'more'",
    "$a_{$ of $1",
    "_hidden",
    ":smile: | a\\b `c` *d*",
    "long" + "/part" * 60,
    "größe",
    "{{ 7 * 7 }} %s {0}",
)

LAYERS = ("Conv", "Gemm", "MatMul")


def rename(model: Path, target: Path, first: int) -> list[str]:
    """Write an ONNX network again, its nodes and what they write under nasty names; return those of its layers, which
    begin with name number ``first``."""
    network = onnx.load(model)
    renamed = {}
    fixed = {value.name for value in [*network.graph.input, *network.graph.output]}
    layers: list[str] = []
    for number, node in enumerate(network.graph.node):
        node.name = f"{NAMES[number % len(NAMES)]} {number}"
        if node.op_type in LAYERS:
            node.name = NAMES[(first + len(layers)) % len(NAMES)]
            layers.append(node.name)
        renamed |= {out: f"{node.name} {i}" for i, out in enumerate(node.output) if out not in fixed}
    for node in network.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    del network.graph.value_info[:]
    onnx.save(network, target)
    return layers
