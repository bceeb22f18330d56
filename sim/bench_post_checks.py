"""cocotb bench of POST: cycles as `hwgen.timing` says, and every error."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cocotb

from hwgen import isa, timing
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.sim.bench_post import Bench, configuration
from hwgen.sim.post_model import Stream, command, payload


def plain(config: Config, **quant: int) -> list[isa.Command]:
    """Settings under which nothing is dropped: one lane, vectors in a row, one parameter block."""
    ones = [command("PO_LEVEL", level=i, count=1) for i in range(7)]
    return [*ones, command("PO_QUANT", height=1, width=1, qmin=-128, qmax=127, nudge=1, final=1, cc_valid=63, **quant),
            command("PO_SCALAR", multiplier=1 << 30, shift=8), command("PO_PIPE", da=100), command("PO_ADD")]


@cocotb.test()
async def cycles(dut: Any) -> None:
    """Rates, start, tail and gaps of `hwgen.timing`."""
    config = configuration()
    d, block, vector = Derived(config), Derived(config).param_block, config.vector
    bench = Bench(dut, Stream(config, 1), 0.0)
    await bench.start()
    await bench.run(plain(config))

    async def measure(*commands: isa.Command) -> tuple[list[int], int, int]:
        """Cycles of the reads, of the first command's offer, and of the last done."""
        for _ in range(40):
            await bench.step()
        bench.issued[0].clear()
        bench.fetched.clear()
        offered = bench.cycle + 1
        await bench.run(list(commands))
        return bench.issued[0] or bench.fetched, offered, bench.finished[-1][0]

    def periods(cycles: list[int], items: int) -> set[int]:
        return {b - a for a, b in zip(cycles[::items], cycles[items::items], strict=False)}

    drain = command("DRAIN", mask=(1 << vector) - 1)
    for items in (1, 8, 60):
        await bench.run([command("PO_LEVEL", level=6, count=items, da=1)])
        issued, offered, done = await measure(drain)
        assert issued == list(range(offered + timing.POST_START + block, offered + timing.POST_START + block + items))
        assert done - issued[-1] == timing.POST_TAIL
        issued, _, _ = await measure(*[drain] * 6)
        assert periods(issued, items) == {max(items + timing.POST_GAP, block + timing.POST_BLOCK)}, (items, issued)
    # Four lanes with a parameter block each, or two; all pipes together or one after the other.
    await bench.run([command("PO_LEVEL", level=1, count=min(2, config.rows), dp=block, da=1),
                     command("PO_LEVEL", level=0, count=min(2, config.columns // d.pipes), dp=block, da=1)])
    for step, passes in ((0, 1), (block, d.pipes)):
        await bench.run([command("PO_PIPE", da=100, dp=step)])
        for items in (1, 4, 24):
            await bench.run([command("PO_LEVEL", level=6, count=items, da=1)])
            issued, _, _ = await measure(drain)
            assert periods(issued, items) == {max(items, block * passes + timing.POST_BLOCK)}, (step, items, issued)
    await bench.run(plain(config))
    await bench.run([command("PO_LEVEL", level=6, count=60, da=1), command("PO_SOURCE", level=6, ds=1)])
    for add in (0, 1) if "add" in config.operators else (0,):
        operands = command("PO_ADD", add=add, multiplier_b=1 << 30)
        issued, offered, done = await measure(operands, command("ELTWISE", a=0, b=64, out=128, mask=(1 << vector) - 1))
        assert issued[0] - offered == (timing.ADD_TABLE if add else timing.POST_START + timing.POST_SET) + block
        assert issued[-1] - issued[0] == 59 and done - issued[-1] == timing.ELTWISE_TAIL
        issued, offered, _ = await measure(operands, command("ELTWISE", a=0, b=64, out=128, mask=(1 << vector) - 1))
        assert issued[0] - offered == timing.POST_START + timing.POST_SET + block  # the table is there already
    bench.accepted.clear()
    await bench.run(plain(config))
    assert {b - a for a, b in pairwise(bench.accepted)} == {timing.POST_SET}
    if "pixel" in config.mappings:
        for dp in (0, block):
            await bench.run(plain(config, transpose=1))
            await bench.run(
                [command("PO_LEVEL", level=4, count=3, dp=dp, da=1), command("PO_LEVEL", level=6, count=vector, da=1)]
            )
            issued, _, done = await measure(drain)
            assert periods(issued, vector) == {max(vector, block + timing.POST_BLOCK if dp else 0)}, (dp, issued)
            assert done - issued[-1] == timing.POST_TAIL + vector


@cocotb.test()
async def errors(dut: Any) -> None:
    """Every check: the code, the commands before it done, the results before it written, none after it."""
    config = configuration()
    d, vector, pixel = Derived(config), config.vector, "pixel" in config.mappings
    vectors, full = d.act_words * d.vectors_per_word, (1 << config.vector) - 1
    stream = Stream(config, 1)
    setup = [*plain(config), command("PO_PIPE")]
    drain, pair = {"mask": full}, {"mask": full, "out": 50, "a": 10, "b": 20}
    level, quant = command("PO_LEVEL", level=6, count=4, da=1), {"height": 1, "width": 1, "qmax": 127, "cc_valid": 63}
    cases: list[tuple[int, list[isa.Command], int]] = [  # code, last of them fails, vectors written before
        (1, [command("PO_LEVEL", level=7, count=1)], 0),
        (1, [command("PO_LEVEL", level=0, count=0)], 0),
        (1, [command("PO_SOURCE", level=3)], 0),
        (1, [command("PO_QUANT", final=3)], 0),
        (1, [command("PO_QUANT", log2_rc=config.rows.bit_length())], 0),
        (1, [command("PO_QUANT", log2_cc=config.columns.bit_length())], 0),
        (1, [command("PO_SCALAR", shift=40), command("ELTWISE", **pair)], 0),
        (1, [command("PO_SCALAR", shift=63), command("PO_QUANT", scalar=1, **quant), command("DRAIN", **drain)], 0),
        (
            1,
            [
                command("PO_LEVEL", level=5, count=3),
                command("PO_QUANT", transpose=1, **quant),
                command("DRAIN", **drain),
            ],
            0,
        ),
        (3, [level, command("DRAIN", a0=vectors - 1, **drain)], 1),
        (3, [level, command("DRAIN", a0=-1, **drain)], 0),
        (3, [level, command("DRAIN", acc_base=config.acc_vectors - 3, **drain)], 3),
        (3, [command("DRAIN", param=d.param_words - d.param_block + 1, **drain)], 0),
        (3, [command("PO_LEVEL", level=0, count=2, dp=-1, da=1), level, command("DRAIN", **drain)], 4),
        (3, [command("PO_LEVEL", level=3, count=config.rows + 1, da=1), command("DRAIN", **drain)], config.rows),
        (
            3,
            [command("PO_LEVEL", level=2, count=config.columns // d.pipes + 1, da=1), command("DRAIN", **drain)],
            config.columns // d.pipes,
        ),
        (3, [level, command("ELTWISE", **pair | {"out": vectors - 2})], 2),
        (3, [level, command("PO_SOURCE", level=6, ds=1), command("ELTWISE", **pair | {"a": vectors - 3})], 3),
        (3, [level, command("PO_SOURCE", level=6, ds=-1), command("ELTWISE", **pair | {"a": 0})], 1),
    ]
    if pixel:
        cases += [
            (
                3,
                [
                    command("PO_QUANT", transpose=1, **quant),
                    command("PO_LEVEL", level=6, count=vector, da=1),
                    command("DRAIN", a0=vectors - 3, **drain),
                ],
                3,
            ),
            (
                3,
                [
                    command("PO_QUANT", transpose=1, **quant),
                    command("PO_LEVEL", level=6, count=vector, da=1),
                    command("PO_LEVEL", level=4, count=2, da=1),
                    command("DRAIN", acc_base=config.acc_vectors - vector - 1, **drain),
                ],
                vector + 1,
            ),
        ]
    if "add" in config.operators:
        cases.append((3, [level, command("PO_SOURCE", level=6, ds=1), command("PO_ADD", add=1),
                          command("ELTWISE", **pair | {"b": vectors - 3})], 3))
    else:
        cases.append((1, [command("PO_ADD", add=1), command("ELTWISE", **pair)], 0))
    raw = [payload(c) for c in setup]
    for operation in (0, *range(9, 16)):
        cases.append((1, [], operation))
    for number, (code, commands, count) in enumerate(cases):
        bench = Bench(dut, stream, 0.2)
        await bench.start(clock=number == 0)
        words = [*raw, *(payload(c) for c in commands)] if commands else [*raw, count]
        bench.queue.extend([*words, payload(command("DRAIN", **drain)), payload(level)])
        for _ in range(400 + 40 * len(words)):
            await bench.step()
        label = f"{commands[-1] if commands else f'operation {count}'}"
        assert [c for _, c in bench.finished] == [0] * (len(words) - 1) + [code], (
            f"{label}: {bench.finished}, not code {code}"
        )
        if commands:
            assert len(bench.written) == count * (d.pipes if commands[-1].name == "DRAIN" else 1), (
                f"{label}: {len(bench.written)} writes"
            )
