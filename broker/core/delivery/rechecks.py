"""Rechecks: when to ask the store again for what only time can bring, with growing pauses."""

import heapq
from itertools import count

SHORTEST, LONGEST, _GROWTH = 0.003, 0.5, 1.5  # pauses in seconds


class Recheckable:
    """Who waits for what others do. `look`: when to look again, if at all; each pause is longer."""

    __slots__ = ("look", "pause")

    def __init__(self) -> None:
        self.look: float | None = None
        self.pause = SHORTEST


class Rechecks:
    """Those who wait, each once."""

    def __init__(self) -> None:
        self._planned: list[tuple[float, int, Recheckable]] = []
        self._numbers = count()

    def plan(self, one: Recheckable, now: float) -> None:
        """One rechecks again after its pause."""
        if one.look is None:
            one.look = now + one.pause
            one.pause = min(one.pause * _GROWTH, LONGEST)
            heapq.heappush(self._planned, (one.look, next(self._numbers), one))

    def take(self, now: float) -> list[Recheckable]:
        """Those whose time has come."""
        found = []
        while self._planned and self._planned[0][0] <= now:
            one = heapq.heappop(self._planned)[2]
            one.look = None
            found.append(one)
        return found

    @property
    def next(self) -> float | None:
        """When somebody rechecks next."""
        return self._planned[0][0] if self._planned else None
