"""Conditions on linked entities (clause 4.9), evaluated while the caller still loads these entities."""

from broker.core import Entity
from broker.core.lang.match import matches
from broker.core.lang.terms import Q

Known = dict[str, Entity | None]  # entities by id; None: known not to exist


def judged(q: Q, entity: Entity, known: Known) -> tuple[bool, set[str]]:
    """Whether the condition holds, and the ids of the entities that are missing in `known` to decide it.

    If there are such ids, the result is not final: the caller loads these entities and calls again.
    """
    missing: set[str] = set()

    def linked(entity_id: str) -> Entity | None:
        if entity_id not in known:
            missing.add(entity_id)
        return known.get(entity_id)

    return matches(q, entity, linked), missing
