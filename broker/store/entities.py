"""Entities as they are now: by id (coalesced), by query, and every write (in groups)."""

from collections.abc import Callable, Sequence
from typing import Any

from broker.core import Entity
from broker.core.entity.update import Rule
from broker.core.query import Query
from broker.store.codec import decode_entity
from broker.store.errors import reported
from broker.store.filters import to_filter
from broker.store.reads import Reads
from broker.store.sweeper import Sweeper
from broker.store.tenants import Tenant, Tenants
from broker.store.writer import Writer

Document = dict[str, Any]


class MongoEntities:
    """See `ports.EntityStore`. `now` gives the present instant."""

    def __init__(
        self,
        tenants: Tenants,
        writer: Writer,
        sweeper: Sweeper,
        *,
        batch: int,
        timeout: float,
        now: Callable[[], str],
    ) -> None:
        self._tenants = tenants
        self._writer = writer
        self._sweeper = sweeper
        self._batch = batch
        self._timeout_ms = round(timeout * 1000)
        self._now = now
        self._reads: dict[str, Reads] = {}

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """See `ports.EntityStore.get`."""
        reads = self._reads.get(tenant)
        if reads is None:
            reads = self._reads[tenant] = Reads(await self._tenants.get(tenant), self._batch, self._now)
        with reported():
            return await reads.get(entity_id)

    async def known(self, tenant: str) -> None:
        """See `ports.EntityStore.known`."""
        await self._tenants.get(tenant)

    async def find(self, tenant: str, query: Query, *, one_more: bool = False) -> list[Entity]:
        """See `ports.EntityStore.find`."""
        most = query.limit + one_more
        page: list[Document] = [{"$sort": {"_id": 1}}, {"$skip": query.offset}, {"$limit": most}]
        return [*map(decode_entity, await self._fresh(tenant, query, page))]

    async def count(self, tenant: str, query: Query) -> int:
        """See `ports.EntityStore.count`."""
        found = await self._fresh(tenant, query, [{"$count": "n"}])
        return found[0]["n"] if found else 0

    async def change(self, tenant: str, entity_id: str, rule: Rule) -> Any:
        """See `ports.EntityStore.change`."""
        return await self._writer.change(tenant, entity_id, rule)

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule]]) -> list[Any]:
        """See `ports.EntityStore.change_many`."""
        return await self._writer.change_many(tenant, changes)

    async def _fresh(self, tenant: str, query: Query, stages: list[Document]) -> list[Document]:
        """What the stages make of the entities selected.

        Filters know nothing of expiry. So the same round trip asks whether anything has expired that is
        still there (an index answers, mostly with no); if so it is swept and the query is done again.
        """
        handle = await self._tenants.get(tenant)
        pipeline = [{"$match": to_filter(query)}, *stages]
        while True:
            found = await self._run(handle, [*pipeline, _expired(self._now())])
            if not found or "expired" not in found[-1]:
                return found
            await self._sweeper.sweep(tenant)

    async def _run(self, tenant: Tenant, pipeline: list[Document]) -> list[Document]:
        with reported():
            cursor = await tenant.entities.aggregate(pipeline, maxTimeMS=self._timeout_ms)
            return await cursor.to_list()


def _expired(now: str) -> Document:
    """A stage that adds one document, {expired: true}, if something has expired that is still there."""
    some = [
        {"$match": {"due": {"$lte": now}}},
        {"$limit": 1},
        {"$project": {"_id": 0, "expired": {"$literal": True}}},
    ]
    return {"$unionWith": {"coll": "entities", "pipeline": some}}
