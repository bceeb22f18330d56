"""Verilog that Yosys wrote, shortened: text alone, without Amaranth, which takes long to import."""

from __future__ import annotations

import re

_INITIAL = re.compile(r"^  initial begin\n((?:    \S+ ?\[\d+\] = [^;\n]+;\n)+)  end\n", re.M)
_REPEATED = re.compile(r"^(  (?:input|output) ([^;\n]*;)\n)  wire \2\n", re.M)
_DUMMY = re.compile(r"\\\$auto\$verilog_backend\S* ")
DUMMY = "_always_"
_MODULE = re.compile(r"^module (\S+?) ?(\(.*?^endmodule\n\n?)", re.M | re.S)
_INSTANCE = re.compile(r"^  (\S+) +(\S+ +\($)", re.M)
_ROW = re.compile(r"^    (\S+ ?)\[(\d+)\] = ([^;\n]+);$", re.M)


def compact(text: str) -> str:
    """Shorten what Yosys writes without changing its meaning.

    An assignment per memory word becomes a loop where all words start with the same value: most of the text of a
    machine with large buffers, and most of the time that simulators need to compile it. Ports are declared once, and
    the dummy variable that makes combinational processes run at time 0 gets a short name. Equal modules are shared.
    """
    count = 0

    def loop(match: re.Match[str]) -> str:
        nonlocal count
        rows = _ROW.findall(match.group(1))
        memory, _, value = rows[0]
        regular = all(row == (memory, str(i), value) for i, row in enumerate(rows))
        if len(rows) < 4 or not regular:
            return match.group(0)
        count += 1
        return (
            f"  initial begin : init{count}\n    integer i;\n"
            f"    for (i = 0; i < {len(rows)}; i = i + 1) {memory}[i] = {value};\n  end\n"
        )

    text = _INITIAL.sub(loop, text)
    text = _REPEATED.sub(r"\1", text)
    return share(_DUMMY.sub(f"{DUMMY} ", text))


def share(text: str) -> str:
    """Keep one of several modules that differ in name only, children first, and instantiate that one."""
    while same := _twins(text):
        text = _rename(text, same)
    return text


def _twins(text: str) -> dict[str, str]:
    """Return module name -> name of an equal module earlier in ``text``."""
    first: dict[str, str] = {}
    return {n: first[body] for n, body in _MODULE.findall(text) if first.setdefault(body, n) != n}


def _rename(text: str, same: dict[str, str]) -> str:
    """Drop the modules that are keys of ``same`` and instantiate the values."""
    text = _MODULE.sub(lambda m: "" if m.group(1) in same else m.group(0), text)
    return _INSTANCE.sub(lambda m: f"  {same.get(m.group(1), m.group(1))} {m.group(2)}", text)
