"""Operations on the temporal evolution of entities (clauses 5.7.3, 5.7.4)."""

from dataclasses import dataclass, replace

from broker.core.errors import ResourceNotFound
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.page import Part, paged
from broker.ports.broker import Broker


@dataclass(frozen=True, slots=True)
class EvolutionPage:
    """One page of evolutions. `more`: another page follows. `count`: of all pages; None if not asked for.

    `part`: the part of their time that the page covers; None if it covers all.
    """

    evolutions: list[Evolution]
    part: Part | None = None
    count: int | None = None
    more: bool = False


async def retrieve_temporal(
    broker: Broker, tenant: str, entity_id: str, query: TemporalQuery
) -> tuple[Evolution, Part | None]:
    """5.7.3 Retrieve Temporal Evolution of an Entity: (evolution, its part of the time, None if complete).

    ResourceNotFound if there is no evolution, or no instance that matches.
    """
    whole = await broker.temporal.evolution(tenant, entity_id, query)
    if whole is None:
        raise ResourceNotFound(f"there is no temporal evolution of {entity_id}, or none that is asked for")
    [evolution], part = paged([whole], query)
    return evolution, part


async def query_temporal(broker: Broker, tenant: str, query: TemporalQuery) -> EvolutionPage:
    """5.7.4 Query Temporal Evolution of Entities: one page."""
    entities = query.entities
    count = await broker.temporal.count(tenant, query) if entities.count else None
    if not entities.limit:
        return EvolutionPage([], count=count)
    one_more = replace(query, entities=replace(entities, limit=entities.limit + 1))
    evolutions = await broker.temporal.evolutions(tenant, one_more)
    page, part = paged(evolutions[: entities.limit], query)
    return EvolutionPage(page, part, count, len(evolutions) > entities.limit)
