"""``hwgen presets``: the named machines and their sizes."""

from __future__ import annotations

from hwgen.commands.files import check_target, write_json
from hwgen.commands.options import Json
from hwgen.commands.output import print_table
from hwgen.derive import Derived
from hwgen.presets import PRESETS
from hwgen.tables import new_table


def presets(json: Json = None) -> None:
    """List the named machines."""
    check_target(json)
    headings = (
        "multipliers",
        "rows x columns x vector",
        "weight x act bits",
        "buffers KiB (act, weight, param)",
        "AXI bits",
        "results a cycle",
    )
    table = new_table("Presets", ("preset",), headings)
    for name, c in PRESETS.items():
        table.add_row(
            name,
            str(Derived(c).multipliers),
            f"{c.rows} x {c.columns} x {c.vector}",
            f"{c.weight_bits} x {c.act_bits}",
            f"{c.act_kib}, {c.weight_kib}, {c.param_kib}",
            str(c.axi_bits),
            str(c.post_width),
        )
    print_table(table)
    write_json(json, {name: {"config": c.to_dict(), "derived": Derived(c).to_dict()} for name, c in PRESETS.items()})
