"""Operations on the temporal evolution of entities (clauses 5.7.3, 5.7.4)."""

from dataclasses import replace

from broker.core.errors import ResourceNotFound
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.page import Part, paged
from broker.ports.broker import Broker


async def retrieve_temporal(
    broker: Broker, tenant: str, entity_id: str, query: TemporalQuery
) -> tuple[Evolution, Part | None]:
    """5.7.3 Retrieve Temporal Evolution of an Entity; which part of it that is, if it is not all.

    ResourceNotFound if there is no such entity, or nothing of it that is asked for.
    """
    found = await broker.temporal.evolution(tenant, entity_id, query)
    if found is None:
        raise ResourceNotFound(f"there is no temporal evolution of {entity_id}, or none that is asked for")
    [evolution], part = paged([found], query)
    return evolution, part


async def query_temporal(
    broker: Broker, tenant: str, query: TemporalQuery
) -> tuple[list[Evolution], Part | None, int | None, bool]:
    """5.7.4 Query Temporal Evolution of Entities.

    One page, which part of their time that is if it is not all, the full count if asked for, and whether
    there are more pages.
    """
    entities = query.entities
    count = await broker.temporal.count(tenant, query) if entities.count else None
    if not entities.limit:
        return [], None, count, False
    one_more = replace(query, entities=replace(entities, limit=entities.limit + 1))
    found = await broker.temporal.evolutions(tenant, one_more)
    page, part = paged(found[: entities.limit], query)
    return page, part, count, len(found) > entities.limit
