"""Spoil what a lane reads from a word of block RAM in the cycle in which it is written: nothing may depend on it."""

from __future__ import annotations

import re

_MEMORY = re.compile(
    r"(?P<writes>(?:\n    if \([^\n]+\)\n\s+\w+\[[^\n]+\] <= [^\n]+;)+)\n  end\n"
    r"  reg \[(?P<top>\d+):0\] (?P<reg>_\d+_);\n  always @\(posedge clk\) begin\n(?:\s+if \([^\n]+\) begin\n)?"
    r"\s+(?P=reg) <= (?P<read>\w+\[(?P<addr>[^\n]+)\]);")
_WRITE = re.compile(r"if \((.+)\)\n\s+\w+\[(.+?)\](?:\[\d+:\d+\])? <= ")


def spoil(verilog: str, unknown: bool = True) -> str:
    """Return the text of a lane that reads X from a word that is written, as ``no_rw_check`` allows.

    A word counts as a whole where only some of its bytes are written.

    Parameters
    ----------
    verilog : str
    unknown : bool
        Otherwise the answer is the complement of the word, for simulators of two states.
    """

    def spoilt(found: re.Match[str]) -> str:
        old = f"{found['reg']} <= {found['read']};"
        clash = " || ".join(f"({en}) && ({addr}) == ({found['addr']})" for en, addr in _WRITE.findall(found["writes"]))
        value = f"{int(found['top']) + 1}'bx" if unknown else f"~{found['read']}"
        return found[0].replace(old, f"{found['reg']} <= {clash} ? {value} : {found['read']};")

    text, count = _MEMORY.subn(spoilt, verilog)
    assert count == verilog.count("no_rw_check") > 0
    return text
