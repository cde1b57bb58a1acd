"""Entities as they are now: by id (coalesced), by query, and every write (in groups)."""

from collections.abc import Sequence
from typing import Any

from broker.core import Entity
from broker.core.entity.update import Rule
from broker.core.query import Query
from broker.store.codec import decode_entity
from broker.store.errors import reported
from broker.store.filters import to_filter
from broker.store.reads import Reads
from broker.store.tenants import Tenants
from broker.store.writer import Writer


class MongoEntities:
    """See `ports.EntityStore`."""

    def __init__(self, tenants: Tenants, writer: Writer, *, batch: int, timeout: float) -> None:
        self._tenants = tenants
        self._writer = writer
        self._batch = batch
        self._timeout_ms = round(timeout * 1000)
        self._reads: dict[str, Reads] = {}

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """See `ports.EntityStore.get`."""
        reads = self._reads.get(tenant)
        if reads is None:
            reads = self._reads[tenant] = Reads(await self._tenants.get(tenant), self._batch)
        with reported():
            return await reads.get(entity_id)

    async def known(self, tenant: str) -> None:
        """See `ports.EntityStore.known`."""
        await self._tenants.get(tenant)

    async def find(self, tenant: str, query: Query, *, one_more: bool = False) -> list[Entity]:
        """See `ports.EntityStore.find`."""
        entities = (await self._tenants.get(tenant)).entities
        cursor = entities.find(
            to_filter(query), sort=[("_id", 1)], skip=query.offset, limit=query.limit + one_more,
            batch_size=query.limit + 2, max_time_ms=self._timeout_ms,
        )  # fmt: skip
        with reported():
            return [decode_entity(document) for document in await cursor.to_list()]

    async def count(self, tenant: str, query: Query) -> int:
        """See `ports.EntityStore.count`."""
        entities = (await self._tenants.get(tenant)).entities
        with reported():
            return await entities.count_documents(to_filter(query), maxTimeMS=self._timeout_ms)

    async def change(self, tenant: str, entity_id: str, rule: Rule) -> Any:
        """See `ports.EntityStore.change`."""
        return await self._writer.change(tenant, entity_id, rule)

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule]]) -> list[Any]:
        """See `ports.EntityStore.change_many`."""
        return await self._writer.change_many(tenant, changes)
