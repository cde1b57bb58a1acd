"""Linked entities (clause 4.5.23): what entities lead to, level by level."""

import asyncio
from collections.abc import Sequence

from broker.core import Entity
from broker.core.entity.linked_entities import Join, links, too_many
from broker.core.entity.view import View
from broker.ports.broker import Broker
from broker.ports.entities import Undecodable

Shown = tuple[Entity, View]


async def linked_entities(
    broker: Broker, tenant: str, entities: Sequence[Entity], shape: View, join: Join
) -> list[Shown]:
    """What is linked to entities that are shown in this shape, in the order in which it is come upon.

    An entity may be come upon in several shapes; none is read twice, and all of a level are read together.
    TooManyResults when there are more than the join may show.
    """
    known = {entity["id"]: entity for entity in entities}
    level: list[Shown] = [(entity, shape) for entity in entities]
    steps = {(entity["id"], shape) for entity in entities}
    found: list[Shown] = []
    for _ in range(join.level):
        further = dict.fromkeys(step for one in level for step in links(*one))
        ahead = [one for one in further if one not in steps and one[0] not in join.contained_by]
        steps.update(ahead)
        if len(steps) > join.most + len(entities):
            raise too_many(join)
        await _read(broker, tenant, known, {entity_id for entity_id, _ in ahead})
        level = [(known[entity_id], shape) for entity_id, shape in ahead if entity_id in known]
        found += level
    return found


async def _read(broker: Broker, tenant: str, known: dict[str, Entity], ids: set[str]) -> None:
    """Reads those entities that are not known yet, in as few round trips as the store's reads by id take."""
    read = await asyncio.gather(*(_get(broker, tenant, one) for one in ids - known.keys()))
    known.update((entity["id"], entity) for entity in read if entity is not None)


async def _get(broker: Broker, tenant: str, entity_id: str) -> Entity | None:
    """An entity; one that cannot be decoded, of which the log tells, is taken for missing."""
    try:
        return await broker.entities.get(tenant, entity_id)
    except Undecodable:
        return None
