"""Reads and settles pending entries, in the documents of entities and in the outbox."""

from collections.abc import Mapping, Set
from typing import Any

from pymongo import DeleteMany, UpdateOne

from broker.core.delivery.entry import Entry
from broker.ports.changes import Settled, Tally
from broker.ports.delivery import Pending, PendingRequest
from broker.store.pending import entries
from broker.store.pending.dead_letters import DeadLetterLimits, keep
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
    """See `ports.Outbox`. `process`: the name of this process; `kept`: the bounds of dead letters."""

    def __init__(self, tenants: Tenants, process: str, kept: DeadLetterLimits) -> None:
        self._tenants = tenants
        self._process = process
        self._kept = kept

    async def load(self, tenant: str, wanted: Mapping[str, PendingRequest]) -> dict[str, Pending]:
        """See `ports.Outbox.load`. Reads documents, then the outbox: entries move only in that direction."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            documents = await commands.find(
                handle.entities, {"_id": {"$in": list(wanted)}}, projection={"o": 1, "ov": 1}
            )
            pending: dict[str, dict[str, Entry]] = {entity_id: {} for entity_id in wanted}
            for document in documents:
                entity_id = document["_id"]
                for held in document.get("o", ()):
                    if _is_wanted(held, wanted[entity_id]):
                        pending[entity_id][held["id"]] = entries.whole(held, tenant, entity_id)
            unmarked = {document["_id"] for document in documents if "ov" not in document}
            for entity_id in wanted.keys() - unmarked:
                for apart in await _in_outbox(handle, entity_id, wanted[entity_id]):
                    pending[entity_id][apart["_id"]] = entries.whole(apart, tenant, entity_id)
        return {entity_id: _pending(by_id, wanted[entity_id].limit) for entity_id, by_id in pending.items()}

    async def page(self, tenant: str, after: str, subscriptions: Set[str], limit: int) -> list[str]:
        """See `ports.Outbox.page`."""
        handle = await self._tenants.obtain(tenant)
        mine: Document = {"by": self._process, "due": {"$in": list(subscriptions)}}
        held = {"o.by": self._process, "o": {"$elemMatch": mine}, "_id": {"$gt": after}}
        with reported():
            documents = await self._held(handle, held, limit, {"_id": 1})
            apart = await _grouped(handle, {**mine, "e": {"$gt": after}}, limit)
        return sorted({document["_id"] for document in (*documents, *apart)})[:limit]

    async def survey(self, tenant: str, after: str, limit: int) -> list[tuple[str, set[str]]]:
        """See `ports.Outbox.survey`."""
        handle = await self._tenants.obtain(tenant)
        held = {"o.by": self._process, "_id": {"$gt": after}}
        with reported():
            documents = await self._held(handle, held, limit, {"o.by": 1, "o.due": 1})
            apart = await _grouped(handle, {"by": self._process, "e": {"$gt": after}}, limit)
        due: dict[str, set[str]] = {group["_id"]: set().union(*group["due"]) for group in apart}
        for document in documents:
            mine = [held["due"] for held in document["o"] if held["by"] == self._process]
            due.setdefault(document["_id"], set()).update(*mine)
        return sorted(due.items())[:limit]

    async def _held(self, tenant: Tenant, wanted: Document, limit: int, shown: Document) -> list[Document]:
        """The documents of entities that hold such entries, in the order of their ids."""
        return await commands.find(
            tenant.entities, wanted, projection=shown, sort={"_id": 1}, limit=limit, hint=PENDING_BY
        )

    async def settle(self, tenant: str, settled: Settled) -> None:
        """See `ports.Outbox.settle`. Dead letters are stored before their entries are removed."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            if settled.dead_letters:
                await keep(handle.undelivered, settled.dead_letters, self._kept)
            if settled.finished or settled.partly:
                await _settle(handle, settled)
            if settled.tallies:
                tallies = [
                    UpdateOne({"_id": subscription}, _increase(tally), upsert=True)
                    for subscription, tally in settled.tallies.items()
                ]
                await handle.tallies.bulk_write(tallies, ordered=False)

    async def count(self, tenant: str) -> int:
        """See `ports.Outbox.count`."""
        handle = await self._tenants.obtain(tenant)
        with reported():
            held = await commands.aggregate(handle.entities, _COUNTED, hint=PENDING_BY)
            apart = await handle.outbox.count_documents({}, hint="_id_")
        return int(apart + sum(group["n"] for group in held))

    async def forget(self, tenant: str, subscription: str) -> None:
        """See `ports.Outbox.forget`."""
        with reported():
            await forget(await self._tenants.obtain(tenant), subscription)


async def adopt(tenant: Tenant, dead: str, heir: str) -> None:
    """Hands all entries of a dead process over to the process `heir`."""
    mine = {"$set": {"o.$[entry].by": heir}}
    await tenant.entities.update_many(
        {"o.by": dead}, mine, array_filters=[{"entry.by": dead}], hint=PENDING_BY
    )
    await tenant.outbox.update_many({"by": dead}, {"$set": {"by": heir}})


async def owners(tenant: Tenant) -> set[str]:
    """The names of the processes that have entries to deliver."""
    return set(await tenant.entities.distinct("o.by")) | set(await tenant.outbox.distinct("by"))


async def forget(tenant: Tenant, subscription: str) -> None:
    """Removes a subscription from all pending entries of all processes; deletes entries left without one."""
    held = {"o.by": {"$exists": True}, "o.due": subscription}
    pull = {"$pull": {"o.$[].due": subscription}}
    await tenant.entities.update_many(held, pull, hint=PENDING_BY)
    empty = {"o.by": {"$exists": True}, "o.due": {"$size": 0}}
    await tenant.entities.update_many(empty, {"$pull": {"o": _EMPTY}}, hint=PENDING_BY)
    await tenant.outbox.update_many({"due": subscription}, {"$pull": {"due": subscription}})
    await tenant.outbox.delete_many(_EMPTY)


async def _settle(tenant: Tenant, settled: Settled) -> None:
    """Removes what is over, from documents and then from the outbox: entries move only in that direction.

    The outbox is left alone if each statement has removed its one entry from a document.
    """
    updates: list[Any] = [
        UpdateOne({"_id": entity_id}, {"$pull": {"o": {"id": {"$in": ids}}}})
        for entity_id, ids in settled.finished.items()
    ]
    for entity_id, by_entry in settled.partly.items():
        updates += [
            UpdateOne(
                {"_id": entity_id, "o.id": entry_id},
                {"$pull": {"o.$[entry].due": {"$in": subscriptions}}},
                array_filters=[{"entry.id": entry_id}],
            )
            for entry_id, subscriptions in by_entry.items()
        ]
        updates.append(UpdateOne({"_id": entity_id}, {"$pull": {"o": _EMPTY}}))
    result = await tenant.entities.bulk_write(updates, ordered=False)
    is_one_each = not settled.partly and all(len(ids) == 1 for ids in settled.finished.values())
    if not is_one_each or result.modified_count < len(updates):
        await _settle_outbox(tenant, settled)


async def _settle_outbox(tenant: Tenant, settled: Settled) -> None:
    """Removes what is over from the outbox.

    Lanes hold separate copies of an entry, so none of them knows when it is over for the last subscription:
    an entry is deleted once its stored set of subscriptions is empty.
    """
    finished = [entry_id for ids in settled.finished.values() for entry_id in ids]
    of = {"e": {"$in": [*settled.finished]}}
    updates: list[Any] = [DeleteMany({"_id": {"$in": finished}, **of})] if finished else []
    partly = [part for by_entry in settled.partly.values() for part in by_entry.items()]
    updates += [
        UpdateOne({"_id": entry_id}, {"$pull": {"due": {"$in": subscriptions}}})
        for entry_id, subscriptions in partly
    ]
    if partly:
        updates.append(DeleteMany({"_id": {"$in": [entry_id for entry_id, _ in partly]}, **_EMPTY}))
    await tenant.outbox.bulk_write(updates)


async def _in_outbox(tenant: Tenant, entity_id: str, wanted: PendingRequest) -> list[Document]:
    """The wanted entries of an entity in the outbox; one more than the limit if there are more."""
    mine = {"e": entity_id, "st": {"$gt": wanted.after}, "due": {"$in": list(wanted.subscriptions)}}
    return await commands.find(tenant.outbox, mine, sort={"st": 1, "_id": 1}, limit=wanted.limit + 1)


async def _grouped(tenant: Tenant, wanted: Document, limit: int) -> list[Document]:
    """The entities (or subscriptions, of reports) of such entries in the outbox, in order.

    Each as {_id: entity id, due: a list of subscriptions for each entry}.
    """
    pipeline: list[Document] = [
        {"$match": wanted},
        {"$group": {"_id": "$e", "due": {"$push": "$due"}}},
        {"$sort": {"_id": 1}},
        {"$limit": limit},
    ]
    return await commands.aggregate(tenant.outbox, pipeline)


def _is_wanted(document: Document, wanted: PendingRequest) -> bool:
    return document["st"] > wanted.after and not wanted.subscriptions.isdisjoint(document["due"])


def _pending(by_id: dict[str, Entry], limit: int) -> Pending:
    ordered = sorted(by_id.values(), key=lambda entry: (entry.rev, entry.id))
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
