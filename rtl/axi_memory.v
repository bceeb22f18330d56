// Behavioural AXI4 memory: in order, one beat a cycle, several bursts outstanding, optional random stalls and error
// responses. Checks the protocol and stops the simulation on a violation. Verilog-2005, for Icarus and Verilator.
//
// +latency=N        cycles from the AR handshake to the first beat (default 32, at least 2)
// +write_latency=N  cycles from the last W beat to B (default 8, at least 1)
// +stall=P          percent of cycles in which a channel pauses (default 0), +stall_seed=N
// +read_error_lo, +read_error_hi, +write_error_lo, +write_error_hi (hex byte addresses, hi exclusive), +error_resp=2|3
// +image=FILE       $readmemh file loaded from address 0
module axi_memory #(
    parameter DATA_BITS = 64,
    parameter LOG2_BYTES = 24
) (
    input wire clk,
    input wire rst,
    input wire inject,
    input wire [31:0] araddr,
    input wire [7:0] arlen,
    input wire [2:0] arsize,
    input wire [1:0] arburst,
    input wire arvalid,
    output wire arready,
    output reg [DATA_BITS-1:0] rdata,
    output reg [1:0] rresp,
    output reg rlast,
    output reg rvalid,
    input wire rready,
    input wire [31:0] awaddr,
    input wire [7:0] awlen,
    input wire [2:0] awsize,
    input wire [1:0] awburst,
    input wire awvalid,
    output wire awready,
    input wire [DATA_BITS-1:0] wdata,
    input wire [DATA_BITS/8-1:0] wstrb,
    input wire wlast,
    input wire wvalid,
    output wire wready,
    output reg [1:0] bresp,
    output reg bvalid,
    input wire bready
);
  localparam BYTES = DATA_BITS / 8;
  localparam SIZE = $clog2(BYTES);
  localparam WORDS = (1 << LOG2_BYTES) / BYTES;
  localparam DEPTH = 16;

  reg [DATA_BITS-1:0] mem[0:WORDS-1];

  reg [8*1024-1:0] image;
  integer latency, write_latency, stall, seed;
  reg [32:0] read_lo, read_hi, write_lo, write_hi;
  reg [1:0] error_resp;
  initial begin
    latency = 32;
    write_latency = 8;
    stall = 0;
    seed = 1;
    read_lo = 0;
    read_hi = 0;
    write_lo = 0;
    write_hi = 0;
    error_resp = 2;
    if ($value$plusargs("latency=%d", latency) && latency < 2) latency = 2;
    if ($value$plusargs("write_latency=%d", write_latency) && write_latency < 1) write_latency = 1;
    if ($value$plusargs("stall=%d", stall)) begin end
    if ($value$plusargs("stall_seed=%d", seed)) begin end
    if ($value$plusargs("read_error_lo=%h", read_lo)) begin end
    if ($value$plusargs("read_error_hi=%h", read_hi)) begin end
    if ($value$plusargs("write_error_lo=%h", write_lo)) begin end
    if ($value$plusargs("write_error_hi=%h", write_hi)) begin end
    if ($value$plusargs("error_resp=%d", error_resp)) begin end
    if ($value$plusargs("image=%s", image)) $readmemh(image, mem);
  end

  task violation(input [8*40-1:0] what);
    begin
      $display("AXI violation: %0s", what);
      $finish;
    end
  endtask

  // One pause bit per channel and cycle.
  reg [4:0] pause;
  integer k;
  initial pause = 0;
  always @(posedge clk)
    if (stall != 0)
      for (k = 0; k < 5; k = k + 1) pause[k] <= ($unsigned($random(seed)) % 100) < stall;

  reg [31:0] now;
  always @(posedge clk) now <= rst ? 0 : now + 1;

  // ---- read
  reg [31:0] ar_addr[0:DEPTH-1];
  reg [7:0] ar_len[0:DEPTH-1];
  reg [31:0] ar_due[0:DEPTH-1];
  reg [3:0] ar_put, ar_get;
  reg [4:0] ar_count;
  reg [7:0] beat;
  wire [31:0] r_addr = ar_addr[ar_get] + beat * BYTES;
  wire ar_take = arvalid && arready;
  wire r_go = ar_count != 0 && now + 1 >= ar_due[ar_get] && !pause[0] && (!rvalid || rready);
  wire r_end = r_go && beat == ar_len[ar_get];
  assign arready = ar_count != DEPTH && !pause[1];
  always @(posedge clk)
    if (rst) begin
      ar_put <= 0;
      ar_get <= 0;
      ar_count <= 0;
      beat <= 0;
      rvalid <= 0;
      rlast <= 0;
      rresp <= 0;
      rdata <= 0;
    end else begin
      ar_count <= ar_count + {4'b0, ar_take} - {4'b0, r_end};
      if (ar_take) begin
        ar_addr[ar_put] <= araddr;
        ar_len[ar_put] <= arlen;
        ar_due[ar_put] <= now + latency;
        ar_put <= ar_put + 1;
        if (arburst != 1 || arsize != SIZE) violation("read burst kind");
        if (araddr % BYTES != 0) violation("read alignment");
        if ((araddr & 4095) + (arlen + 1) * BYTES > 4096) violation("read burst crosses 4 KiB");
      end
      if (rready) rvalid <= 0;
      if (r_go) begin
        rvalid <= 1;
        rdata <= mem[r_addr[LOG2_BYTES-1:SIZE]];
        rresp <= inject && {1'b0, r_addr} >= read_lo && {1'b0, r_addr} < read_hi || (r_addr >> LOG2_BYTES) != 0 ? error_resp : 2'd0;
        rlast <= r_end;
        beat <= r_end ? 0 : beat + 1;
        if (r_end) ar_get <= ar_get + 1;
      end
    end

  // ---- write
  reg [31:0] aw_addr[0:DEPTH-1];
  reg [7:0] aw_len[0:DEPTH-1];
  reg [3:0] aw_put, aw_get;
  reg [4:0] aw_count;
  reg [7:0] w_beat;
  reg [31:0] b_due[0:DEPTH-1];
  reg b_bad[0:DEPTH-1];
  reg [3:0] b_put, b_get;
  reg [4:0] b_count;
  wire [31:0] w_addr = aw_addr[aw_get] + w_beat * BYTES;
  wire aw_take = awvalid && awready;
  wire w_take = wvalid && wready;
  wire w_end = w_take && w_beat == aw_len[aw_get];
  wire b_go = b_count != 0 && now + 1 >= b_due[b_get] && !pause[2] && (!bvalid || bready);
  wire w_bad = inject && {1'b0, w_addr} >= write_lo && {1'b0, w_addr} < write_hi || (w_addr >> LOG2_BYTES) != 0;
  reg burst_bad;
  integer i;
  assign awready = aw_count != DEPTH && !pause[3];
  assign wready = aw_count != 0 && b_count != DEPTH && !pause[4];
  always @(posedge clk)
    if (rst) begin
      aw_put <= 0;
      aw_get <= 0;
      aw_count <= 0;
      w_beat <= 0;
      b_put <= 0;
      b_get <= 0;
      b_count <= 0;
      bvalid <= 0;
      bresp <= 0;
      burst_bad <= 0;
    end else begin
      aw_count <= aw_count + {4'b0, aw_take} - {4'b0, w_end};
      b_count <= b_count + {4'b0, w_end} - {4'b0, b_go};
      if (aw_take) begin
        aw_addr[aw_put] <= awaddr;
        aw_len[aw_put] <= awlen;
        aw_put <= aw_put + 1;
        if (awburst != 1 || awsize != SIZE) violation("write burst kind");
        if (awaddr % BYTES != 0) violation("write alignment");
        if ((awaddr & 4095) + (awlen + 1) * BYTES > 4096) violation("write burst crosses 4 KiB");
      end
      if (w_take) begin
        if (wlast != w_end) violation("WLAST");
        if (!w_bad)
          for (i = 0; i < BYTES; i = i + 1)
            if (wstrb[i]) mem[w_addr[LOG2_BYTES-1:SIZE]][8*i+:8] <= wdata[8*i+:8];
        w_beat <= w_end ? 0 : w_beat + 1;
        burst_bad <= !w_end && (burst_bad || w_bad);
        if (w_end) begin
          aw_get <= aw_get + 1;
          b_due[b_put] <= now + write_latency;
          b_bad[b_put] <= burst_bad || w_bad;
          b_put <= b_put + 1;
        end
      end
      if (bready) bvalid <= 0;
      if (b_go) begin
        bvalid <= 1;
        bresp <= b_bad[b_get] ? error_resp : 2'd0;
        b_get <= b_get + 1;
      end
    end

  // ---- a valid transfer must wait unchanged for ready
  reg held_ar, held_aw, held_w;
  reg [39:0] last_ar, last_aw;
  reg [DATA_BITS-1:0] last_w;
  always @(posedge clk) begin
    held_ar <= !rst && arvalid && !arready;
    held_aw <= !rst && awvalid && !awready;
    held_w <= !rst && wvalid && !wready;
    last_ar <= {araddr, arlen};
    last_aw <= {awaddr, awlen};
    last_w <= wdata;
    if (!rst && held_ar && (!arvalid || last_ar != {araddr, arlen})) violation("AR changed before ARREADY");
    if (!rst && held_aw && (!awvalid || last_aw != {awaddr, awlen})) violation("AW changed before AWREADY");
    if (!rst && held_w && (!wvalid || last_w !== wdata)) violation("W changed before WREADY");
  end
endmodule
