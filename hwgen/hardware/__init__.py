"""Amaranth components of the accelerator, one unit a file."""
