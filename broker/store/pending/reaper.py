"""The reaper: cleans up the documents of entities in the background, when nothing is pending any more."""

from typing import Any

from broker.store.wire.errors import reported
from broker.store.wire.tenants import Tenant, Tenants

Document = dict[str, Any]

_AT_ONCE = 500  # documents
# Documents of entities that are gone, have no past, and have nothing pending.
_OVER: Document = {"gone": 1, "ov": {"$exists": False}, "o": {"$in": [None, []]}}


class Reaper:
    """Removes the mark `ov` where the outbox has no entries, and documents that have no use any more."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def reap(self, name: str) -> None:
        """One round over a tenant. Unavailable if the database cannot serve now."""
        tenant = await self._tenants.obtain(name)
        with reported():
            await _unmark(tenant)
            await tenant.entities.delete_many(_OVER)


async def _unmark(tenant: Tenant) -> None:
    """Unmarks documents, unless they were written since they were read: entries may have moved out then."""
    after = ""
    while documents := await _marked(tenant, after):
        ids = [document["_id"] for document in documents]
        busy = set(await tenant.outbox.distinct("e", {"e": {"$in": ids}}))
        for document in documents:
            if document["_id"] not in busy:
                await tenant.entities.update_one(document, {"$unset": {"ov": 1}})
        after = ids[-1]


async def _marked(tenant: Tenant, after: str) -> list[Document]:
    """A page of marked documents in the order of ids, each as {_id, rev}."""
    wanted = {"ov": True, "_id": {"$gt": after}}
    return await tenant.entities.find(wanted, {"rev": 1}, sort=[("_id", 1)], limit=_AT_ONCE).to_list()
