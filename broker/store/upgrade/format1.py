"""Upgrades the database of one tenant from format 1 to format 2 (decision 0013).

In format 1 a collection `evolutions` held the facts of evolutions: {_id: entity, type, attrs, createdAt,
modifiedAt?, deletedAt?, scope?, rev?, packed: [attributes that have buckets], steps?}. `by` in an entity was
the process that wrote it last. A pending entry had its revision in `stamp`, and its time in `time` if that
differed; so had a dead letter, whose `at` was the time when it was given up.

A batch is a transaction, or an update that matches documents of the old form only. So the next upgrade can
continue an interrupted one, and two concurrent upgrades do no harm.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pymongo import UpdateMany, UpdateOne, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from broker.core import instant
from broker.store.history.aggregates import parts
from broker.store.history.records import of_attribute
from broker.store.wire.tenants import Collection, Tenant

Document = dict[str, Any]
Report = Callable[[str, int], None]  # after each batch: the collection, and the number of documents
Batch = Callable[
    ..., Awaitable[Sequence[str]]
]  # takes a session and the id to begin `after`; returns its ids

_BATCH = 200  # documents of a transaction, which may last for 5 s on the embedded MongoDB
_SCANNED = 2000  # documents of a statement that is no transaction
_TOGETHER = 100  # pipelines in one round trip
_FACTS = ("type", "attrs", "createdAt", "modifiedAt", "deletedAt", "scope")
_TIMES = ("createdAt", "modifiedAt", "deletedAt")
_OLD_INDEX = "by_1__id_1"  # of the outbox
_NO_INDEX = 27  # MongoDB's IndexNotFound
_DURABLE = WriteConcern("majority", j=True)
_OLD: Document = {"stamp": {"$exists": True}}
_TIME: Document = {"$ifNull": ["$time", "$stamp"]}


@dataclass(frozen=True, slots=True)
class TenantUpgrade:
    """The upgrade of one tenant, whose collections and indexes of format 2 exist already."""

    tenant: Tenant
    report: Report
    batch: int = _BATCH

    async def run(self) -> None:
        """Runs all steps."""
        for step in self.steps:
            await step()

    @property
    def steps(self) -> Sequence[Callable[[], Awaitable[None]]]:
        """The steps, in order. Each may be repeated, also after those that follow it."""
        return (self.evolutions, self.entities, self.outbox, self.undelivered, self.leftovers)

    async def evolutions(self) -> None:
        """Moves evolutions into the documents of entities; a deleted entity gets one without a type."""
        await self._in_transactions("evolutions", self._evolutions)

    async def entities(self) -> None:
        """Removes `by`, and `unlisted` where there is no evolution."""
        entities = self.tenant.entities.with_options(write_concern=_DURABLE)
        async for span, count in _spans(entities):
            unlisted = {**span, "unlisted": {"$exists": True}, "past": {"$exists": False}}
            await entities.bulk_write(
                [
                    UpdateMany({**span, "by": {"$exists": True}}, {"$unset": {"by": 1}}),
                    UpdateMany(unlisted, {"$unset": {"unlisted": 1}}),
                ]
            )
            self.report("entities", count)

    async def outbox(self) -> None:
        """Renames the members of pending entries, and marks the documents of their entities (`ov`)."""
        await self._in_transactions("outbox", self._entries)

    async def undelivered(self) -> None:
        """Renames the members of dead letters."""
        undelivered = self.tenant.undelivered.with_options(write_concern=_DURABLE)
        new: list[Document] = [
            {"$set": {"given_up": "$at", "at": _TIME, "st": "$stamp"}},
            {"$unset": ["stamp", "time"]},
        ]
        async for span, count in _spans(undelivered):
            await undelivered.update_many({**span, **_OLD}, new)
            self.report("undelivered", count)

    async def leftovers(self) -> None:
        """Drops the collection `evolutions`, which is empty now, and the old index of the outbox."""
        evolutions = self.tenant.entities.database["evolutions"]
        assert await evolutions.find_one() is None, "all of them were moved"
        await evolutions.drop()
        try:
            await self.tenant.outbox.drop_index(_OLD_INDEX)
        except OperationFailure as error:
            if error.code != _NO_INDEX:
                raise

    async def _in_transactions(self, name: str, batch: Batch) -> None:
        """Runs batch after batch, each in a transaction, until one finds nothing."""
        after = ""
        async with self.tenant.entities.database.client.start_session() as session:
            while True:
                callback = partial(batch, after=after)
                ids = await session.with_transaction(callback, ReadConcern("majority"), _DURABLE)
                if not ids:
                    return
                self.report(name, len(ids))
                after = ids[-1]

    async def _evolutions(self, session: AsyncClientSession, after: str) -> Sequence[str]:
        evolutions = self.tenant.entities.database["evolutions"]
        heads = await self._next(evolutions, {}, {}, session, after)
        if not heads:
            return []
        ends = await self._ends(heads)
        ids = [head["_id"] for head in heads]
        await evolutions.delete_many({"_id": {"$in": ids}}, session=session)
        updates = [_of_evolution(head, ends.get(head["_id"], {})) for head in heads]
        await self.tenant.entities.bulk_write(updates, ordered=False, session=session)
        return ids

    async def _ends(self, heads: Sequence[Document]) -> dict[str, dict[str, int]]:
        """The time (µs) of the last packed instance, by entity and attribute.

        Reads outside the transaction, since MongoDB allows no $unionWith inside. No broker changes buckets
        during the upgrade.
        """
        ends: dict[str, dict[str, int]] = {}
        packed = ((head["_id"], key) for head in heads for key in head.get("packed", ()))
        for many in parts(packed, _TOGETHER):
            first, *others = (_last_bucket(*series) for series in many)
            unions = [{"$unionWith": {"coll": "packed", "pipeline": pipeline}} for pipeline in others]
            async for bucket in await self.tenant.packed.aggregate([*first, *unions]):
                ends.setdefault(bucket["_id"]["e"], {})[bucket["_id"]["a"]] = bucket["u"]
        return ends

    async def _entries(self, session: AsyncClientSession, after: str) -> Sequence[str]:
        shown = {"e": 1, "stamp": 1, "report": 1}
        entries = await self._next(self.tenant.outbox, _OLD, shown, session, after)
        if not entries:
            return []
        ids = [entry["_id"] for entry in entries]
        new: list[Document] = [{"$set": {"st": "$stamp", "at": _TIME}}, {"$unset": ["stamp", "time"]}]
        await self.tenant.outbox.update_many({"_id": {"$in": ids}}, new, session=session)
        # ids sort by stamps
        newest = {entry["e"]: entry["stamp"] for entry in entries if "report" not in entry}
        if newest:
            updates = [_of_entries(*pair) for pair in newest.items()]
            await self.tenant.entities.bulk_write(updates, ordered=False, session=session)
        return ids

    async def _next(
        self,
        collection: Collection,
        wanted: Document,
        shown: Document,
        session: AsyncClientSession,
        after: str,
    ) -> list[Document]:
        """The next documents of a batch, in the order of their ids."""
        wanted = {**wanted, "_id": {"$gt": after}}
        cursor = collection.find(wanted, shown or None, sort=[("_id", 1)], limit=self.batch, session=session)
        return await cursor.to_list()


def _of_evolution(head: Document, ends: dict[str, int]) -> UpdateOne:
    """The update that adds an evolution to an entity's document. `pk` makes the packer visit it once."""
    past = {"attrs": [], **{name: head[name] for name in _FACTS if name in head}}
    times = (instant.micros(head[name]) for name in _TIMES if name in head)
    update: Document = {
        "$set": {"past": past, "pk": 1, "pn": 0, **({"p": ends} if ends else {})},
        "$unset": {"gone": 1},
        "$max": {"rev": max(1, head.get("rev", 0), *times)},  # above all that was written of the entity
    }
    return UpdateOne({"_id": head["_id"]}, update, upsert=True)


def _of_entries(entity_id: str, stamp: int) -> UpdateOne:
    """The update of the document of an entity with entries in the outbox; inserts a document if needed."""
    update: Document = {"$set": {"ov": True}, "$max": {"rev": stamp}, "$setOnInsert": {"gone": 1}}
    return UpdateOne({"_id": entity_id}, update, upsert=True)


def _last_bucket(entity_id: str, key: str) -> list[Document]:
    return [
        {"$match": {"_id": of_attribute(entity_id, key)}},
        {"$sort": {"_id": -1}},
        {"$limit": 1},
        {"$project": {"u": 1}},
    ]


async def _spans(collection: Collection) -> AsyncIterator[tuple[Document, int]]:
    """Filters for consecutive ranges of ids, each with the number of documents in the range."""
    after = ""
    while True:
        wanted = {"_id": {"$gt": after}}
        ids = await collection.find(wanted, {"_id": 1}, sort=[("_id", 1)], limit=_SCANNED).to_list()
        if not ids:
            return
        yield {"_id": {"$gt": after, "$lte": ids[-1]["_id"]}}, len(ids)
        after = ids[-1]["_id"]
