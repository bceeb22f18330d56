"""Size and speed of a machine on an FPGA: Yosys and nextpnr as PyPI ships them."""

from hwgen.synth.flow import TARGETS, SynthResult, synthesise

__all__ = ["TARGETS", "SynthResult", "synthesise"]
