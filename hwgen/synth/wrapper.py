"""A wrapper of few pins, so that a design with wide buses can be placed and routed by itself."""

from __future__ import annotations

import re

from hwgen.errors import HwgenError

WRAPPER = "hwgen_pins"
_PORT = re.compile(r"^\s*(input|output)\s+(?:wire\s+|reg\s+)?(?:\[(\d+):0\]\s+)?(\w+)\s*;", re.MULTILINE)


def ports(verilog: str, top: str) -> list[tuple[str, str, int]]:
    """Return (direction, name, bits) of the ports of module ``top``.

    Raises
    ------
    HwgenError
        When the text has no such module, or a module without ports.
    """
    body = re.search(rf"^module {top}\b.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    found = [(m[1], m[3], int(m[2] or 0) + 1) for m in _PORT.finditer(body[0])] if body else []
    if not found:
        raise HwgenError(f"the Verilog has no module {top} with ports")
    return found


def wrapper(verilog: str, top: str) -> str:
    """Return Verilog that drives every input of ``top`` from a shift register and shows every output through another.

    Both sides of each pin are registers of the same clock: every path of the design counts, none to a pin does. The
    wrapper adds a flip-flop for each input bit, two for each output bit and a multiplexer for each output bit.
    """
    found = [p for p in ports(verilog, top) if p[1] not in ("clk", "rst")]
    inputs = [(name, bits) for way, name, bits in found if way == "input"]
    outputs = [(name, bits) for way, name, bits in found if way == "output"]
    wide_in, wide_out = sum(b for _, b in inputs), sum(b for _, b in outputs)
    connections = [".clk(clk)", ".rst(rst_q)"]
    for bus, group in (("in_q", inputs), ("out", outputs)):
        at = 0
        for name, bits in group:
            connections.append(f".{name}({bus}[{at + bits - 1}:{at}])")
            at += bits
    joined = ",\n    ".join(connections)
    return f"""module {WRAPPER}(input clk, input rst, input si, input load, output so);
  reg rst_q;
  reg [{wide_in - 1}:0] in_q;
  wire [{wide_out - 1}:0] out;
  reg [{wide_out - 1}:0] out_q, shift_q;
  always @(posedge clk) begin
    rst_q <= rst;
    in_q <= {{in_q[{wide_in - 2}:0], si}};
    out_q <= out;
    shift_q <= load ? out_q : {{shift_q[{wide_out - 2}:0], 1'b0}};
  end
  assign so = shift_q[{wide_out - 1}];
  {top} dut(
    {joined}
  );
endmodule
"""


def box(verilog: str, top: str) -> str:
    """Return an empty module with the ports of ``top``, to map the wrapper around."""
    listed = ", ".join(f"{way} [{bits - 1}:0] {name}" for way, name, bits in ports(verilog, top))
    return f"(* blackbox *)\nmodule {top}({listed});\nendmodule\n"
