"""The named machines."""

from __future__ import annotations

from hwgen.config import WEIGHT_FORMATS, Config
from hwgen.errors import HwgenError

PRESETS: dict[str, Config] = {c.name: c for c in (
    # Two lanes of 4 and half a post-processor are smaller than one lane of 8; 28 bits hold the sum of 4,000 products.
    Config(name="tiny", rows=2, columns=1, vector=4, acc_bits=28, wmem_words=256, amem_words=256, segments=32,
           acc_vectors=64, act_kib=16, weight_kib=8, param_kib=1, banks=2, axi_bits=32, post_width=4, queue=4,
           mappings=("channel", "depthwise")),
    Config(name="small", rows=2, columns=2, acc_vectors=256, act_kib=32, weight_kib=32, param_kib=2),
    Config(name="base"),
    # Weights with a zero point: uint8.
    Config(name="base-u8", weight_bits=9),
    Config(name="base-sparse", skip="both", weight_formats=WEIGHT_FORMATS, codebook=256),
    # One multiplier a lane: any zero of either operand is skipped. Sixteen: they share the positions.
    Config(name="sparse-fine", skip="both", rows=8, columns=8, vector=1, mappings=("channel", "depthwise"), banks=8,
           weight_formats=WEIGHT_FORMATS, codebook=256),
    Config(name="sparse-block", skip="both", rows=2, columns=2, vector=16, post_width=16,
           weight_formats=WEIGHT_FORMATS, codebook=256),
    Config(name="large", rows=8, columns=4, act_kib=128, weight_kib=128, param_kib=8, banks=8, axi_bits=128,
           outstanding=8, post_width=16),
    Config(name="huge", rows=16, columns=8, act_kib=256, weight_kib=256, param_kib=16, banks=16, axi_bits=256,
           outstanding=8, post_width=32),
)}


def preset(name: str) -> Config:
    """Return the preset called ``name``; raises HwgenError listing the names."""
    if name not in PRESETS:
        raise HwgenError(f"preset must be one of {', '.join(PRESETS)}, not {name!r}")
    return PRESETS[name]
