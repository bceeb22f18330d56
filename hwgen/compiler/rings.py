"""Addresses inside lane memories and the weight and parameter buffers."""

from __future__ import annotations

from collections.abc import Hashable


class Ring:
    """A memory filled round and round, that remembers what it still holds.

    Reuse of an address needs no care here: `Stream` derives the waits from the addresses themselves.

    Parameters
    ----------
    size : int
    unit : int
        Elements that are written and read as one: what is placed begins with such a unit.
    """

    def __init__(self, size: int, unit: int = 1) -> None:
        self.size, self.unit = size, unit
        self._next = 0
        self._held: dict[Hashable, tuple[int, int]] = {}

    def place(self, key: Hashable, count: int, unit: int = 1) -> tuple[int, bool]:
        """Return (address, whether ``key`` is held there already); otherwise the next ``count`` elements now hold
        it.

        With ``unit`` it begins and ends with one of that size, too.
        """
        unit = max(unit, self.unit)
        count = -(-count // unit) * unit if unit > self.unit else count
        if key in self._held and self._held[key][1] == count:
            return self._held[key][0], True
        start = -(-self._next // unit) * unit
        if start + count > self.size:
            start = 0
        if count > self.size:
            raise ValueError(f"{count} elements do not fit in {self.size}")
        self._held = {k: (a, n) for k, (a, n) in self._held.items() if a + n <= start or start + count <= a}
        self._held[key] = (start, count)
        self._next = start + count
        return start, False


class BlockRing:
    """A ring whose blocks stay until they are released: commands that read them may not have been emitted yet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._next = 0
        self._live: dict[Hashable, tuple[int, int]] = {}

    def reserve(self, key: Hashable, count: int) -> int | None:
        """Return the address of ``count`` free elements, or None when live blocks are in the way."""
        if count == 0:
            return 0
        for start in ([self._next] if self._next + count <= self.size else []) + [0]:
            if all(a + n <= start or start + count <= a for a, n in self._live.values()) and start + count <= self.size:
                self._live[key] = (start, count)
                self._next = start + count
                return start
        return None

    def release(self, key: Hashable) -> None:
        self._live.pop(key, None)
