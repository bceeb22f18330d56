"""The pin wrapper: every port is connected, every input bit is driven, every output bit comes out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.synth.wrapper import WRAPPER, box, ports, wrapper

DESIGN = """(* top = 1 *)
module thing(clk, rst, a, b, x, y);
  input clk;
  wire clk;
  input rst;
  input [4:0] a;
  wire [4:0] a;
  input b;
  output [6:0] x;
  output y;
  assign x = {rst, b, a};
  assign y = ^a;
endmodule

module thingy(clk, other);
  input clk;
  input other;
endmodule
"""

BENCH = f"""module bench;
  reg clk = 0, rst = 0, si = 0, load = 0; wire so;
  {WRAPPER} dut(clk, rst, si, load, so);
  reg [5:0] inputs; reg [7:0] got; integer value, i;
  initial begin
    for (value = 0; value < 64; value = value + 1) begin
      inputs = value;
      for (i = 5; i >= 0; i = i - 1) begin si = inputs[i]; #1 clk = 1; #1 clk = 0; end
      // the inputs shift on while the outputs of this moment are caught and read
      #1 clk = 1; #1 clk = 0; load = 1; #1 clk = 1; #1 clk = 0; load = 0;
      for (i = 7; i >= 0; i = i - 1) begin got[i] = so; #1 clk = 1; #1 clk = 0; end
      if (got !== {{^inputs[4:0], 1'b0, inputs[5:0]}}) begin $display("FAILED %b %b", inputs, got); $finish; end
    end
    $display("PASSED");
  end
endmodule
"""


def test_ports_of_the_named_module() -> None:
    assert ports(DESIGN, "thing") == [
        ("input", "clk", 1),
        ("input", "rst", 1),
        ("input", "a", 5),
        ("input", "b", 1),
        ("output", "x", 7),
        ("output", "y", 1),
    ]


def test_box_has_the_same_ports() -> None:
    start = "(* blackbox *)\nmodule thing(input [0:0] clk, input [0:0] rst, input [4:0] a,"
    assert box(DESIGN, "thing").startswith(start)


def test_unknown_module() -> None:
    with pytest.raises(HwgenError, match="no module thin with ports"):
        ports(DESIGN, "thin")


def test_values_pass_through_the_pins(tmp_path: Path) -> None:
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    (tmp_path / "all.v").write_text(DESIGN + wrapper(DESIGN, "thing") + BENCH)
    subprocess.run(["iverilog", "-g2012", "-s", "bench", "-o", "b.vvp", "all.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "b.vvp"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "PASSED"
