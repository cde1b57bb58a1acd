"""Notifications that were given up: kept for a while, for whoever wants to know or to have them sent again.

{_id: subscription and id of the entry, what the entry told, reason, at: µs, expires: date}
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne

from broker.core import instant
from broker.ports.changes import ChangeSink, Clock, Entry
from broker.ports.subscriptions import Failure
from broker.store.entries import fitting, restored, stored
from broker.store.errors import reported
from broker.store.tenants import EPOCH, Collection, Tenants, epoch_of

Document = dict[str, Any]
_STATES = ("entity", "was", "zipped", "suppressed.entity", "suppressed.was")
_AT_ONCE = 500  # notifications replayed in one go


@dataclass(frozen=True, slots=True)
class Kept:
    """For how many seconds, and how many for each tenant."""

    seconds: float
    count: int


async def keep(collection: Collection, given_up: Sequence[tuple[Entry, str, str]], kept: Kept) -> None:
    """Keeps entries that were given up for a subscription, with the reason; the oldest make room."""
    now = datetime.now(UTC)
    documents = [_document(*one, now, now + timedelta(seconds=kept.seconds)) for one in given_up]
    await collection.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents])
    excess = await collection.estimated_document_count() - kept.count
    if excess > 0:
        oldest = collection.find({}, {"_id": 1}, sort=[("expires", 1)], limit=excess)
        await collection.delete_many({"_id": {"$in": [one["_id"] async for one in oldest]}})


def _document(
    entry: Entry, subscription: str, reason: str, now: datetime, expires: datetime
) -> RawBSONDocument:
    head = {
        "_id": f"{subscription} {entry.id}",
        "reason": reason,
        "at": round(now.timestamp() * 1e6),
        "expires": expires,
    }
    return fitting(replace(entry), head)  # what is cut here is not cut for those who are still to be told


class MongoUndelivered:
    """See `ports.Undelivered`."""

    def __init__(self, tenants: Tenants, sink: ChangeSink, clock: Clock, process: str) -> None:
        self._tenants = tenants
        self._sink = sink
        self._clock = clock
        self._process = process

    async def find(self, tenant: str, subscription_id: str, limit: int, offset: int) -> list[Failure]:
        """See `ports.Undelivered.find`."""
        undelivered = (await self._tenants.get(tenant)).undelivered
        wanted, shown = all_of(subscription_id), dict.fromkeys(_STATES, 0)
        with reported():
            cursor = undelivered.find(wanted, shown, sort=[("_id", 1)], skip=offset, limit=limit)
            return [_failure(one) async for one in cursor]

    async def count(self, tenant: str, subscription_id: str) -> int:
        """See `ports.Undelivered.count`."""
        undelivered = (await self._tenants.get(tenant)).undelivered
        with reported():
            return await undelivered.count_documents(all_of(subscription_id))

    async def replay(self, tenant: str, subscription_id: str, failure_id: str | None) -> int:
        """See `ports.Undelivered.replay`."""
        handle = await self._tenants.get(tenant)
        wanted, count = _of(subscription_id, failure_id), 0
        with reported():
            await self._sink.at_epoch(tenant, *epoch_of(await handle.entities.find_one({"_id": EPOCH})))
            while found := await handle.undelivered.find(wanted, sort=[("_id", 1)], limit=_AT_ONCE).to_list():
                entries = [self._renewed(one, tenant, subscription_id) for one in found]
                # In this order: whatever happens in between, none is lost.
                await handle.outbox.insert_many([stored(one, self._process) for one in entries])
                await handle.undelivered.delete_many({"_id": {"$in": [one["_id"] for one in found]}})
                self._sink.committed(entries)
                count += len(entries)
        return count

    async def delete(self, tenant: str, subscription_id: str, failure_id: str | None) -> int:
        """See `ports.Undelivered.delete`."""
        undelivered = (await self._tenants.get(tenant)).undelivered
        with reported():
            return (await undelivered.delete_many(_of(subscription_id, failure_id))).deleted_count

    def _renewed(self, document: Document, tenant: str, subscription_id: str) -> Entry:
        """The entry as a new one, which comes after all that the entity has had since."""
        stamp = self._clock(0)
        new = {"_id": f"{stamp:016x}{self._process}", "due": [subscription_id], "stamp": stamp}
        entry = restored({**document, **new}, tenant, self._process)
        entry.foreign = True
        return entry


def all_of(subscription_id: str) -> Document:
    """What selects all of a subscription: ids are URIs, which have no spaces."""
    return {"_id": {"$gt": subscription_id + " ", "$lt": subscription_id + "!"}}


def _of(subscription_id: str, failure_id: str | None) -> Document:
    return all_of(subscription_id) if failure_id is None else {"_id": f"{subscription_id} {failure_id}"}


def _failure(document: Document) -> Failure:
    return Failure(
        document["_id"].partition(" ")[2],
        None if document.keys() & {"report", "suppressed"} else document["e"],
        instant.of_micros(document["stamp"]),
        instant.of_micros(document["at"]),
        document["reason"],
    )
