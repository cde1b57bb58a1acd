"""A cache of parsed requests, since most requests repeat earlier ones.

A parsed request depends on its key alone: the query string, the headers Accept and Prefer, and the @context.
It does not depend on the tenant, the time or the stored data. Errors are not cached.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_LIMIT = 256 * 1024  # characters of keys; each parses to some hundred bytes at most
_OVERHEAD = 100  # characters that each cached request counts in addition

Read = TypeVar("Read")
Key = tuple[Callable[..., Any], str, Hashable]  # the reader, the query string, the rest of the key


class ParsedRequests:
    """An LRU cache, bounded by the total length of query strings and headers (`limit`, characters)."""

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._size = 0
        self._cache: OrderedDict[Key, Any] = OrderedDict()

    def get(self, reader: Callable[..., Read], query: str, beside: Hashable, *arguments: Any) -> Read:
        """`reader(*arguments)`, cached. The query string and `beside` must determine the arguments.

        `beside`: a header, or a tuple of headers and the @context. Raises what the reader raises.
        """
        key = (reader, query, beside)
        if key in self._cache:
            self._cache.move_to_end(key)
            cached: Read = self._cache[key]
            return cached
        parsed = self._cache[key] = reader(*arguments)
        self._size += _length(key)
        while self._size > self._limit:
            oldest, _ = self._cache.popitem(last=False)
            self._size -= _length(oldest)
        return parsed


def _length(key: Key) -> int:
    """The characters of the query string and of the headers in a key, and what each request counts beside."""
    _, query, beside = key
    texts = beside if isinstance(beside, tuple) else (beside,)
    return len(query) + sum(len(text) for text in texts if isinstance(text, str)) + _OVERHEAD
