"""The read bus of the cycle model: command bursts and LOAD bursts in the order in which they are asked for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Burst:
    """A burst of a LOAD: the cycle before which it cannot be asked for, its beats, and whether it is the last one."""

    ready: float
    beats: float
    last: bool


class ReadBus:
    """Bursts share one address and one data channel; data come in the order of the addresses, a beat a cycle.

    Command bursts go before LOAD bursts that wait at the same time. Both count as outstanding until their last beat.

    Parameters
    ----------
    latency : int
        Cycles from an address to its first beat when the data channel is free.
    outstanding : int
        Bursts of LOADs that may be under way together with command bursts.
    command_beats : float
        Beats of a burst of commands.
    """

    def __init__(self, latency: int, outstanding: int, command_beats: float) -> None:
        self.latency, self.outstanding, self.command_beats = latency, outstanding, command_beats
        self.free = 0.0
        """When the data channel ends what it was asked for."""
        self._asked = -1.0
        self._ends: list[float] = []
        self._commands: deque[float] = deque()
        self._loads: deque[Burst] = deque()

    def ask_commands(self, ready: float) -> None:
        """Queue a burst of commands that can be asked for from cycle ``ready`` on."""
        self._commands.append(ready)

    def ask_load(self, ready: float, start: int, beats: int, longest: int, *, last: bool = True) -> None:
        """Queue the bursts of a LOAD of ``beats`` from beat ``start`` on, or but its ``last`` ones.

        They end at multiples of ``longest`` beats (`hwgen.hardware.dma.Splitter`).
        """
        while beats:
            now = min(beats, longest - start % longest)
            beats, start = beats - now, start + now
            self._loads.append(Burst(ready, now, last and beats == 0))

    @property
    def idle(self) -> bool:
        """Nothing is queued."""
        return not self._commands and not self._loads

    def serve(self) -> tuple[Burst | None, float]:
        """Ask for the burst that can go first; return it (None: commands) and the cycle of its first beat.

        The caller has queued everything that can be asked for before it, and adds the time in which the data channel
        waits for a buffer to ``free`` with `stall`.
        """
        slot = self._ends[-self.outstanding] if len(self._ends) >= self.outstanding else 0.0
        least = max(self._asked + 1, slot)
        burst: Burst | None = None
        if self._commands and (not self._loads or max(self._commands[0], least) <= max(self._loads[0].ready, least)):
            at = max(self._commands.popleft(), least)
            beats = self.command_beats
        else:
            burst = self._loads.popleft()
            at, beats = max(burst.ready, least), burst.beats
        first = max(at + self.latency, self.free)
        self._asked = at
        self.free = first + beats
        self._ends.append(self.free)
        return burst, first

    def stall(self, cycles: float) -> None:
        """Let the burst that was served last take so much longer."""
        self.free += cycles
        self._ends[-1] = self.free
