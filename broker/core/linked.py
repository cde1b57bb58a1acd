"""Conditions on linked entities (clause 4.9), judged by who reads entities while it is asked."""

from broker.core import Entity
from broker.core.lang.match import matches
from broker.core.lang.terms import Q

Known = dict[str, Entity | None]  # entities by id; None: there is none


def judged(q: Q, entity: Entity, known: Known) -> tuple[bool, set[str]]:
    """Whether a condition holds, and the ids of entities that have to be known to tell; none: it is told."""
    unknown: set[str] = set()

    def linked(entity_id: str) -> Entity | None:
        if entity_id not in known:
            unknown.add(entity_id)
        return known.get(entity_id)

    return matches(q, entity, linked), unknown
