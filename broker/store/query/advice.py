"""Advice on indexes: counts the attributes on which slow queries filter, and logs each once."""

import logging
from collections.abc import Callable, Collection, Iterator

from prometheus_client import Counter

from broker.core.lang.terms import And, Or, Q, Term
from broker.core.query import Query
from broker.store.query.indexes import Declared

log = logging.getLogger(__name__)
_LABELS = 50  # filters with a label of their own in the metrics; further ones count as "other"
_FOUND_BY_VALUE = frozenset({"==", "<", "<=", ">", ">="})
_SLOW = Counter(
    "eridanus_slow_filters_total",
    "Queries that were slow, by an attribute that they filter on and that no index is declared for",
    ("filter",),
)


class Advice:
    """Counts queries that take longer than `slow` seconds; `compact` shortens IRIs as in `BROKER_INDEXES`."""

    def __init__(self, declared: Collection[Declared], slow: float, compact: Callable[[str], str]) -> None:
        self._declared = {(index.attr, index.type) for index in declared}
        self._slow = slow
        self._compact = compact
        self._seen: set[str] = set()

    def note(self, query: Query, seconds: float) -> None:
        """Counts a query that took `seconds`, if it was slow and filters on attributes without an index."""
        if seconds < self._slow or query.q is None:
            return
        only_type = _only_type(query)
        attrs = set(_filtered(query.q))
        if any((attr, type_name) in self._declared for attr in attrs for type_name in (None, only_type)):
            return
        for attr in sorted(attrs):
            self._tell(self._compact(attr) + (f"@{self._compact(only_type)}" if only_type else ""), seconds)

    def _tell(self, label: str, seconds: float) -> None:
        is_new = label not in self._seen
        if is_new and len(self._seen) >= _LABELS:
            _SLOW.labels("other").inc()
            return
        _SLOW.labels(label).inc()
        if is_new:
            self._seen.add(label)
            facts = {"setting": "BROKER_INDEXES", "add": label, "seconds": round(seconds, 3)}
            log.warning("a query was slow that an index would speed up", extra=facts)


def _only_type(query: Query) -> str | None:
    """The type that a query names; None unless it names exactly one."""
    if query.types is None or query.types.is_anything:
        return None
    names = {name for names in query.types.any_of for name in names}
    return names.pop() if len(names) == 1 else None


def _filtered(q: Q) -> Iterator[str]:
    """The attributes with whose values a `q` compares, as far as an index can serve that."""
    match q:
        case And(parts) | Or(parts):
            for part in parts:
                yield from _filtered(part)
        case Term(target, operator) if target.path and not target.links and operator in _FOUND_BY_VALUE:
            yield target.path[0]
