"""Operations on entities (clauses 5.6.1 to 5.6.6, 5.7.1, 5.7.2)."""

from collections.abc import Callable
from dataclasses import replace

from broker.core import Entity, Instance
from broker.core.entity import update
from broker.core.entity.parse import Fragment
from broker.core.entity.update import Rule, UpdateResult
from broker.core.errors import ResourceNotFound
from broker.core.query import Query
from broker.core.temporal import SCOPE
from broker.core.temporal.revision import Burial
from broker.ports.broker import Broker
from broker.ports.entities import Page, Renderer

Gate = Callable[[list[str]], bool] | None  # accepts the types of an entity, or the operation does not find it
Goes = Callable[[str], bool] | None  # selects the attributes to delete, by IRI

_PAGE = 1000  # entities that a purge reads and changes at once


async def create_entity(broker: Broker, tenant: str, entity: Entity) -> None:
    """5.6.1 Create Entity. AlreadyExists if an entity has this id."""
    await broker.entities.change(tenant, entity["id"], update.create(entity))


async def retrieve_entity(broker: Broker, tenant: str, entity_id: str, gate: Gate = None) -> Entity:
    """5.7.1 Retrieve Entity. ResourceNotFound if there is none, or if the gate rejects its types."""
    entity = await broker.entities.get(tenant, entity_id)
    if entity is None or (gate is not None and not gate(entity["type"])):
        raise ResourceNotFound(f"there is no entity {entity_id}" + (" of the type asked for" if gate else ""))
    return entity


async def show_entity(broker: Broker, tenant: str, entity_id: str, renderer: Renderer) -> bytes:
    """5.7.1 Retrieve Entity, as the renderer shows it. ResourceNotFound if that is nothing (4.21)."""
    text = await broker.entities.show(tenant, entity_id, renderer)
    if text is None:
        raise ResourceNotFound(f"there is no entity {entity_id}")
    if not text:
        raise nothing_left(entity_id)
    return text


def nothing_left(entity_id: str) -> ResourceNotFound:
    """The error for an entity of which the projection leaves nothing (4.21)."""
    return ResourceNotFound(f"{entity_id} has none of the members asked for")


async def show_entities(
    broker: Broker, tenant: str, query: Query, renderer: Renderer
) -> tuple[Page[bytes], int | None]:
    """5.7.2 Query Entities: (one page as the renderer shows it, the full count if `query.count`)."""
    count = await broker.entities.count(tenant, query) if query.count else None
    return await broker.entities.show_page(tenant, query, renderer) if query.limit else Page(()), count


async def query_entities(broker: Broker, tenant: str, query: Query) -> tuple[Page[Entity], int | None]:
    """5.7.2 Query Entities: (one page, the full count if `query.count`)."""
    count = await broker.entities.count(tenant, query) if query.count else None
    return await broker.entities.find(tenant, query) if query.limit else Page(()), count


async def replace_entity(
    broker: Broker, tenant: str, entity_id: str, entity: Entity, gate: Gate = None
) -> None:
    """5.6.18 Replace Entity."""
    await _change(broker, tenant, entity_id, update.replace(entity), gate)


async def merge_entity(broker: Broker, tenant: str, entity_id: str, rule: Rule, gate: Gate = None) -> None:
    """5.6.17 Merge Entity, by a rule of `core.entity.merge`."""
    await _change(broker, tenant, entity_id, rule, gate)


async def purge_entities(broker: Broker, tenant: str, query: Query, goes: Goes = None) -> None:
    """5.6.21 Purge Entities. Deletes the entities that match or, with `goes`, only attributes of them."""
    page = replace(query, limit=_PAGE, offset=0)
    while True:
        found = await broker.entities.find(tenant, page)
        ids = [entity["id"] for entity in found.items]
        rules = [(id_, update.delete(id_) if goes is None else update.purge_attrs(id_, goes)) for id_ in ids]
        for outcome in await broker.entities.change_many(tenant, rules):
            if isinstance(outcome, Exception) and not isinstance(outcome, ResourceNotFound):
                raise outcome
        if not found.more:
            return
        page = replace(page, after=found.after)


async def replace_attr(
    broker: Broker, tenant: str, entity_id: str, iri: str, instance: Instance, gate: Gate = None
) -> None:
    """5.6.19 Replace Attribute."""
    await _change(broker, tenant, entity_id, update.replace_attr(entity_id, iri, instance), gate)


async def append_attrs(
    broker: Broker, tenant: str, entity_id: str, fragment: Fragment, *, overwrite: bool, gate: Gate = None
) -> UpdateResult:
    """5.6.3 Append Attributes."""
    return await _change(
        broker, tenant, entity_id, update.append(entity_id, fragment, overwrite=overwrite), gate
    )


async def update_attrs(
    broker: Broker, tenant: str, entity_id: str, fragment: Fragment, gate: Gate = None
) -> UpdateResult:
    """5.6.2 Update Attributes."""
    return await _change(broker, tenant, entity_id, update.update_attrs(entity_id, fragment), gate)


async def partial_update_attr(
    broker: Broker, tenant: str, entity_id: str, iri: str, fragment: Instance, gate: Gate = None
) -> None:
    """5.6.4 Partial Attribute update."""
    await _change(broker, tenant, entity_id, update.partial_update(entity_id, iri, fragment), gate)


async def delete_attr(broker: Broker, tenant: str, entity_id: str, burial: Burial, gate: Gate = None) -> None:
    """5.6.5 Delete Attribute, or the scope.

    If the entity has a history but no state any more, and there is no gate, the deletion is recorded in the
    history. ResourceNotFound if there is nothing to delete.
    """
    if burial.iri == SCOPE:
        rule = update.delete_scope(entity_id)
    else:
        rule = update.delete_attr(entity_id, burial.iri, burial.dataset, delete_all=burial.delete_all)
    try:
        await _change(broker, tenant, entity_id, rule, gate)
    except ResourceNotFound:
        if gate is not None or not await broker.entities.change(tenant, entity_id, burial):
            raise


async def delete_entity(broker: Broker, tenant: str, entity_id: str, gate: Gate = None) -> None:
    """5.6.6 Delete Entity."""
    await _change(broker, tenant, entity_id, update.delete(entity_id), gate)


async def _change(broker: Broker, tenant: str, entity_id: str, rule: Rule, gate: Gate) -> UpdateResult:
    """Applies a rule. NonexistentTenant, or ResourceNotFound if there is no entity or the gate rejects it."""
    await broker.entities.known(tenant)
    if gate is not None:
        rule = update.only_if(lambda entity: gate(entity["type"]), rule)
    result: UpdateResult = await broker.entities.change(tenant, entity_id, rule)
    return result
