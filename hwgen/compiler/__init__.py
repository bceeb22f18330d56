"""The compiler: a quantised graph and a configuration to commands and a memory image."""

from hwgen.compiler.build import compile_graph
from hwgen.compiler.program import LayerPlan, Program

__all__ = ["LayerPlan", "Program", "compile_graph"]
