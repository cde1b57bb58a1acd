"""What is pending, read and settled, wherever it lies."""

from collections.abc import Sequence
from typing import Any

from pymongo import DeleteMany, UpdateOne

from broker.core.delivery.entry import Entry
from broker.ports.changes import Settled, Tally
from broker.store import commands
from broker.store.errors import reported
from broker.store.pending import entries
from broker.store.pending.undelivered import Kept, keep
from broker.store.tenants import PENDING_BY, Tenant, Tenants

Document = dict[str, Any]

_EMPTY: Document = {"due": []}


class MongoOutbox:
    """See `ports.Outbox`. `kept`: for how long, and how many, dead letters are kept."""

    def __init__(self, tenants: Tenants, process: str, kept: Kept) -> None:
        self._tenants = tenants
        self._process = process
        self._kept = kept

    async def load(self, tenant: str, entity_ids: Sequence[str]) -> dict[str, list[Entry]]:
        """See `ports.Outbox.load`. Documents are read first: what moves from there meanwhile is seen twice."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            found = await commands.find(
                handle.entities, {"_id": {"$in": list(entity_ids)}}, projection={"o": 1, "ov": 1}
            )
            whole = {one["_id"] for one in found if "ov" not in one}
            elsewhere = [one for one in entity_ids if one not in whole]
            apart = await commands.find(handle.outbox, {"e": {"$in": elsewhere}}) if elsewhere else []
        pending: dict[str, dict[str, Entry]] = {entity_id: {} for entity_id in entity_ids}
        for document in found:
            for one in document.get("o", ()):
                pending[document["_id"]][one["id"]] = entries.whole(one, tenant, document["_id"])
        for one in apart:
            pending[one["e"]][one["_id"]] = entries.whole(one, tenant, one["e"])
        return {entity_id: sorted(its.values(), key=_order) for entity_id, its in pending.items()}

    async def page(
        self, tenant: str, after: str, subscriptions: Sequence[str] | None, limit: int
    ) -> list[str]:
        """See `ports.Outbox.page`."""
        handle = await self._tenants.obtain(tenant)
        wanted: Document = {"by": self._process}
        if subscriptions is not None:
            wanted["due"] = {"$in": list(subscriptions)}
        held = {"o.by": self._process, "o": {"$elemMatch": wanted}, "_id": {"$gt": after}}
        grouped: list[Document] = [
            {"$match": {**wanted, "e": {"$gt": after}}},
            {"$sort": {"e": 1}},
            {"$group": {"_id": "$e"}},
            {"$sort": {"_id": 1}},
            {"$limit": limit},
        ]
        with reported():
            found = await commands.find(
                handle.entities, held, projection={"_id": 1}, sort={"_id": 1}, limit=limit, hint=PENDING_BY
            )
            found += await commands.aggregate(handle.outbox, grouped)
        return sorted({one["_id"] for one in found})[:limit]

    async def settle(self, tenant: str, settled: Settled) -> None:
        """See `ports.Outbox.settle`. Dead letters are kept before what they are made of goes."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            if settled.dead:
                await keep(handle.undelivered, settled.dead, self._kept)
            if settled.finished or settled.partly:
                await _settle(handle, settled)
            if settled.tallies:
                tallies = [
                    UpdateOne({"_id": one}, _increase(tally), upsert=True)
                    for one, tally in settled.tallies.items()
                ]
                await handle.tallies.bulk_write(tallies, ordered=False)

    async def count(self, tenant: str) -> int:
        """See `ports.Outbox.count`."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            held = await handle.entities.count_documents({"o.by": {"$exists": True}}, hint=PENDING_BY)
            return held + await handle.outbox.count_documents({}, hint="_id_")

    async def forget(self, tenant: str, subscription: str) -> None:
        """See `ports.Outbox.forget`."""
        with reported():
            await forget(await self._tenants.obtain(tenant), subscription)


async def adopt(tenant: Tenant, dead: str, heir: str) -> None:
    """Makes all entries of a process that is dead those of another one."""
    mine = {"$set": {"o.$[entry].by": heir}}
    await tenant.entities.update_many(
        {"o.by": dead}, mine, array_filters=[{"entry.by": dead}], hint=PENDING_BY
    )
    await tenant.outbox.update_many({"by": dead}, {"$set": {"by": heir}})


async def owners(tenant: Tenant) -> set[str]:
    """The processes that have entries to deliver."""
    return set(await tenant.entities.distinct("o.by")) | set(await tenant.outbox.distinct("by"))


async def forget(tenant: Tenant, subscription: str) -> None:
    """Removes what is due to a subscription, wherever it lies and whoever delivers it."""
    held = {"o.by": {"$exists": True}, "o.due": subscription}
    pull = {"$pull": {"o.$[].due": subscription}}
    await tenant.entities.update_many(held, pull, hint=PENDING_BY)
    empty = {"o.by": {"$exists": True}, "o.due": {"$size": 0}}
    await tenant.entities.update_many(empty, {"$pull": {"o": _EMPTY}}, hint=PENDING_BY)
    await tenant.outbox.update_many({"due": subscription}, {"$pull": {"due": subscription}})
    await tenant.outbox.delete_many(_EMPTY)


async def _settle(tenant: Tenant, settled: Settled) -> None:
    """Takes out what is over. Of the documents first: an entry may move to the outbox, but never back."""
    updates: list[Any] = [
        UpdateOne({"_id": entity_id}, {"$pull": {"o": {"id": {"$in": ids}}}})
        for entity_id, ids in settled.finished.items()
    ]
    for entity_id, its in settled.partly.items():
        updates += [
            UpdateOne(
                {"_id": entity_id, "o.id": one},
                {"$pull": {"o.$[entry].due": {"$in": subscriptions}}},
                array_filters=[{"entry.id": one}],
            )
            for one, subscriptions in its.items()
        ]
        updates.append(UpdateOne({"_id": entity_id}, {"$pull": {"o": _EMPTY}}))
    await tenant.entities.bulk_write(updates, ordered=False)
    await _settle_apart(tenant, settled)


async def _settle_apart(tenant: Tenant, settled: Settled) -> None:
    finished = [one for ids in settled.finished.values() for one in ids]
    updates: list[Any] = [DeleteMany({"_id": {"$in": finished}})] if finished else []
    partly = [(one, who) for its in settled.partly.values() for one, who in its.items()]
    updates += [UpdateOne({"_id": one}, {"$pull": {"due": {"$in": who}}}) for one, who in partly]
    if partly:
        updates.append(DeleteMany({"_id": {"$in": [one for one, _ in partly]}, **_EMPTY}))
    await tenant.outbox.bulk_write(updates)


def _order(entry: Entry) -> tuple[int, str]:
    return entry.rev, entry.id


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
