"""Interning: equal values of many definitions are one object, so that 100,000 of these fit in memory."""

from typing import Any, TypeVar

_T = TypeVar("_T")
_MOST = 10_000  # values that are remembered
_known: dict[Any, Any] = {}


def shared(value: _T) -> _T:
    """An equal value (hashable) that was seen before, if there is one."""
    if len(_known) > _MOST:
        _known.clear()
    known: _T = _known.setdefault(value, value)
    return known
