"""The outbox: notifications that are due, committed with the changes that they tell of (see `entries`)."""

from collections.abc import Sequence
from typing import Any

from pymongo import DeleteMany, UpdateOne

from broker.ports.changes import Entry, Settled, Tally
from broker.store.entries import restored
from broker.store.errors import reported
from broker.store.tenants import Collection, Tenant, Tenants
from broker.store.undelivered import Kept, keep

Document = dict[str, Any]
_NEVER = 2**63


class MongoOutbox:
    """The entries of this process, in every tenant."""

    def __init__(self, tenants: Tenants, process: str, kept: Kept) -> None:
        self._tenants = tenants
        self._process = process
        self._kept = kept

    async def blocked(self, tenant: str, entries: Sequence[Entry]) -> set[str]:
        """See `ports.Outbox.blocked`."""
        outbox = (await self._tenants.obtain(tenant)).outbox
        ids = list({entry.entity["id"] for entry in entries})
        others = outbox.find(
            {"e": {"$in": ids}, "by": {"$ne": self._process}}, {"e": 1, "stamp": 1, "due": 1}
        )
        with reported():
            found = await others.to_list()
        # There may be thousands of both: each is looked at once.
        earliest = {(entry.entity["id"], one): _NEVER for entry in entries for one in entry.due}
        for other in found:
            for key in ((other["e"], one) for one in other["due"]):
                if key in earliest:
                    earliest[key] = min(earliest[key], other["stamp"])
        return {
            one.id for one in entries if any(earliest[one.entity["id"], to] < one.stamp for to in one.due)
        }

    async def settle(self, tenant: str, settled: Settled) -> None:
        """See `ports.Outbox.settle`."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            if settled.given_up:
                await keep(handle.undelivered, settled.given_up, self._kept)
            await _settle(handle, settled)

    async def count(self, tenant: str) -> int:
        """See `ports.Outbox.count`."""
        outbox = (await self._tenants.obtain(tenant)).outbox
        with reported():
            return await outbox.count_documents({}, hint="_id_")

    async def forget(self, tenant: str, subscription: str) -> None:
        """See `ports.Outbox.forget`."""
        outbox = (await self._tenants.obtain(tenant)).outbox
        with reported():
            await forget(outbox, subscription, {"by": self._process})

    async def mine(self, tenant: str, after: str, subscriptions: Sequence[str], limit: int) -> list[Entry]:
        """See `ports.Outbox.mine`."""
        handle = await self._tenants.obtain(tenant)
        wanted: Document = {"by": self._process, "_id": {"$gte": after}}
        if subscriptions:
            wanted["due"] = {"$in": list(subscriptions)}
        cursor = handle.outbox.find(wanted, sort=[("_id", 1)], limit=limit, batch_size=limit + 1)
        with reported():
            return [restored(document, tenant, self._process) for document in await cursor.to_list()]


async def forget(outbox: Collection, subscription: str, among: Document) -> None:
    """Removes what is due to a subscription."""
    await outbox.update_many({**among, "due": subscription}, {"$pull": {"due": subscription}})
    await outbox.delete_many({**among, "due": []})


async def _settle(handle: Tenant, settled: Settled) -> None:
    operations: list[Any] = [DeleteMany({"_id": {"$in": settled.finished}})] if settled.finished else []
    if settled.told:
        operations += [
            UpdateOne({"_id": one}, {"$pull": {"due": {"$in": who}}}) for one, who in settled.told.items()
        ]
        # Each lane that read an entry back has a copy of its own: none may see that all are through.
        operations.append(DeleteMany({"_id": {"$in": list(settled.told)}, "due": []}))
    if operations:
        await handle.outbox.bulk_write(operations)
    if settled.tallies:
        tallies = [
            UpdateOne({"_id": one}, _increase(tally), upsert=True) for one, tally in settled.tallies.items()
        ]
        await handle.tallies.bulk_write(tallies, ordered=False)


def _increase(tally: Tally) -> Document:
    update: Document = {"$inc": {"sent": tally.sent, "failed": tally.failed}}
    times = {
        "notification": tally.last_notification,
        "success": tally.last_success,
        "failure": tally.last_failure,
    }
    if latest := {name: at for name, at in times.items() if at}:
        update["$max"] = latest
    return update
