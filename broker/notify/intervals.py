"""A set of intervals of numbers, which finds those that overlap another in logarithmic time."""

from bisect import bisect_right
from collections.abc import Iterator
from math import inf, isqrt

_TAIL = 64  # new intervals that are scanned one by one, before all are sorted; more in a large set


class Intervals:
    """Intervals by name, sorted by their lower end.

    New ones are scanned until there are many, then all are sorted. Removed ones are skipped until then.
    """

    def __init__(self) -> None:
        self._all: dict[str, tuple[float, float]] = {}
        self._new: dict[str, tuple[float, float]] = {}
        self._names: list[str] = []
        self._lows: list[float] = []
        self._highest: list[float] = []  # a binary tree: the highest upper end in each part of `_lows`
        self._leaves = 0

    def __len__(self) -> int:
        return len(self._all)

    def add(self, name: str, low: float, high: float) -> None:
        """Adds a closed interval."""
        self._all[name] = self._new[name] = (low, high)

    def discard(self, name: str) -> None:
        """Removes an interval, if it is there."""
        self._all.pop(name, None)
        self._new.pop(name, None)

    def overlapping(self, low: float, high: float) -> Iterator[str]:
        """The names of the intervals that overlap the closed interval from `low` to `high`."""
        if (
            len(self._new) > max(_TAIL, isqrt(len(self._all)))
            or len(self._names) > 2 * len(self._all) + _TAIL
        ):
            self._sort()
        for name, (new_low, new_high) in self._new.items():
            if new_low <= high and new_high >= low:
                yield name
        end = bisect_right(self._lows, high)
        parts = [(1, 0, self._leaves)] if end else []
        while parts:
            part, first, size = parts.pop()
            if first >= end or self._highest[part] < low:
                continue
            if size > 1:
                half = size // 2
                parts += ((2 * part, first, half), (2 * part + 1, first + half, half))
            elif (name := self._names[first]) in self._all and name not in self._new:
                yield name

    def _sort(self) -> None:
        ordered = sorted((low, high, name) for name, (low, high) in self._all.items())
        self._lows = [low for low, _, _ in ordered]
        self._names = [name for _, _, name in ordered]
        self._leaves = 1 << max(0, len(ordered) - 1).bit_length()
        tree = [-inf] * self._leaves + [high for _, high, _ in ordered]
        tree += [-inf] * (2 * self._leaves - len(tree))
        for part in range(self._leaves - 1, 0, -1):
            tree[part] = max(tree[2 * part], tree[2 * part + 1])
        self._highest = tree
        self._new = {}
