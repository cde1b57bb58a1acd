"""A cache of renderings: entities as bytes of a response, valid for one revision.

No response is stale: the caller reads the present revision `rev`, which is small, and uses a rendering of
this revision only. So an entity that did not change is neither read nor rendered again.
"""

from collections.abc import Hashable

Key = tuple[str, str, Hashable]  # tenant, entity id, renderer

_OVERHEAD = 400  # bytes of memory for an item beside its text
_STEADY = 0.9  # weight of earlier pages in the moving average of hits
_PROMISING = 0.5  # share of hits above which revisions are read first


class Renderings:
    """A cache of at most `limit` bytes (0: it caches nothing); evicts the oldest renderings first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._kept: dict[Key, tuple[int, bytes]] = {}
        self._rate = 0.0

    @property
    def is_promising(self) -> bool:
        """Whether most entities of recent pages were hits, so that reading only revisions first pays."""
        return self._rate > _PROMISING

    def get(self, key: Key, rev: int) -> bytes | None:
        """The cached rendering of exactly this revision; None if there is none."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] == rev else None

    def has(self, key: Key) -> bool:
        """Whether a rendering of any revision is cached."""
        return key in self._kept

    def put(self, key: Key, rev: int, text: bytes) -> None:
        """Caches a rendering in place of the one of another revision."""
        self._drop(key)
        self._kept[key] = (rev, text)
        self._size += len(text) + _OVERHEAD
        while self._size > self._limit and self._kept:
            self._drop(next(iter(self._kept)))

    def note(self, hits: int, of: int) -> None:
        """Records that `hits` entities of a page with `of` entities were cached."""
        if of:
            self._rate = _STEADY * self._rate + (1 - _STEADY) * hits / of

    def _drop(self, key: Key) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= len(kept[1]) + _OVERHEAD
