"""Rewrites of ONNX networks that hold for every exporter: `constants` before the dialects are undone, those of `PASSES`
after it, `pads` on the graph that was read. What is computed stays the same, and so do the names of the file's tensors.
"""
