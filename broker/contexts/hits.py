"""How often stored @contexts were found in the storage (5.13.3.5): counted here, written down in batches."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from broker.ports.contexts import ContextKey

Counts = Mapping[ContextKey, tuple[int, float]]  # how many hits, and when (seconds) the last one was


class Hits:
    """The hits of this process that are not written down yet; `write` adds them to those that are."""

    def __init__(self, write: Callable[[Counts], Awaitable[None]]) -> None:
        self._write = write
        self._counts: dict[ContextKey, tuple[int, float]] = {}

    def note(self, keys: Iterable[ContextKey], now: float) -> None:
        """Counts one hit for each key."""
        for key in keys:
            self._counts[key] = (self._counts.get(key, (0, 0.0))[0] + 1, now)

    async def flush(self) -> None:
        """Writes down what was counted; if that fails it is counted still."""
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            await self._write(counts)
        except BaseException:
            for key, (count, at) in counts.items():
                more, later = self._counts.get(key, (0, at))
                self._counts[key] = (count + more, later)
            raise
