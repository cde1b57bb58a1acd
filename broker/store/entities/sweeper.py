"""The sweeper: removes expired entities and attributes (clause 4.22). One process does it for all."""

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
_AT_ONCE = 500  # entities in one step
_LEASE = 5.0  # seconds


class Sweeper:
    """Removes what has expired. No read depends on it: readers leave out what has expired themselves."""

    def __init__(
        self, tasks: Collection, tenants: Tenants, writer: Writer, process: str, clock: Clock | None = None
    ) -> None:
        self._tenants = tenants
        self._writer = writer
        self._clock = clock or Clock()
        self.lease = Lease(tasks, "sweep", process, _LEASE)

    async def sweep(self, tenant: str) -> None:
        """Removes the expired entities and attributes of a tenant, and expired instances of its history.

        Unavailable if the database is away or the queue of writes is full; any other error of a write, too.
        """
        handle = await self._tenants.obtain(tenant)
        now = self._clock.expiring()
        stuck: list[str] = []
        while True:
            with reported():
                wanted = {"due": {"$lte": now}, "_id": {"$nin": stuck}}
                expired = handle.entities.find(wanted, {"_id": 1}, limit=_AT_ONCE)
                ids = [document["_id"] for document in await expired.to_list()]
            if not ids:
                return
            stuck += await self._tidy(tenant, ids)
            with reported():
                await _forget(handle, ids, now)

    async def _tidy(self, tenant: str, ids: list[str]) -> list[str]:
        """Removes what has expired from these entities. Returns the ids of those that cannot be decoded."""
        stuck = []
        outcomes = await self._writer.change_many(tenant, [(entity_id, _tidied) for entity_id in ids])
        for entity_id, outcome in zip(ids, outcomes, strict=True):
            if isinstance(outcome, Undecodable):
                log.error("%s: it cannot be swept", outcome)
                stuck.append(entity_id)
            elif isinstance(outcome, Exception):
                raise outcome
        return stuck

    async def sweep_if_due(self, tenant: Tenant) -> None:
        """Sweeps the tenant if anything has expired, before a query whose result would be wrong otherwise.

        Filters ignore expiry. Where documents are returned, their `due` shows that they have expired. But a
        query that skips or counts documents, or requires that an attribute is absent, does not see it.
        """
        now = self._clock.expiring()
        with reported():
            is_due = await commands.find(tenant.entities, {"due": {"$lte": now}}, limit=1)
        if is_due:
            await self.sweep(tenant.name)


async def _forget(tenant: Tenant, ids: list[str], now: str) -> None:
    """Removes expired instances from the history in these entities' documents, and from `history`."""
    expired = {"i.expiresAt": {"$lte": now}}
    wanted = {"_id": {"$in": ids}, "h.i.expiresAt": {"$lte": now}}
    await tenant.entities.update_many(wanted, {"$pull": {"h": expired}})
    await tenant.history.delete_many(expired)


def _tidied(before: Entity | None, now: str) -> Outcome:
    """A rule that changes nothing: the planner has left out what has expired, so it is removed."""
    return Outcome(before)
