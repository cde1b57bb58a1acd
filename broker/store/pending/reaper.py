"""The reaper: tidies up documents after what was pending is over, in the background."""

from typing import Any

from broker.store.wire.errors import reported
from broker.store.wire.tenants import Tenant, Tenants

Document = dict[str, Any]

_AT_ONCE = 500
# Documents of entities that are gone and have no past, and nothing pending any more.
_OVER: Document = {"gone": 1, "ov": {"$exists": False}, "o": {"$in": [None, []]}}


class Reaper:
    """Takes the mark off documents of which the outbox has nothing any more; removes those that are over."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def reap(self, name: str) -> None:
        """One round over a tenant."""
        tenant = await self._tenants.obtain(name)
        with reported():
            await _unmark(tenant)
            await tenant.entities.delete_many(_OVER)


async def _unmark(tenant: Tenant) -> None:
    """A document that was written since it was looked at keeps its mark: something may have moved out."""
    after = ""
    while found := await _marked(tenant, after):
        ids = [one["_id"] for one in found]
        busy = set(await tenant.outbox.distinct("e", {"e": {"$in": ids}}))
        for one in found:
            if one["_id"] not in busy:
                await tenant.entities.update_one(one, {"$unset": {"ov": 1}})
        after = ids[-1]


async def _marked(tenant: Tenant, after: str) -> list[Document]:
    """Documents with the mark, by id and revision, in order."""
    wanted = {"ov": True, "_id": {"$gt": after}}
    return await tenant.entities.find(wanted, {"rev": 1}, sort=[("_id", 1)], limit=_AT_ONCE).to_list()
