"""What exporters write that is not plain QuantizeLinear / DequantizeLinear around standard operators, rewritten so.

A pass is a file with a function ``rewrite(net) -> list of Node``. Names of the file's tensors are kept: the reference
runs the file itself, and its tensors are compared by name.
"""

from __future__ import annotations

from collections.abc import Callable

from hwgen.model.onnx_dialects import gemm, qcdq, qonnx, qoperator
from hwgen.model.onnx_dialects.network import Network
from hwgen.model.onnx_node import Node

DIALECTS: tuple[Callable[[Network], list[Node]], ...] = (qoperator.rewrite, qonnx.rewrite, qcdq.rewrite, gemm.rewrite)
"""In the order in which they are applied."""
