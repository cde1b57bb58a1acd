"""Tenants (clause 4.14): one database each, with its collections and indexes."""

import asyncio
import hashlib
import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING, AsyncMongoClient, IndexModel, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from broker.core.errors import NonexistentTenant
from broker.store.wire.errors import reported

Collection = AsyncCollection[dict[str, Any]]
Database = AsyncDatabase[dict[str, Any]]

DEFAULT = ""
_EXISTS = 48  # MongoDB's NamespaceExists
# The `_id`s, among the entities, of documents {n: number, mark}, which changes of definitions bump.
EPOCH = "epoch"  # of subscriptions
REGISTRATION_EPOCH = "registration_epoch"
PENDING_BY = "pending_by"  # name of the index of documents with pending entries, by delivering process
_PLAIN = re.compile(r"[a-z0-9_\-]{1,30}")
_CLUSTERED = {"clusteredIndex": {"key": {"_id": 1}, "unique": True}}
_DENSE = {"storageEngine": {"wiredTiger": {"configString": "block_compressor=zstd"}}}
_OPTIONS: dict[str, dict[str, Any]] = {"history": _CLUSTERED, "packed": {**_CLUSTERED, **_DENSE}}
_INDEXES = {
    "entities": [
        IndexModel([("type", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("scope", ASCENDING)], sparse=True),
        IndexModel([("due", ASCENDING)], sparse=True),
        IndexModel([("shape", ASCENDING)], sparse=True),
        IndexModel([("cells", ASCENDING)], sparse=True),
        IndexModel(
            [("past.type", ASCENDING), ("_id", ASCENDING)],
            partialFilterExpression={"past": {"$exists": True}},
        ),
        IndexModel([("pk", ASCENDING), ("_id", ASCENDING)], partialFilterExpression={"pk": 1}),
        IndexModel(
            [("o.by", ASCENDING), ("_id", ASCENDING)],
            name=PENDING_BY,
            partialFilterExpression={"o.by": {"$exists": True}},
        ),
        IndexModel([("gone", ASCENDING)], sparse=True),
        IndexModel([("ov", ASCENDING)], sparse=True),
    ],
    "history": [IndexModel([("i.expiresAt", ASCENDING)], sparse=True)],
    "contexts": [IndexModel([("local", ASCENDING)])],
    "undelivered": [IndexModel([("expires", ASCENDING)], expireAfterSeconds=0)],
    "registrations": [
        IndexModel([("types", ASCENDING), ("_id", ASCENDING)]),
        IndexModel([("mode", ASCENDING), ("ids", ASCENDING)]),
        IndexModel([("expires", ASCENDING)], expireAfterSeconds=0),
    ],
    "outbox": [
        IndexModel([("by", ASCENDING), ("e", ASCENDING)]),
        IndexModel([("e", ASCENDING)]),
        IndexModel([("due", ASCENDING)]),
    ],
}


@dataclass(frozen=True, slots=True)
class Tenant:
    """The collections of one tenant.

    - `entities`: a document for each entity that exists, has a past, or has pending entries;
    - `history`: single instances; `packed`: buckets of instances (`history.buckets`);
    - `moved`: the present times of instances whose time was changed;
    - `outbox`: pending entries that do not fit in the document of their entity;
    - `subscription_log`: the subscription that each epoch changed;
    - `throttles`: when each throttled subscription was last triggered;
    - `tallies`: counts of each subscription's notifications; `undelivered`: dead letters;
    - `contexts`: the @contexts that clients of the tenant host;
    - `registrations` and `registration_log`: the same for context sources as for subscriptions.
    """

    name: str
    entities: Collection
    history: Collection
    packed: Collection
    moved: Collection
    outbox: Collection
    subscriptions: Collection
    subscription_log: Collection
    throttles: Collection
    tallies: Collection
    undelivered: Collection
    contexts: Collection
    registrations: Collection
    registration_log: Collection


class Tenants:
    """The tenants that exist. Caches those that it knows; looks an unknown one up each time."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], prefix: str) -> None:
        self.client = client
        self._prefix = prefix
        self._known: dict[str, Tenant] = {}
        self._creating = asyncio.Lock()

    async def get(self, name: str) -> Tenant:
        """The tenant of this name; NonexistentTenant if nobody has written to it yet."""
        if (known := self._known.get(name)) is not None:
            return known
        with reported():
            if name != DEFAULT and await self._list().find_one({"_id": name}) is None:
                raise NonexistentTenant(f"there is no tenant {name!r}")
        return await self.obtain(name)

    async def obtain(self, name: str) -> Tenant:
        """The tenant of this name; creates its database if there is none."""
        if (known := self._known.get(name)) is not None:
            return known
        async with self._creating:
            if name not in self._known:
                with reported():
                    self._known[name] = await self._make(name)
        return self._known[name]

    async def names(self) -> list[str]:
        """The names of all tenants, the default one first."""
        with reported():
            names = [document["_id"] async for document in self._list().find()]
        return [DEFAULT, *(name for name in names if name != DEFAULT)]

    def _list(self) -> Collection:
        return self.client[self._prefix]["tenants"]

    async def _make(self, name: str) -> Tenant:
        database = self.client[database_name(self._prefix, name)]
        await _create_collections(database)
        await self._list().update_one({"_id": name}, {"$setOnInsert": {"_id": name}}, upsert=True)
        relaxed = WriteConcern(w=1)  # tallies may lose counts in a crash, but reads see new ones at once
        return Tenant(
            name,
            entities=database["entities"],
            history=database["history"],
            packed=database["packed"],
            moved=database["moved"],
            outbox=database["outbox"],  # durable: a settled entry that came back would block its line
            subscriptions=database["subscriptions"],
            subscription_log=database["subscription_log"],
            throttles=database["throttles"],
            tallies=database["tallies"].with_options(
                write_concern=relaxed, read_concern=ReadConcern("local")
            ),
            undelivered=database["undelivered"],
            contexts=database["contexts"],
            registrations=database["registrations"],
            registration_log=database["registration_log"],
        )


def epoch_of(document: dict[str, Any] | None) -> tuple[int, str]:
    """The (number, mark) of the epoch in the document `EPOCH`; (0, "") if there is no document."""
    return (document["n"], document.get("mark", "")) if document is not None else (0, "")


def database_name(prefix: str, tenant: str) -> str:
    """The name of a tenant's database; a hash if the tenant's name is not plain.

    MongoDB limits the length and the characters of such names, and forbids two that differ in case only.
    """
    if tenant == DEFAULT:
        return prefix
    if _PLAIN.fullmatch(tenant):
        return f"{prefix}-{tenant}"
    return f"{prefix}-~{hashlib.sha256(tenant.encode()).hexdigest()[:24]}"


async def _create_collections(database: Database) -> None:
    """Creates missing collections and indexes, before any use: transactions cannot create collections."""
    existing = set(await database.list_collection_names())
    await asyncio.gather(*(_create(database, name, existing) for name in Tenant.__slots__[1:]))
    for epoch in (EPOCH, REGISTRATION_EPOCH):
        await database["entities"].update_one({"_id": epoch}, {"$setOnInsert": {"n": 0}}, upsert=True)


async def _create(database: Database, name: str, existing: Container[str]) -> None:
    """Creates a collection, if it is missing, and its indexes. Side by side, all of them share fsyncs."""
    if name not in existing:
        try:
            await database.create_collection(name, check_exists=False, **_OPTIONS.get(name, {}))
        except OperationFailure as error:
            if error.code != _EXISTS:  # else another process has just created it
                raise
    if name in _INDEXES:
        await database[name].create_indexes(_INDEXES[name])
