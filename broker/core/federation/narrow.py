"""Queries narrowed to what a source is registered for (clause 4.3.6.1)."""

from dataclasses import replace

from broker.core.federation.matching import is_of_id
from broker.core.federation.source import Match
from broker.core.lang import pattern
from broker.core.lang.types import TypeSelection, any_of
from broker.core.query import Query


def narrowed(query: Query, match: Match) -> Query:
    """The query for one source: types, ids and attributes that are asked for and registered.

    It never selects more than the query itself does.
    """
    return replace(
        query,
        types=_types(query.types, match.types),
        ids=_ids(query, match),
        attrs=wanted_attrs(match, frozenset(query.attrs)),
        picked=(),
        after=None,
    )


def wanted_attrs(match: Match, attrs: frozenset[str]) -> tuple[str, ...]:
    """The attributes (IRIs) to ask a source for, of those that are wanted (none: all); none for all."""
    registered = match.attrs
    if registered is None:
        return tuple(sorted(attrs))
    return tuple(sorted(registered & attrs if attrs else registered))


def _types(asked: TypeSelection | None, registered: tuple[str, ...]) -> TypeSelection | None:
    """The alternatives that share a type with the registration; if none are asked for, its own types."""
    if not registered:
        return asked
    if asked is None or asked.is_anything:
        return any_of(registered)
    shared = tuple(names for names in asked.any_of if not set(registered).isdisjoint(names))
    return TypeSelection(shared or asked.any_of)


def _ids(query: Query, match: Match) -> tuple[str, ...]:
    """The ids that are asked for and registered; if only exact ids are registered, those."""
    registered = match.ids
    if not query.ids:
        if registered is None or query.id_pattern is None:
            return registered or ()
        found = pattern.compile(query.id_pattern)
        return tuple(entity_id for entity_id in registered if found.search(entity_id)) or registered
    return tuple(entity_id for entity_id in query.ids if _has(match, entity_id)) or query.ids


def _has(match: Match, entity_id: str) -> bool:
    return any(
        not info.entities or any(is_of_id(entity, entity_id) for entity in info.entities)
        for info in match.infos
    )
