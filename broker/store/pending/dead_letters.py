"""Dead letters: notifications that were refused for good or got too old. They can be listed and replayed.

Stored as {_id: "<subscription> <id of the entry>", e: entity id, the entry's payload (see `entries`), reason,
given_up: when it became a dead letter (µs, the server's time), expires: date}.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient, ReplaceOne, ReturnDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.clock import Clock, Stamp
from broker.core import instant
from broker.core.delivery.entry import Entry, entry_id
from broker.ports.changes import ChangeSink
from broker.ports.subscriptions import DeadLetter
from broker.store.pending import entries
from broker.store.wire.errors import reported
from broker.store.wire.tenants import EPOCH, Collection, Tenant, Tenants, epoch_of
from broker.store.wire.transactions import Transactions

Document = dict[str, Any]
_STATES = ("entity", "was", "zipped", "suppressed.entity", "suppressed.was")
_AT_ONCE = 500  # dead letters read at once for a replay
_PAYLOAD = ("e", "entity", "was", "report", "suppressed", "zipped", "cut")


@dataclass(frozen=True, slots=True)
class DeadLetterLimits:
    """How many seconds dead letters are kept, and how many (`count`) for each tenant."""

    seconds: float
    count: int
    clock: Clock = field(default_factory=Clock)


async def keep(
    collection: Collection, given_up: Sequence[tuple[Entry, str, str]], kept: DeadLetterLimits
) -> None:
    """Stores dead letters, given as (entry, subscription, reason). Deletes the oldest beyond the limit.

    An existing one of the same entry and subscription is replaced, so a retry is harmless.
    """
    now = kept.clock.server()
    expires = datetime.fromtimestamp(now / 1_000_000 + kept.seconds, UTC)
    documents = [_document(*dead_letter, now, expires) for dead_letter in given_up]
    await collection.bulk_write([ReplaceOne({"_id": raw["_id"]}, raw, upsert=True) for raw in documents])
    excess = await collection.estimated_document_count() - kept.count
    if excess > 0:
        oldest = collection.find({}, {"_id": 1}, sort=[("expires", 1)], limit=excess)
        await collection.delete_many({"_id": {"$in": [document["_id"] async for document in oldest]}})


def _document(entry: Entry, subscription: str, reason: str, now: int, expires: datetime) -> RawBSONDocument:
    head = {
        "_id": f"{subscription} {entry.id}",
        "reason": reason,
        "given_up": now,
        "expires": expires,
    }
    return entries.fitting(replace(entry), head)  # a copy: what is cut here is not cut for others


class MongoDeadLetters:
    """See `ports.DeadLetters`."""

    def __init__(
        self,
        client: AsyncMongoClient[Document],
        tenants: Tenants,
        sink: ChangeSink,
        clock: Clock,
        process: str,
    ) -> None:
        self._transactions = Transactions(client)
        self._tenants = tenants
        self._sink = sink
        self._clock = clock
        self._process = process

    @property
    def session(self) -> AsyncClientSession:
        """The session of the transactions that replay, for the list of processes."""
        return self._transactions.session

    async def find(self, tenant: str, subscription_id: str, limit: int, offset: int) -> list[DeadLetter]:
        """See `ports.DeadLetters.find`."""
        undelivered = (await self._tenants.get(tenant)).undelivered
        wanted, shown = all_of(subscription_id), dict.fromkeys(_STATES, 0)
        with reported():
            cursor = undelivered.find(wanted, shown, sort=[("_id", 1)], skip=offset, limit=limit)
            return [_dead_letter(document) async for document in cursor]

    async def count(self, tenant: str, subscription_id: str) -> int:
        """See `ports.DeadLetters.count`."""
        undelivered = (await self._tenants.get(tenant)).undelivered
        with reported():
            return await undelivered.count_documents(all_of(subscription_id))

    async def replay(self, tenant: str, subscription_id: str, letter_id: str | None) -> int:
        """See `ports.DeadLetters.replay`."""
        handle = await self._tenants.get(tenant)
        wanted, count = _of(subscription_id, letter_id), 0
        with reported():
            await self._sink.at_epoch(tenant, *epoch_of(await handle.entities.find_one({"_id": EPOCH})))
            while page := await handle.undelivered.find(wanted, sort=[("_id", 1)], limit=_AT_ONCE).to_list():
                for document in page:
                    if (entry := await self._renewed(document, handle, subscription_id)) is not None:
                        self._sink.committed(entry, (), False)
                        count += 1
        return count

    async def delete(self, tenant: str, subscription_id: str, letter_id: str | None) -> int:
        """See `ports.DeadLetters.delete`."""
        undelivered = (await self._tenants.get(tenant)).undelivered
        with reported():
            return (await undelivered.delete_many(_of(subscription_id, letter_id))).deleted_count

    async def _renewed(self, document: Document, tenant: Tenant, subscription_id: str) -> Entry | None:
        """Turns a dead letter into a new entry in the outbox, after all existing entries of the entity.

        None if another request has replayed or deleted it. It is a transaction: otherwise the reaper could
        remove the mark of the entity's document before the outbox has the entry.
        """

        async def move(session: AsyncClientSession) -> Document | None:
            deletion = await tenant.undelivered.delete_one({"_id": document["_id"]}, session=session)
            if not deletion.deleted_count:
                return None
            stamp = await self._stamp(document, tenant, session)
            new: Document = {
                "_id": entry_id(stamp.rev, stamp.number, self._process), "st": stamp.rev,
                "at": self._clock.server(), "by": self._process, "due": [subscription_id],
            }  # fmt: skip
            renewed = {**{name: document[name] for name in _PAYLOAD if name in document}, **new}
            await tenant.outbox.insert_one(renewed, session=session)
            return renewed

        renewed = await self._transactions.run(move)
        return None if renewed is None else entries.whole(renewed, tenant.name, document["e"])

    async def _stamp(self, document: Document, tenant: Tenant, session: AsyncClientSession) -> Stamp:
        """A stamp with a rev above the entity's. Raises that to it; marks the entity's document (`ov`)."""
        if document.keys() & {"report", "suppressed"}:
            return self._clock.stamp()
        stamp = self._clock.stamp()
        raised = {"rev": {"$max": [stamp.rev, {"$add": ["$rev", 1]}]}, "ov": {"$literal": True}}
        updated = await tenant.entities.find_one_and_update(
            {"_id": document["e"]},
            [{"$set": {**raised, "gone": {"$cond": [{"$gt": ["$rev", None]}, "$gone", 1]}}}],
            {"rev": 1},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        assert updated is not None, "the upsert makes one if there is none"
        return stamp._replace(rev=updated["rev"])


def all_of(subscription_id: str) -> Document:
    """The filter for all dead letters of a subscription. Its id is a URI, which has no spaces."""
    return {"_id": {"$gt": subscription_id + " ", "$lt": subscription_id + "!"}}


def _of(subscription_id: str, letter_id: str | None) -> Document:
    return all_of(subscription_id) if letter_id is None else {"_id": f"{subscription_id} {letter_id}"}


def _dead_letter(document: Document) -> DeadLetter:
    return DeadLetter(
        document["_id"].partition(" ")[2],
        None if document.keys() & {"report", "suppressed"} else document["e"],
        instant.of_micros(document["at"]),
        instant.of_micros(document["given_up"]),
        document["reason"],
    )
