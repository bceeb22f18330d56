from __future__ import annotations

from hwgen.compiler.readbus import ReadBus


def test_bursts_follow_each_other_in_the_order_of_requests() -> None:
    bus = ReadBus(latency=32, outstanding=4, command_beats=64)
    bus.ask_load(0, 0, 100, 64)
    bus.ask_commands(10)
    first, at = bus.serve()
    assert first is not None and not first.last and at == 32
    second, at = bus.serve()
    assert second is not None and second.last and at == 32 + 64
    third, at = bus.serve()
    assert third is None and at == 32 + 100
    assert bus.idle and bus.free == 32 + 100 + 64


def test_commands_go_before_a_load_that_waits_at_the_same_time() -> None:
    bus = ReadBus(latency=32, outstanding=4, command_beats=64)
    bus.ask_load(5, 0, 8, 64)
    bus.ask_commands(5)
    assert bus.serve() == (None, 37)


def test_only_so_many_bursts_are_outstanding() -> None:
    bus = ReadBus(latency=32, outstanding=1, command_beats=64)
    bus.ask_load(0, 0, 16, 8)
    assert bus.serve()[1] == 32
    assert bus.serve()[1] == 32 + 8 + 32


def test_bursts_end_at_multiples_of_the_longest() -> None:
    bus = ReadBus(latency=32, outstanding=4, command_beats=64)
    bus.ask_load(0, 60, 100, 64)
    served = [bus.serve()[0] for _ in range(3)]
    assert [(b.beats, b.last) for b in served if b is not None] == [(4, False), (64, False), (32, True)]
    assert bus.idle
