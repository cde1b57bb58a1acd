"""Stored tallies of context sources.

They are in the documents of the registrations, so whatever removes a registration removes its tally. A tally
may lose counts in a crash.
"""

from collections.abc import Collection, Mapping
from typing import Any

from pymongo import UpdateOne, WriteConcern
from pymongo.read_concern import ReadConcern

from broker.core.federation.source_tally import SourceTally
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection as MongoCollection
from broker.store.wire.tenants import Tenants

Document = dict[str, Any]


class MongoSourceTallies:
    """See `ports.SourceTallyStore`."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def add_tallies(self, tenant: str, tallies: Mapping[str, SourceTally]) -> None:
        """See `ports.SourceTallyStore.add_tallies`."""
        collection = await self._collection(tenant)
        updates = [UpdateOne({"_id": name}, _addition(tally)) for name, tally in tallies.items()]
        with reported():
            await collection.bulk_write(updates, ordered=False)

    async def tallies(self, tenant: str, registration_ids: Collection[str]) -> dict[str, SourceTally]:
        """See `ports.SourceTallyStore.tallies`."""
        collection = await self._collection(tenant)
        wanted = {"_id": {"$in": [*registration_ids]}, "tally": {"$exists": True}}
        with reported():
            documents = await collection.find(wanted, {"tally": 1}).to_list()
        return {document["_id"]: _tally(document["tally"]) for document in documents}

    async def _collection(self, tenant: str) -> MongoCollection:
        handle = await self._tenants.get(tenant)
        return handle.registrations.with_options(
            write_concern=WriteConcern(w=1), read_concern=ReadConcern("local")
        )


def _addition(tally: SourceTally) -> Document:
    times = {"tally.success": tally.last_success, "tally.failure": tally.last_failure}
    return {
        "$inc": {"tally.sent": tally.sent, "tally.failed": tally.failed},
        "$max": {place: at for place, at in times.items() if at is not None},
    }


def _tally(stored: Document) -> SourceTally:
    return SourceTally(stored["sent"], stored["failed"], stored.get("success"), stored.get("failure"))
