"""Reads of entities (clauses 5.7.1 and 5.7.2) from this broker alone."""

from broker.core import Entity
from broker.core.errors import ResourceNotFound
from broker.core.query import Query
from broker.ports.broker import Broker
from broker.ports.entities import Page, Renderer


async def retrieve_entity(broker: Broker, tenant: str, entity_id: str) -> Entity | None:
    """5.7.1 Retrieve Entity; None if there is none."""
    return await broker.entities.get(tenant, entity_id)


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
