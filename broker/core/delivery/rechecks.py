"""Rechecks: when to read the store again for what another process does, after growing pauses."""

import heapq
from itertools import count

SHORTEST, LONGEST, _GROWTH = 0.003, 0.5, 1.5  # pauses in seconds


class Recheckable:
    """What can be rechecked. `recheck_at`: when the planned recheck is, if any; `pause`: in seconds."""

    __slots__ = ("pause", "recheck_at")

    def __init__(self) -> None:
        self.recheck_at: float | None = None
        self.pause = SHORTEST


class Rechecks:
    """The planned rechecks, ordered by time; at most one for each item."""

    def __init__(self) -> None:
        self._planned: list[tuple[float, int, Recheckable]] = []
        self._numbers = count()  # so that items are never compared

    def plan(self, item: Recheckable, now: float) -> None:
        """Plans a recheck of an item after its pause, unless one is planned; its next pause is longer."""
        if item.recheck_at is None:
            item.recheck_at = now + item.pause
            item.pause = min(item.pause * _GROWTH, LONGEST)
            heapq.heappush(self._planned, (item.recheck_at, next(self._numbers), item))

    def take(self, now: float) -> list[Recheckable]:
        """Removes and returns the items whose time has come."""
        items = []
        while self._planned and self._planned[0][0] <= now:
            item = heapq.heappop(self._planned)[2]
            item.recheck_at = None
            items.append(item)
        return items

    @property
    def next(self) -> float | None:
        """The time of the next recheck; None if none is planned."""
        return self._planned[0][0] if self._planned else None
