"""The sweeper: removes what has expired (clause 4.22), once for each database, not once for each process."""

import logging

from broker.clock import Clock
from broker.core import Entity
from broker.core.entity.update import Outcome
from broker.ports.entities import Undecodable
from broker.store.background.lease import Lease
from broker.store.wire import commands
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenant, Tenants
from broker.store.writes.writer import Writer

log = logging.getLogger(__name__)
_AT_ONCE = 500  # entities tidied up in one go
_LEASE = 5.0  # seconds for which one process is the one that sweeps


class Sweeper:
    """Tidies up after expiry. Nobody relies on it: whoever reads takes what has expired for gone."""

    def __init__(
        self, tasks: Collection, tenants: Tenants, writer: Writer, process: str, clock: Clock | None = None
    ) -> None:
        self._tenants = tenants
        self._writer = writer
        self._clock = clock or Clock()
        self.lease = Lease(tasks, "sweep", process, _LEASE)

    async def sweep(self, tenant: str) -> None:
        """Removes the expired entities and attributes of a tenant, and the history of expired attributes."""
        handle = await self._tenants.obtain(tenant)
        now = self._clock.expiring()
        stuck: list[str] = []
        while True:
            with reported():
                wanted = {"due": {"$lte": now}, "_id": {"$nin": stuck}}
                over = handle.entities.find(wanted, {"_id": 1}, limit=_AT_ONCE)
                ids = [one["_id"] for one in await over.to_list()]
            if not ids:
                return
            stuck += await self._tidy(tenant, ids)
            with reported():
                await _forget(handle, ids, now)

    async def _tidy(self, tenant: str, ids: list[str]) -> list[str]:
        """Has what has expired of these entities removed; the ids of those that cannot be decoded."""
        stuck = []
        outcomes = await self._writer.change_many(tenant, [(one, _tidied) for one in ids])
        for entity_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, Undecodable):
                log.error("%s: it cannot be swept", outcome)
                stuck.append(entity_id)
            elif isinstance(outcome, Exception):
                raise outcome
        return stuck

    async def sweep_if_due(self, tenant: Tenant) -> None:
        """Removes what has expired, before a query that could not tell from what it finds.

        Filters know nothing of expiry. What they select though it has expired says so itself, and is swept
        then; but what is skipped, counted or looked for by its absence is not seen.
        """
        now = self._clock.expiring()
        with reported():
            is_due = await commands.find(tenant.entities, {"due": {"$lte": now}}, limit=1)
        if is_due:
            await self.sweep(tenant.name)


async def _forget(tenant: Tenant, ids: list[str], now: str) -> None:
    """Removes what has expired from the history, wherever it lies."""
    over = {"i.expiresAt": {"$lte": now}}
    wanted = {"_id": {"$in": ids}, "h.i.expiresAt": {"$lte": now}}
    await tenant.entities.update_many(wanted, {"$pull": {"h": over}})
    await tenant.history.delete_many(over)


def _tidied(before: Entity | None, now: str) -> Outcome:
    """The rule that changes nothing: the commit leaves out what has expired by itself."""
    return Outcome(before)
