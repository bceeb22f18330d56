"""NumPy reference: rounding rules, operators, the graph executor and the machine executor."""
