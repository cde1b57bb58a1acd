"""What is pending, read and settled, wherever it lies."""

from collections.abc import Mapping, Set
from typing import Any

from pymongo import DeleteMany, UpdateOne

from broker.core.delivery.entry import Entry
from broker.ports.changes import Settled, Tally
from broker.ports.delivery import Pending, PendingRequest
from broker.store.pending import entries
from broker.store.pending.dead_letters import Kept, keep
from broker.store.wire import commands
from broker.store.wire.errors import reported
from broker.store.wire.tenants import PENDING_BY, Tenant, Tenants

Document = dict[str, Any]

_COUNTED: list[Document] = [
    {"$match": {"o.by": {"$exists": True}}},
    {"$group": {"_id": None, "n": {"$sum": {"$size": "$o"}}}},
]
_EMPTY: Document = {"due": []}


class MongoOutbox:
    """See `ports.Outbox`. `kept`: for how long, and how many, dead letters are kept."""

    def __init__(self, tenants: Tenants, process: str, kept: Kept) -> None:
        self._tenants = tenants
        self._process = process
        self._kept = kept

    async def load(self, tenant: str, wanted: Mapping[str, PendingRequest]) -> dict[str, Pending]:
        """See `ports.Outbox.load`. Documents are read before the outbox: entries move only that way."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            documents = await commands.find(
                handle.entities, {"_id": {"$in": list(wanted)}}, projection={"o": 1, "ov": 1}
            )
            found: dict[str, dict[str, Entry]] = {entity_id: {} for entity_id in wanted}
            for document in documents:
                entity_id = document["_id"]
                for one in document.get("o", ()):
                    if _is_wanted(one, wanted[entity_id]):
                        found[entity_id][one["id"]] = entries.whole(one, tenant, entity_id)
            whole = {one["_id"] for one in documents if "ov" not in one}
            for entity_id in wanted.keys() - whole:
                for one in await _apart(handle, entity_id, wanted[entity_id]):
                    found[entity_id][one["_id"]] = entries.whole(one, tenant, entity_id)
        return {entity_id: _pending(its, wanted[entity_id].limit) for entity_id, its in found.items()}

    async def page(self, tenant: str, after: str, subscriptions: Set[str], limit: int) -> list[str]:
        """See `ports.Outbox.page`."""
        handle = await self._tenants.obtain(tenant)
        mine: Document = {"by": self._process, "due": {"$in": list(subscriptions)}}
        held = {"o.by": self._process, "o": {"$elemMatch": mine}, "_id": {"$gt": after}}
        with reported():
            documents = await self._held(handle, held, limit, {"_id": 1})
            apart = await _grouped(handle, {**mine, "e": {"$gt": after}}, limit)
        return sorted({one["_id"] for one in (*documents, *apart)})[:limit]

    async def survey(self, tenant: str, after: str, limit: int) -> list[tuple[str, set[str]]]:
        """See `ports.Outbox.survey`."""
        handle = await self._tenants.obtain(tenant)
        held = {"o.by": self._process, "_id": {"$gt": after}}
        with reported():
            documents = await self._held(handle, held, limit, {"o.by": 1, "o.due": 1})
            apart = await _grouped(handle, {"by": self._process, "e": {"$gt": after}}, limit)
        due: dict[str, set[str]] = {one["_id"]: set().union(*one["due"]) for one in apart}
        for document in documents:
            mine = [one["due"] for one in document["o"] if one["by"] == self._process]
            due.setdefault(document["_id"], set()).update(*mine)
        return sorted(due.items())[:limit]

    async def _held(self, tenant: Tenant, wanted: Document, limit: int, shown: Document) -> list[Document]:
        """Documents that hold entries, in the order of their ids."""
        return await commands.find(
            tenant.entities, wanted, projection=shown, sort={"_id": 1}, limit=limit, hint=PENDING_BY
        )

    async def settle(self, tenant: str, settled: Settled) -> None:
        """See `ports.Outbox.settle`. Dead letters are kept before what they are made of goes."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            if settled.dead_letters:
                await keep(handle.undelivered, settled.dead_letters, self._kept)
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
            held = await commands.aggregate(handle.entities, _COUNTED, hint=PENDING_BY)
            apart = await handle.outbox.count_documents({}, hint="_id_")
        return int(apart + sum(one["n"] for one in held))

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
    done = await tenant.entities.bulk_write(updates, ordered=False)
    is_one_each = not settled.partly and all(len(ids) == 1 for ids in settled.finished.values())
    if not is_one_each or done.modified_count < len(updates):  # else each was found in its document
        await _settle_apart(tenant, settled)


async def _settle_apart(tenant: Tenant, settled: Settled) -> None:
    finished = [one for ids in settled.finished.values() for one in ids]
    of = {"e": {"$in": [*settled.finished]}}
    updates: list[Any] = [DeleteMany({"_id": {"$in": finished}, **of})] if finished else []
    partly = [(one, who) for its in settled.partly.values() for one, who in its.items()]
    updates += [UpdateOne({"_id": one}, {"$pull": {"due": {"$in": who}}}) for one, who in partly]
    if partly:
        updates.append(DeleteMany({"_id": {"$in": [one for one, _ in partly]}, **_EMPTY}))
    await tenant.outbox.bulk_write(updates)


async def _apart(tenant: Tenant, entity_id: str, wanted: PendingRequest) -> list[Document]:
    """What the outbox has of an entity, one more than the limit if there are more."""
    mine = {"e": entity_id, "st": {"$gt": wanted.after}, "due": {"$in": list(wanted.subscriptions)}}
    return await commands.find(tenant.outbox, mine, sort={"st": 1, "_id": 1}, limit=wanted.limit + 1)


async def _grouped(tenant: Tenant, wanted: Document, limit: int) -> list[Document]:
    """The entities (and subscriptions) of which the outbox has entries, in order, and lists of those due."""
    pipeline: list[Document] = [
        {"$match": wanted},
        {"$group": {"_id": "$e", "due": {"$push": "$due"}}},
        {"$sort": {"_id": 1}},
        {"$limit": limit},
    ]
    return await commands.aggregate(tenant.outbox, pipeline)


def _is_wanted(document: Document, wanted: PendingRequest) -> bool:
    return document["st"] > wanted.after and not wanted.subscriptions.isdisjoint(document["due"])


def _pending(found: dict[str, Entry], limit: int) -> Pending:
    ordered = sorted(found.values(), key=lambda entry: (entry.rev, entry.id))
    return Pending(ordered[:limit], is_whole=len(ordered) <= limit)


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
