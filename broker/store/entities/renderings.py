"""Entities as they were last shown, by their version: what did not change need not be read, nor made again.

Nobody is shown anything stale: whoever asks reads the version first, which is small, and uses a rendering
only if it is of that very version. The version is `rev`, the time of the write in µs, which only rises.
"""

from collections.abc import Hashable

Key = tuple[str, str, Hashable]  # tenant, entity id, and how it was shown

_OVERHEAD = 400  # bytes that an entry takes beside its text
_STEADY = 0.9  # weight of the past in the rate of hits
_PROMISING = 0.5


class Renderings:
    """Bounded in memory; the oldest go first. `limit` in bytes, 0 to remember nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: dict[Key, tuple[int, bytes]] = {}
        self._rate = 0.0

    @property
    def is_promising(self) -> bool:
        """Whether most of what pages hold was lately found here, so that versions alone are worth a read."""
        return self._rate > _PROMISING

    def get(self, key: Key, version: int) -> bytes | None:
        """The rendering of this very version, if it is here."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] == version else None

    def has(self, key: Key) -> bool:
        """Whether there is a rendering, of whatever version."""
        return key in self._kept

    def put(self, key: Key, version: int, text: bytes) -> None:
        """Remembers a rendering, in place of that of another version."""
        self._drop(key)
        self._kept[key] = (version, text)
        self._size += len(text) + _OVERHEAD
        while self._size > self._limit and self._kept:
            self._drop(next(iter(self._kept)))

    def note(self, hits: int, of: int) -> None:
        """Takes into account how much of a page was found here."""
        if of:
            self._rate = _STEADY * self._rate + (1 - _STEADY) * hits / of

    def _drop(self, key: Key) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= len(kept[1]) + _OVERHEAD
