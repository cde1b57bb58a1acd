"""Stored @contexts: what was fetched beside the tenants, what clients host in the database of each."""

from collections.abc import Mapping
from typing import Any

import orjson
from pymongo import AsyncMongoClient, ReturnDocument, UpdateOne

from broker.core.errors import NonexistentTenant
from broker.ports.contexts import CACHED, IMPLICIT, ContextKey, StoredContext
from broker.store.wire.errors import reported
from broker.store.wire.tenants import DEFAULT, Collection, Tenants

Document = dict[str, Any]
_Shelf = tuple[Collection, Document, str]  # a collection, what of it is to be seen, and whose it is

_SHOWN: Document = {"hidden": {"$exists": False}}


class MongoContexts:
    """See `contexts.storage.Shelves`. Contexts are kept as text, so that any keys are safe.

    `_id` is the URL of a Cached one, or the local identifier. Cached ones are in the default tenant's
    database, for they are everybody's. An ImplicitlyCreated one that clients delete is only hidden from
    them, for subscriptions may stand on it.
    """

    def __init__(self, client: AsyncMongoClient[Document], prefix: str, tenants: Tenants) -> None:
        self._cached = client[prefix]["contexts"]
        self._tenants = tenants

    async def get(self, key: ContextKey) -> StoredContext | None:
        """The one under this key; None, too, if there is no such tenant."""
        tenant, name = key
        if (collection := await self._of(tenant)) is None:
            return None
        with reported():
            found = await collection.find_one({"_id": name})
        return None if found is None else _read(found, tenant)

    async def put(self, one: StoredContext) -> StoredContext:
        """Stores one, unless there is one under its key; the one that is there now. Makes the tenant."""
        tenant, name = one.key
        collection = (await self._tenants.obtain(tenant)).contexts if tenant else self._cached
        with reported():
            found = await collection.find_one_and_update(
                {"_id": name},
                {"$setOnInsert": _facts(one), "$unset": {"hidden": 1}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return one if found is None else _read(found, tenant)

    async def replace(self, old: StoredContext, new: StoredContext) -> bool:
        """Puts one in place of another; False if that is there no more, and then nothing is done."""
        with reported():
            collection = await self._of(old.tenant)
            assert collection is not None, "what was read is of a tenant"
            done = await collection.update_one(
                {"_id": old.key[1], "created": old.created}, {"$set": _facts(new)}
            )
        return done.matched_count == 1

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """The one that the tenant sees under this local identifier, or URL if it is Cached."""
        for collection, shown, owner in await self._seen(tenant):
            with reported():
                found = await collection.find_one({"$or": [{"_id": name}, {"local": name}], **shown})
            if found is not None:
                return _read(found, owner)
        return None

    async def list(self, tenant: str, kind: str | None) -> list[StoredContext]:
        """Those that the tenant sees, oldest first."""
        found: list[StoredContext] = []
        for collection, shown, owner in await self._seen(tenant):
            with reported():
                found += [_read(one, owner) for one in await collection.find(shown).to_list()]
        return sorted((one for one in found if kind in (None, one.kind)), key=lambda one: one.created)

    async def remove(self, one: StoredContext) -> bool:
        """Removes one; False if it is gone already."""
        tenant, name = one.key
        if (collection := await self._of(tenant)) is None:
            return False
        with reported():
            if one.kind == IMPLICIT:
                hiding = {"$set": {"hidden": True}, "$unset": {"hits": 1, "used": 1}}
                return (await collection.update_one({"_id": name, **_SHOWN}, hiding)).matched_count == 1
            return (await collection.delete_one({"_id": name})).deleted_count == 1

    async def add_hits(self, counts: Mapping[ContextKey, tuple[int, float]]) -> None:
        """Adds hits to those written down; what is stored no more has none."""
        by_tenant: dict[str, list[UpdateOne]] = {}
        for (tenant, name), (count, at) in counts.items():
            change = UpdateOne({"_id": name}, {"$inc": {"hits": count}, "$max": {"used": at}})
            by_tenant.setdefault(tenant, []).append(change)
        for tenant, changes in by_tenant.items():
            if (collection := await self._of(tenant)) is not None:
                with reported():
                    await collection.bulk_write(changes, ordered=False)

    async def _seen(self, tenant: str) -> tuple[_Shelf, ...]:
        """Where what a tenant sees is."""
        if not tenant:
            return ((self._cached, _SHOWN, DEFAULT),)
        own, everybodys = await self._of(tenant), (self._cached, {"kind": CACHED}, DEFAULT)
        return (everybodys,) if own is None else ((own, _SHOWN, tenant), everybodys)

    async def _of(self, tenant: str) -> Collection | None:
        if not tenant:
            return self._cached
        try:
            return (await self._tenants.get(tenant)).contexts
        except NonexistentTenant:
            return None


def _facts(one: StoredContext) -> Document:
    text = orjson.dumps(one.document).decode()
    facts: Document = {"kind": one.kind, "local": one.id, "document": text, "created": one.created}
    return facts if one.expires is None else {**facts, "expires": one.expires}


def _read(document: Document, tenant: str) -> StoredContext:
    is_cached = document["kind"] == CACHED
    return StoredContext(
        document["local"],
        document["kind"],
        orjson.loads(document["document"]),
        document["created"],
        DEFAULT if is_cached else tenant,
        document["_id"] if is_cached else None,
        document.get("expires"),
        document.get("hits", 0),
        document.get("used"),
    )
