"""The eraser: deletes history that is older than its retention. One process does it in the background.

It deletes in small steps and pauses after each for as long as the step took. A bucket is deleted when all its
instances are too old.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from broker.clock import Clock
from broker.core.temporal.retention import Retention
from broker.store.background.lease import Lease
from broker.store.history.evolutions import FACTS, LISTED, facts_of
from broker.store.history.records import older
from broker.store.history.windows import Series
from broker.store.wire import codec
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenant, Tenants

Document = dict[str, Any]
_AT_ONCE = 5000  # instances in a step
_BUCKETS = 200  # buckets in a step
_LEASE = 60.0  # seconds


class Eraser:
    """Deletes the history of tenants that is too old, a round at a time."""

    def __init__(
        self,
        tasks: Collection,
        tenants: Tenants,
        process: str,
        retention: Retention,
        clock: Clock | None = None,
    ) -> None:
        self._tenants = tenants
        self.lease = Lease(tasks, "erase", process, _LEASE)
        self._retention = retention
        self._clock = clock or Clock()

    async def erase_tenant(self, name: str) -> int:
        """Does a round over a tenant. Returns the number of documents deleted or changed."""
        with reported():
            return await self._erase_all(await self._tenants.obtain(name))

    async def _erase_all(self, tenant: Tenant) -> int:
        gone = 0
        async for document in tenant.entities.find(LISTED, FACTS):
            for series, before in self._old(facts_of(document) or {}):
                held = {"a": series[1], "t": {"$lt": before}}
                if series[1] in document["held"]:
                    wanted = {"_id": series[0], "h": {"$elemMatch": held}}
                    gone += (await tenant.entities.update_one(wanted, {"$pull": {"h": held}})).modified_count
                gone += await self._erase(tenant.history, {"_id": older(*series, before)}, _AT_ONCE)
                packed = {"_id": older(*series, before), "u": {"$lt": before}}
                gone += await self._erase(tenant.packed, packed, _BUCKETS)
        return gone

    def _old(self, facts: Document) -> Iterator[tuple[Series, int]]:
        """(series, time in µs) for each series of an entity with a retention: older history is deleted."""
        now = self._clock.shared()
        for key in (*(["scope"] if "scope" in facts else []), *facts.get("attrs", ())):
            age = self._retention.age(facts.get("type", ()), codec.name(key))
            if age is not None:
                yield (facts["_id"], key), now - age

    async def _erase(self, collection: Collection, wanted: Document, most: int) -> int:
        gone = 0
        while True:
            began = time.monotonic()
            documents = await collection.find(wanted, {"_id": 1}, sort=[("_id", 1)], limit=most).to_list()
            if not documents:
                return gone
            span = {"$gte": documents[0]["_id"], "$lte": documents[-1]["_id"]}
            gone += (await collection.delete_many({**wanted, "_id": span})).deleted_count
            if len(documents) < most or not await self.lease.is_held():
                return gone
            await asyncio.sleep(time.monotonic() - began)
