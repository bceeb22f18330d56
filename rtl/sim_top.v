// Network run without a testbench language: clock, reset, register driver, memory, trace and dump.
//
// +commands=HEX +count=N   command stream            +timeout=N      cycles until the run is given up
// +result=FILE             registers and cycles      +trace=FILE     commands entering (I) and leaving (R) modules
// +dump=FILE +dump_lo=HEX +dump_hi=HEX               memory after the run, word addresses, hi inclusive
// +watchdog=N              watchdog register         +soft_reset_at=N  soft reset N cycles after the start, then run again
// +retry                   after an error: soft reset, no more injected errors, run again
// +waves=FILE +waves_from=N +waves_to=N              signals of these cycles after the start
`timescale 1ns / 1ps
module sim_top #(
    parameter DATA_BITS = 64,
    parameter LOG2_BYTES = 24,
    parameter COUNTER_WORDS = 20,
    parameter PIPES = 1,
    parameter WORD_BYTES = 8
);
  reg clk, rst, inject;
  initial clk = 0;
  always #5 clk = ~clk;

  reg [7:0] awaddr, araddr;
  reg [31:0] wdata;
  reg awvalid, wvalid, bready, arvalid, rready;
  wire awready, wready, bvalid, arready, rvalid, irq;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata;

  wire [31:0] m_araddr, m_awaddr;
  wire [7:0] m_arlen, m_awlen;
  wire [2:0] m_arsize, m_awsize;
  wire [1:0] m_arburst, m_awburst, m_rresp, m_bresp;
  wire m_arvalid, m_arready, m_rlast, m_rvalid, m_rready, m_awvalid, m_awready, m_wlast, m_wvalid, m_wready, m_bvalid, m_bready;
  wire [DATA_BITS-1:0] m_rdata, m_wdata;
  wire [DATA_BITS/8-1:0] m_wstrb;

  hwgen_top dut (
      .clk(clk), .rst(rst), .irq(irq),
      .s_axi_awaddr(awaddr), .s_axi_awprot(3'b0), .s_axi_awvalid(awvalid), .s_axi_awready(awready),
      .s_axi_wdata(wdata), .s_axi_wstrb(4'hf), .s_axi_wvalid(wvalid), .s_axi_wready(wready),
      .s_axi_bresp(bresp), .s_axi_bvalid(bvalid), .s_axi_bready(bready),
      .s_axi_araddr(araddr), .s_axi_arprot(3'b0), .s_axi_arvalid(arvalid), .s_axi_arready(arready),
      .s_axi_rdata(rdata), .s_axi_rresp(rresp), .s_axi_rvalid(rvalid), .s_axi_rready(rready),
      .m_axi_awid(), .m_axi_awaddr(m_awaddr), .m_axi_awlen(m_awlen), .m_axi_awsize(m_awsize), .m_axi_awburst(m_awburst),
      .m_axi_awcache(), .m_axi_awprot(), .m_axi_awvalid(m_awvalid), .m_axi_awready(m_awready),
      .m_axi_wdata(m_wdata), .m_axi_wstrb(m_wstrb), .m_axi_wlast(m_wlast), .m_axi_wvalid(m_wvalid), .m_axi_wready(m_wready),
      .m_axi_bid(1'b0), .m_axi_bresp(m_bresp), .m_axi_bvalid(m_bvalid), .m_axi_bready(m_bready),
      .m_axi_arid(), .m_axi_araddr(m_araddr), .m_axi_arlen(m_arlen), .m_axi_arsize(m_arsize), .m_axi_arburst(m_arburst),
      .m_axi_arcache(), .m_axi_arprot(), .m_axi_arvalid(m_arvalid), .m_axi_arready(m_arready),
      .m_axi_rid(1'b0), .m_axi_rdata(m_rdata), .m_axi_rresp(m_rresp), .m_axi_rlast(m_rlast), .m_axi_rvalid(m_rvalid),
      .m_axi_rready(m_rready));

  axi_memory #(.DATA_BITS(DATA_BITS), .LOG2_BYTES(LOG2_BYTES)) memory (
      .clk(clk), .rst(rst), .inject(inject),
      .araddr(m_araddr), .arlen(m_arlen), .arsize(m_arsize), .arburst(m_arburst), .arvalid(m_arvalid), .arready(m_arready),
      .rdata(m_rdata), .rresp(m_rresp), .rlast(m_rlast), .rvalid(m_rvalid), .rready(m_rready),
      .awaddr(m_awaddr), .awlen(m_awlen), .awsize(m_awsize), .awburst(m_awburst), .awvalid(m_awvalid), .awready(m_awready),
      .wdata(m_wdata), .wstrb(m_wstrb), .wlast(m_wlast), .wvalid(m_wvalid), .wready(m_wready),
      .bresp(m_bresp), .bvalid(m_bvalid), .bready(m_bready));

  // ---- options
  integer file, trace, count, timeout, watchdog, soft_reset_at, waves_from, waves_to, i, limit, runs;
  reg [31:0] commands, dump_lo, dump_hi, value, low;
  reg [8*1024-1:0] result_name, trace_name, dump_name, waves_name;
  reg tracing, waving, again;
  reg [31:0] cycle, start_cycle, end_cycle, reset_cycle;
  initial cycle = 0;
  always @(posedge clk) cycle <= cycle + 1;

  // Set by a clocked process: a process with delays would make Verilator evaluate all logic behind it three times a cycle.
  initial rst = 1;
  always @(posedge clk) rst <= cycle < 4;

  // Everything here acts on the falling edge: what a process sees right after a rising edge differs between simulators.
  task lite_write(input [7:0] address, input [31:0] word);
    begin
      awaddr = address;
      wdata = word;
      awvalid = 1;
      wvalid = 1;
      #1;
      while (!(awready && wready)) begin
        @(negedge clk);
        #1;
      end
      @(negedge clk);
      start_cycle = cycle - 1;
      awvalid = 0;
      wvalid = 0;
      bready = 1;
      #1;
      while (!bvalid) begin
        @(negedge clk);
        #1;
      end
      if (bresp != 0) $display("AXI-Lite write error at %h", address);
      @(negedge clk);
      bready = 0;
    end
  endtask

  task lite_read(input [7:0] address);
    begin
      araddr = address;
      arvalid = 1;
      #1;
      while (!arready) begin
        @(negedge clk);
        #1;
      end
      @(negedge clk);
      arvalid = 0;
      rready = 1;
      #1;
      while (!rvalid) begin
        @(negedge clk);
        #1;
      end
      value = rdata;
      if (rresp != 0) $display("AXI-Lite read error at %h", address);
      @(negedge clk);
      rready = 0;
    end
  endtask

  task soft_reset;
    begin
      lite_write(8'h20, 32'h6);
      lite_read(8'h24);
      while (value[0]) lite_read(8'h24);
    end
  endtask

  initial begin
    inject = 1;
    awvalid = 0;
    wvalid = 0;
    bready = 0;
    arvalid = 0;
    rready = 0;
    awaddr = 0;
    araddr = 0;
    wdata = 0;
    tracing = 0;
    count = 0;
    commands = 0;
    timeout = 100000000;
    watchdog = 0;
    soft_reset_at = 0;
    start_cycle = 0;
    reset_cycle = 0;
    runs = 0;
    dump_lo = 1;
    dump_hi = 0;
    if (!$value$plusargs("commands=%h", commands)) $display("no +commands");
    if (!$value$plusargs("count=%d", count)) $display("no +count");
    if ($value$plusargs("timeout=%d", timeout)) begin end
    if ($value$plusargs("watchdog=%d", watchdog)) begin end
    if ($value$plusargs("soft_reset_at=%d", soft_reset_at)) begin end
    if (!$value$plusargs("result=%s", result_name)) result_name = "result.txt";
    file = $fopen(result_name, "w");
    repeat (6) @(negedge clk);
    lite_write(8'h30, commands);
    lite_write(8'h34, count);
    lite_write(8'h38, watchdog);
    again = 1;
    while (again) begin
      again = 0;
      runs = runs + 1;
      lite_write(8'h20, 32'h5);
      tracing = runs > 1 || soft_reset_at == 0;
      limit = soft_reset_at != 0 && runs == 1 ? soft_reset_at : timeout;
      while (!irq && cycle - start_cycle < limit) @(negedge clk);
      end_cycle = cycle;
      low = start_cycle;
      tracing = 0;
      if (!irq && limit == soft_reset_at) begin
        reset_cycle = cycle;
        soft_reset;
        $fdisplay(file, "soft_reset_cycles %0d", cycle - reset_cycle);
        again = 1;
      end else if (irq) begin
        lite_read(8'h24);
        if (value[2] && runs == 1 && $test$plusargs("retry")) begin
          lite_read(8'h28);
          $fdisplay(file, "first_error %0d", value);
          inject = 0;
          soft_reset;
          again = 1;
        end
      end
    end
    start_cycle = low;
    $fdisplay(file, "irq %0d", irq);
    $fdisplay(file, "cycles %0d", end_cycle - start_cycle);
    lite_read(8'h24);
    $fdisplay(file, "status %0d", value);
    lite_read(8'h28);
    $fdisplay(file, "error %0d", value);
    for (i = 0; i < COUNTER_WORDS; i = i + 1) begin
      lite_read(8'h40 + 4 * i);
      $fdisplay(file, "word%0d %0d", i, value);
    end
    $fclose(file);
    if ($value$plusargs("dump=%s", dump_name)) begin
      if (!$value$plusargs("dump_lo=%h", dump_lo)) $display("no +dump_lo");
      if (!$value$plusargs("dump_hi=%h", dump_hi)) $display("no +dump_hi");
      $writememh(dump_name, memory.mem, dump_lo, dump_hi);
    end
    $finish;
  end

  // ---- trace
  initial begin
    trace = 0;
    if ($value$plusargs("trace=%s", trace_name)) trace = $fopen(trace_name, "w");
  end
  integer n;
  always @(posedge clk)
    if (trace != 0 && (dut.sequencer.trace_issue | dut.sequencer.trace_retire) != 0)
      for (n = 0; n < 6; n = n + 1) begin
        if (dut.sequencer.trace_retire[n])
          $fdisplay(trace, "R %0d %0d %0d %0d", runs, n, dut.sequencer.trace_index[24*n+:24], cycle - start_cycle);
        if (dut.sequencer.trace_issue[n]) $fdisplay(trace, "I %0d %0d 0 %0d", runs, n, cycle - start_cycle);
      end

  integer k;
  always @(posedge clk)
    if (trace != 0 && dut.trace_result_valid != 0)
      for (k = 0; k < PIPES; k = k + 1)
        if ((dut.trace_result_valid >> k) & 1)
          $fdisplay(trace, "W %0d %0d %0d %h %h", runs, k, dut.trace_result_addr[20*k+:20],
                    dut.trace_result_mask[WORD_BYTES*k+:WORD_BYTES], dut.trace_result_data[8*WORD_BYTES*k+:8*WORD_BYTES]);

  // ---- waves
  initial begin
    waving = $value$plusargs("waves=%s", waves_name);
    waves_from = 0;
    waves_to = 100000000;
    if ($value$plusargs("waves_from=%d", waves_from)) begin end
    if ($value$plusargs("waves_to=%d", waves_to)) begin end
    if (waving) begin
      $dumpfile(waves_name);
      @(posedge tracing);
      while (cycle - start_cycle < waves_from) @(negedge clk);
      $dumpvars(0, dut);
      while (cycle - start_cycle < waves_to) @(negedge clk);
      $dumpoff;
    end
  end
endmodule
