"""What requests ask for, remembered by the words that they ask in: most of them were read before.

What is remembered depends on these words alone: the query string, the headers Accept and Prefer, and the
@context. It says nothing of a tenant, of the time, or of what is stored. What is refused is read anew.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_LIMIT = 256 * 1024  # characters: what is made of one takes some hundred bytes at most
_OVERHEAD = 100  # characters that an entry counts for, beside its query string

Read = TypeVar("Read")
Key = tuple[Callable[..., Any], str, Hashable]  # who reads, which query string, and what else it depends on


class Readings:
    """Bounded by the length of the query strings; what was not used for long goes first."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[Key, Any] = OrderedDict()

    def get(self, reader: Callable[..., Read], query: str, beside: Hashable, *arguments: Any) -> Read:
        """What the reader makes of its arguments, all of which follow from the query string and `beside`."""
        key = (reader, query, beside)
        if key in self._kept:
            self._kept.move_to_end(key)
            known: Read = self._kept[key]
            return known
        found = self._kept[key] = reader(*arguments)
        self._size += len(query) + _OVERHEAD
        while self._size > self._limit:
            (_, oldest, _), _ = self._kept.popitem(last=False)
            self._size -= len(oldest) + _OVERHEAD
        return found
