"""Simulation: runner of the cocotb benches, bus models, network runs. Imported as ``hwgen.sim``."""
