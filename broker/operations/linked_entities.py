"""Linked entities (clause 4.5.23): follows relationships level by level."""

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
    """The entities that a join links to `entities`: (entity, its view), in the order of discovery.

    `shape`: the view of `entities`; each link carries the view of its target, so one entity may appear in
    several views. Entities of one level are read together, none twice. Dangling links are skipped.
    TooManyResults if there are more than the join may show.
    """
    known = {entity["id"]: entity for entity in entities}
    level: list[Shown] = [(entity, shape) for entity in entities]
    visited = {(entity["id"], shape) for entity in entities}
    linked: list[Shown] = []
    for _ in range(join.level):
        targets = dict.fromkeys(target for shown in level for target in links(*shown))
        new = [target for target in targets if target not in visited and target[0] not in join.contained_by]
        visited.update(new)
        if len(visited) > join.most + len(entities):
            raise too_many(join)
        await _read(broker, tenant, known, {entity_id for entity_id, _ in new})
        level = [(known[entity_id], view) for entity_id, view in new if entity_id in known]
        linked += level
    return linked


async def _read(broker: Broker, tenant: str, known: dict[str, Entity], ids: set[str]) -> None:
    """Reads the entities that are not in `known` yet and adds them; the store coalesces these reads."""
    read = await asyncio.gather(*(_get(broker, tenant, entity_id) for entity_id in ids - known.keys()))
    known.update((entity["id"], entity) for entity in read if entity is not None)


async def _get(broker: Broker, tenant: str, entity_id: str) -> Entity | None:
    """An entity; None if it is missing or cannot be decoded, which the store logs."""
    try:
        return await broker.entities.get(tenant, entity_id)
    except Undecodable:
        return None
