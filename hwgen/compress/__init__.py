"""Compressors: from a trained float network to a quantised one, step by step."""
