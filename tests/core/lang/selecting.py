"""What a whole query selects, by the rules of the core alone: what MongoDB's answers are compared with."""

from broker.core import Entity
from broker.core.lang import pattern, scope, types
from broker.core.lang.match import Linked, is_placed, matches
from broker.core.query import Query


def no_entity(_: str) -> None:
    """The linked entity, for queries that look at none."""


def selects(query: Query, entity: Entity, linked: Linked = no_entity) -> bool:
    """Whether all conditions of the query hold for the entity."""
    attrs = query.required_attrs
    return (
        (query.types is None or types.matches(query.types, entity["type"]))
        and (not query.ids or entity["id"] in query.ids)
        and (query.id_pattern is None or pattern.compile(query.id_pattern).search(entity["id"]) is not None)
        and (not query.selectors or any(selector.selects(entity) for selector in query.selectors))
        and (not attrs or any(name in entity["attrs"] for name in attrs))
        and (not query.picked or any(name in entity or name in entity["attrs"] for name in query.picked))
        and (query.scope is None or scope.matches(query.scope, entity.get("scope", ())))
        and (query.q is None or matches(query.q, entity, linked))
        and (query.geo is None or is_placed(query.geo, entity["attrs"]))
    )
