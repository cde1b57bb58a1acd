"""Entities as they are now: by id (coalesced), by query, and every write (in groups)."""

from collections.abc import Callable, Sequence
from typing import Any

from broker.core import Entity
from broker.core.entity.update import Rule
from broker.core.lang.terms import has_absence
from broker.core.query import Query
from broker.store import commands
from broker.store.codec import decode_entity
from broker.store.errors import reported
from broker.store.filters import to_filter
from broker.store.reads import Reads
from broker.store.sweeper import Sweeper
from broker.store.tenants import Tenant, Tenants
from broker.store.writer import Writer


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
        handle = await self._tenants.get(tenant)
        page: dict[str, Any] = {"sort": {"_id": 1}, "skip": query.offset, "limit": query.limit + one_more}
        if query.offset or (query.q is not None and has_absence(query.q)):
            await self._sweep_if_due(handle)
        while True:
            with reported():
                found = await commands.find(
                    handle.entities, to_filter(query), maxTimeMS=self._timeout_ms, **page
                )
            now = self._now()
            if not any("due" in one and one["due"] <= now for one in found):
                return [*map(decode_entity, found)]
            await self._sweeper.sweep(tenant)

    async def count(self, tenant: str, query: Query) -> int:
        """See `ports.EntityStore.count`."""
        handle = await self._tenants.get(tenant)
        await self._sweep_if_due(handle)
        with reported():
            return await handle.entities.count_documents(to_filter(query), maxTimeMS=self._timeout_ms)

    async def change(self, tenant: str, entity_id: str, rule: Rule) -> Any:
        """See `ports.EntityStore.change`."""
        return await self._writer.change(tenant, entity_id, rule)

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule]]) -> list[Any]:
        """See `ports.EntityStore.change_many`."""
        return await self._writer.change_many(tenant, changes)

    async def _sweep_if_due(self, tenant: Tenant) -> None:
        """Removes what has expired, before a query that could not tell from what it finds.

        Filters know nothing of expiry. What they select though it has expired says so itself, and is swept
        then; but what is skipped, counted or looked for by its absence is not seen.
        """
        with reported():
            due = await commands.find(tenant.entities, {"due": {"$lte": self._now()}}, limit=1)
        if due:
            await self._sweeper.sweep(tenant.name)
