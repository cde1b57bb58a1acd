"""A cache of parsed requests, since most requests repeat earlier ones.

A parsed request depends on its key alone: the query string, the headers Accept and Prefer, and the @context.
It does not depend on the tenant, the time or the stored data. Errors are not cached.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_LIMIT = 256 * 1024  # characters of query strings; each parses to some hundred bytes at most
_OVERHEAD = 100  # characters that each cached request counts in addition

Read = TypeVar("Read")
Key = tuple[Callable[..., Any], str, Hashable]  # the reader, the query string, the rest of the key


class ParsedRequests:
    """An LRU cache, bounded by the total length of the query strings (`limit`, characters)."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._cache: OrderedDict[Key, Any] = OrderedDict()

    def get(self, reader: Callable[..., Read], query: str, beside: Hashable, *arguments: Any) -> Read:
        """`reader(*arguments)`, cached. The query string and `beside` must determine the arguments."""
        key = (reader, query, beside)
        if key in self._cache:
            self._cache.move_to_end(key)
            cached: Read = self._cache[key]
            return cached
        parsed = self._cache[key] = reader(*arguments)
        self._size += len(query) + _OVERHEAD
        while self._size > self._limit:
            (_, oldest, _), _ = self._cache.popitem(last=False)
            self._size -= len(oldest) + _OVERHEAD
        return parsed
