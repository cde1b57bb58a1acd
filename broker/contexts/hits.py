"""Hits of stored @contexts (5.13.3.5): counted in memory, written to the store in batches."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from broker.ports.contexts import ContextKey

Counts = Mapping[ContextKey, tuple[int, float]]  # (number of hits, time of the last one in seconds)


class Hits:
    """The hits of this process that are not stored yet. `write` adds counts to the stored ones."""

    def __init__(self, write: Callable[[Counts], Awaitable[None]]) -> None:
        self._write = write
        self._counts: dict[ContextKey, tuple[int, float]] = {}

    def note(self, keys: Iterable[ContextKey], now: float) -> None:
        """Counts one hit for each key."""
        for key in keys:
            self._counts[key] = (self._counts.get(key, (0, 0.0))[0] + 1, now)

    async def flush(self) -> None:
        """Writes the counts to the store. If that fails, it keeps them for the next time and raises."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._write(counts)
        except BaseException:
            for key, (count, at) in counts.items():
                newer, last = self._counts.get(key, (0, at))
                self._counts[key] = (count + newer, last)
            raise
