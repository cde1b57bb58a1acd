"""Reports of periodic subscriptions: all entities that match, as they are now (clause 5.8.6)."""

from collections.abc import AsyncIterator
from dataclasses import replace

from broker.core import Entity
from broker.core.query import Query
from broker.core.time_interval import selections
from broker.core.trigger import trigger
from broker.ports.entities import EntityStore
from broker.ports.subscriptions import SubscriptionStore

_PAGE = 1000  # entities read at once
_MOST = 10_000  # entities in one notification; where there are more, more notifications follow


class Reports:
    """Reads the entities of reports."""

    def __init__(self, subscriptions: SubscriptionStore, entities: EntityStore) -> None:
        self._subscriptions = subscriptions
        self._entities = entities

    async def of(self, tenant: str, subscription_id: str) -> AsyncIterator[list[Entity]]:
        """Yields the entities of each notification; nothing if none match or the subscription is gone."""
        stored = await self._subscriptions.get(tenant, subscription_id)
        if stored is None:
            return
        compiled, reported, batch = trigger(stored[0]), set[str](), list[Entity]()
        for query in selections(stored[0]):
            async for entity in self._all(tenant, query):
                if entity["id"] not in reported and compiled.concerns(entity):
                    reported.add(entity["id"])
                    batch.append(entity)
                if len(batch) == _MOST:
                    yield batch
                    batch = []
        if batch:
            yield batch

    async def _all(self, tenant: str, query: Query) -> AsyncIterator[Entity]:
        """All entities that a query selects, read page by page."""
        page = await self._entities.find(tenant, replace(query, limit=_PAGE))
        seen = 0
        while True:
            for entity in page.items:
                yield entity
            if not page.more:
                return
            seen += len(page.items)
            offset = 0 if page.after else seen
            following = replace(query, limit=_PAGE, after=page.after, offset=offset)
            page = await self._entities.find(tenant, following)
