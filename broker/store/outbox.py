"""The outbox: notifications that are due, committed with the changes that they tell of.

One document for each change: {_id, e: entity id, by: the process that delivers, stamp, due: subscriptions
that have not been told, entity: its state after the change, was: attributes before it, where somebody
wants to know}. Ids sort by time within one process.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import DeleteMany, DeleteOne, UpdateOne

from broker.ports import Entry, Settled, Tally
from broker.store.codec import decode_attrs, decode_entity, encode_attrs, encode_entity
from broker.store.errors import reported
from broker.store.tenants import Tenant, Tenants

Document = dict[str, Any]


def stored(entry: Entry, process: str) -> Document:
    """The document of an entry."""
    document = {
        "_id": entry.id,
        "e": entry.entity["id"],
        "by": process,
        "stamp": entry.stamp,
        "due": list(entry.due),
        "entity": encode_entity(entry.entity),
    }
    if entry.previous is not None:
        document["was"] = encode_attrs(entry.previous)
    return document


def _entry(document: Document, tenant: str, process: str) -> Entry:
    """An entry read back; it is foreign if another process made it, which its id tells."""
    return Entry(
        document["_id"], tenant, document["stamp"], decode_entity(document["entity"]), set(document["due"]),
        foreign=not document["_id"].endswith(process),
        previous=None if (was := document.get("was")) is None else decode_attrs(was),
    )  # fmt: skip


class MongoOutbox:
    """The entries of this process, in every tenant."""

    def __init__(self, tenants: Tenants, process: str) -> None:
        self._tenants = tenants
        self._process = process

    async def blocked(self, tenant: str, entries: Sequence[Entry]) -> set[str]:
        """See `ports.Outbox.blocked`."""
        outbox = (await self._tenants.obtain(tenant)).outbox
        ids = list({entry.entity["id"] for entry in entries})
        others = outbox.find(
            {"e": {"$in": ids}, "by": {"$ne": self._process}}, {"e": 1, "stamp": 1, "due": 1}
        )
        with reported():
            found = await others.to_list()
        return {
            entry.id
            for entry in entries
            for other in found
            if other["e"] == entry.entity["id"]
            and other["stamp"] < entry.stamp
            and entry.due & set(other["due"])
        }

    async def settle(self, tenant: str, settled: Settled) -> None:
        """See `ports.Outbox.settle`."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            await _settle(handle, settled)

    async def mine(self, tenant: str, after: str, subscriptions: Sequence[str], limit: int) -> list[Entry]:
        """See `ports.Outbox.mine`."""
        handle = await self._tenants.obtain(tenant)
        wanted: Document = {"by": self._process, "_id": {"$gte": after}}
        if subscriptions:
            wanted["due"] = {"$in": list(subscriptions)}
        cursor = handle.outbox.find(wanted, sort=[("_id", 1)], limit=limit, batch_size=limit + 1)
        with reported():
            return [_entry(document, tenant, self._process) for document in await cursor.to_list()]


async def _settle(handle: Tenant, settled: Settled) -> None:
    if settled.given_up:
        await handle.undelivered.insert_many([_undelivered(*one) for one in settled.given_up])
    operations: list[Any] = [DeleteOne({"_id": one}) for one in settled.finished]
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


def _undelivered(entry: Entry, subscription: str, reason: str) -> Document:
    return {"e": entry.entity["id"], "s": subscription, "stamp": entry.stamp, "reason": reason,
            "entity": encode_entity(entry.entity)}  # fmt: skip


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
