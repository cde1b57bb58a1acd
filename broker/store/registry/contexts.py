"""Stored @contexts: fetched ones in the default database, hosted ones in the database of their tenant."""

from collections.abc import Mapping
from typing import Any

import orjson
from pymongo import AsyncMongoClient, ReturnDocument, UpdateOne

from broker.core.errors import NonexistentTenant
from broker.ports.contexts import CACHED, IMPLICIT, ContextKey, StoredContext
from broker.store.wire.errors import reported
from broker.store.wire.tenants import DEFAULT, Collection, Tenants

Document = dict[str, Any]
_Shelf = tuple[Collection, Document, str]  # a collection, a filter for its visible @contexts, their tenant

_SHOWN: Document = {"hidden": {"$exists": False}}


class MongoContexts:
    """See `contexts.storage.Shelves`. @contexts are stored as text, since BSON does not allow all keys.

    `_id` is the URL of a Cached @context, else the local identifier. Cached ones are shared by all tenants,
    so they are in the default tenant's database. An ImplicitlyCreated one that a client deletes is only
    hidden, because subscriptions may use it.
    """

    def __init__(self, client: AsyncMongoClient[Document], prefix: str, tenants: Tenants) -> None:
        self._cached = client[prefix]["contexts"]
        self._tenants = tenants

    async def get(self, key: ContextKey) -> StoredContext | None:
        """The @context with this key; None if there is none, or no such tenant."""
        tenant, name = key
        if (collection := await self._of(tenant)) is None:
            return None
        with reported():
            document = await collection.find_one({"_id": name})
        return None if document is None else _read(document, tenant)

    async def put(self, context: StoredContext) -> StoredContext:
        """Inserts an @context unless its key is taken. Returns the @context stored under its key afterwards.

        Creates the tenant if needed.
        """
        tenant, name = context.key
        collection = (await self._tenants.obtain(tenant)).contexts if tenant else self._cached
        with reported():
            document = await collection.find_one_and_update(
                {"_id": name},
                {"$setOnInsert": _facts(context), "$unset": {"hidden": 1}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return context if document is None else _read(document, tenant)

    async def replace(self, old: StoredContext, new: StoredContext) -> bool:
        """Replaces `old` by `new` and returns True; False if `old` is no longer stored."""
        with reported():
            collection = await self._of(old.tenant)
            assert collection is not None, "the tenant of a stored @context exists"
            result = await collection.update_one(
                {"_id": old.key[1], "created": old.created}, {"$set": _facts(new)}
            )
        return result.matched_count == 1

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """The @context visible to the tenant with this local identifier or URL (Cached); None if none is."""
        for collection, shown, owner in await self._seen(tenant):
            with reported():
                document = await collection.find_one({"$or": [{"_id": name}, {"local": name}], **shown})
            if document is not None:
                return _read(document, owner)
        return None

    async def list(self, tenant: str, kind: str | None) -> list[StoredContext]:
        """The @contexts of a kind (None: any) that are visible to the tenant, oldest first."""
        visible: list[StoredContext] = []
        for collection, shown, owner in await self._seen(tenant):
            with reported():
                visible += [_read(document, owner) for document in await collection.find(shown).to_list()]
        of_kind = (context for context in visible if kind in (None, context.kind))
        return sorted(of_kind, key=lambda context: context.created)

    async def remove(self, context: StoredContext) -> bool:
        """Removes an @context, or hides an ImplicitlyCreated one; False if there is none."""
        tenant, name = context.key
        if (collection := await self._of(tenant)) is None:
            return False
        with reported():
            if context.kind == IMPLICIT:
                hiding = {"$set": {"hidden": True}, "$unset": {"hits": 1, "used": 1}}
                return (await collection.update_one({"_id": name, **_SHOWN}, hiding)).matched_count == 1
            return (await collection.delete_one({"_id": name})).deleted_count == 1

    async def add_hits(self, counts: Mapping[ContextKey, tuple[int, float]]) -> None:
        """Adds (hits, time of the last one in s), by key, to the stored counts. Ignores unknown keys."""
        by_tenant: dict[str, list[UpdateOne]] = {}
        for (tenant, name), (count, at) in counts.items():
            change = UpdateOne({"_id": name}, {"$inc": {"hits": count}, "$max": {"used": at}})
            by_tenant.setdefault(tenant, []).append(change)
        for tenant, changes in by_tenant.items():
            if (collection := await self._of(tenant)) is not None:
                with reported():
                    await collection.bulk_write(changes, ordered=False)

    async def _seen(self, tenant: str) -> tuple[_Shelf, ...]:
        """The shelves with the @contexts that a tenant sees: its own, and the Cached ones."""
        if not tenant:
            return ((self._cached, _SHOWN, DEFAULT),)
        own, shared = await self._of(tenant), (self._cached, {"kind": CACHED}, DEFAULT)
        return (shared,) if own is None else ((own, _SHOWN, tenant), shared)

    async def _of(self, tenant: str) -> Collection | None:
        """The collection of a tenant's @contexts; None if there is no such tenant."""
        if not tenant:
            return self._cached
        try:
            return (await self._tenants.get(tenant)).contexts
        except NonexistentTenant:
            return None


def _facts(context: StoredContext) -> Document:
    text = orjson.dumps(context.document).decode()
    facts: Document = {
        "kind": context.kind,
        "local": context.id,
        "document": text,
        "created": context.created,
    }
    return facts if context.expires is None else {**facts, "expires": context.expires}


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
