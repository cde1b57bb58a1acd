"""Conditions of a query on entities whose parts are at several sources: judged on the whole (5.7.2.4)."""

from dataclasses import replace

from broker.core import Entity
from broker.core.lang import scope
from broker.core.lang.match import is_placed, matches
from broker.core.query import Query


def without_conditions(query: Query) -> Query:
    """The query without what a part of an entity may not meet, though the whole does."""
    return replace(query, q=None, scope=None, geo=None, attrs=(), picked=())


def meets(query: Query, entity: Entity) -> bool:
    """Whether a whole entity meets what `without_conditions` leaves out; `q` has no linked attributes."""
    if query.q is not None and not matches(query.q, entity):
        return False
    if query.geo is not None and not is_placed(query.geo, entity["attrs"]):
        return False
    if query.scope is not None and not scope.matches(query.scope, entity.get("scope", ())):
        return False
    return all(_has_any(entity, names) for names in (query.required_attrs, query.picked) if names)


def _has_any(entity: Entity, names: tuple[str, ...]) -> bool:
    return any(name in entity["attrs"] or (name == "scope" and "scope" in entity) for name in names)
