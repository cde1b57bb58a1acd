"""The packer: moves older history into buckets, in the background, once for each database.

A series is packed step by step, each a transaction of its own that moves some hundreds of its oldest single
instances, together with the buckets that they fall into because they came late. Whoever writes to one of
these meanwhile conflicts with the step, which is left for the next round then; and a step counts itself in
the catalogue, so that a revision of what it moved conflicts with it, too (`revisions`). A process that dies
leaves nothing half done: a step is done or it is not, and how far the round had come is remembered.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bson import MaxKey
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from broker.clock import Clock
from broker.core.errors import Unavailable
from broker.store import codec, commands
from broker.store.background import note_failure
from broker.store.client import Session
from broker.store.errors import reported
from broker.store.history.aggregates import parts
from broker.store.history.buckets import SIZE, pack, unpack
from broker.store.history.records import of_attribute, older
from broker.store.history.windows import Series, union
from broker.store.lease import Lease
from broker.store.tenants import Collection, Tenant, Tenants

Document = dict[str, Any]
log = logging.getLogger(__name__)

_STEP = 500  # single instances that one step moves
_WIDE = 8  # buckets that one step takes in
_TOGETHER = 100  # series that are looked at in one round trip
_ENTITIES = 100  # of the catalogue, read at once
_CROWD = 2000  # instances of one moment that are too many for a bucket
_WANTED = {"i.expiresAt": {"$exists": False}}  # what expires is left for the sweeper
_REST = 4  # times as long as a step took, the packer rests after it


@dataclass(frozen=True, slots=True)
class Packing:
    """What is packed: what is older than `age` (seconds), if there is so much of one attribute."""

    age: float
    least: int = 128
    size: int = SIZE
    rest: float = _REST
    lease: float = 15.0


class Packer:
    """Packs the history of all tenants, a round at a time."""

    def __init__(
        self,
        tasks: Collection,
        tenants: Tenants,
        process: str,
        packing: Packing,
        clock: Clock | None = None,
    ) -> None:
        self._tasks = tasks
        self._tenants = tenants
        self.lease = Lease(tasks, "pack", process, packing.lease)
        self._packing = packing
        self._clock = clock or Clock()
        self._session: Session | None = None

    def open(self, client: AsyncMongoClient[Document]) -> Session:
        """Begins to pack, on a session of its own."""
        self._session = client.start_session()
        return self._session

    async def pack_tenant(self, name: str) -> int:
        """One round over a tenant, from where the last one ended; how many instances were packed."""
        with reported():
            return await self._pack_all(name, await self._tenants.obtain(name))

    async def _pack_all(self, name: str, tenant: Tenant) -> int:
        before = self._clock.shared() - round(self._packing.age * 1_000_000)
        progress = {"_id": f"packed {name}"}
        found = await self._tasks.find_one(progress)
        after, moved = (found or {}).get("after", ""), 0
        while heads := await self._heads(tenant, after):
            for series in await self._due(tenant, heads, before):
                moved += await self._try_series(tenant, series, before)
                if not await self.lease.is_held():
                    return moved
            after = heads[-1]["_id"]
            await self._tasks.update_one(progress, {"$set": {"after": after}}, upsert=True)
        await self._tasks.delete_one(progress)
        return moved

    async def _heads(self, tenant: Tenant, after: str) -> list[Document]:
        cursor = tenant.evolutions.find({"_id": {"$gt": after}}, sort=[("_id", 1)], limit=_ENTITIES)
        return await cursor.to_list()

    async def _due(self, tenant: Tenant, heads: Sequence[Document], before: int) -> list[Series]:
        """The series that have enough to be packed."""
        due = []
        for many in parts(_series(heads), _TOGETHER):
            limits: list[Document] = [{"$limit": self._packing.least}, {"$project": {"_id": 1}}]
            counted = {"$group": {"_id": {"e": "$_id.e", "a": "$_id.a"}, "n": {"$sum": 1}}}
            pipelines = ([{"$match": {"_id": older(*one, before)}}, *limits, counted] for one in many)
            rows = await (await tenant.history.aggregate(union(pipelines))).to_list()
            due += [(one["_id"]["e"], one["_id"]["a"]) for one in rows if one["n"] >= self._packing.least]
        return due

    async def _try_series(self, tenant: Tenant, series: Series, before: int) -> int:
        """Packs a series; if that fails, it stops none of the others."""
        try:
            with reported():
                return await self._pack_series(tenant, series, before)
        except Unavailable:
            raise
        except Exception as error:
            note_failure("pack", error, tenant=tenant.name, entity=series[0], attribute=codec.name(series[1]))
            return 0

    async def _pack_series(self, tenant: Tenant, series: Series, before: int) -> int:
        assert self._session is not None, "opened first"
        moved = 0
        while True:
            began = time.monotonic()
            step = await self.step(tenant, self._session, series, before)
            moved += step
            if step < self._packing.least or not await self.lease.is_held():
                return moved
            await asyncio.sleep((time.monotonic() - began) * self._packing.rest)

    async def step(self, tenant: Tenant, session: Session, series: Series, before: int) -> int:
        """Packs some of the oldest single instances of a series; how many, 0 if that has to wait."""
        try:
            async with await session.start_transaction():
                singles = await self._singles(tenant, session, series, before)
                buckets = await _overlapping(tenant, session, series, singles)
                if len(buckets) > _WIDE:
                    end = buckets.pop()["_id"]["t"]
                    singles = [one for one in singles if one["_id"]["t"] < end]
                if not singles:
                    return 0
                await self._exchange(tenant, session, series, singles, buckets)
                return len(singles)
        except (commands.Missed, OperationFailure) as error:
            if isinstance(error, OperationFailure) and not error.has_error_label("TransientTransactionError"):
                raise
            log.debug("packing has to wait", extra={"entity": series[0], "reason": str(error)})
            return 0

    async def _singles(self, tenant: Tenant, session: Session, series: Series, before: int) -> list[Document]:
        """The oldest single instances that may be packed; all of a moment or none."""
        wanted = {"_id": older(*series, before), **_WANTED}
        found = await commands.find(tenant.history, wanted, session, sort={"_id": 1}, limit=_STEP + 1)
        if len(found) > _STEP:
            last = found[-1]["_id"]["t"]
            whole = [one for one in found if one["_id"]["t"] < last]
            if not whole:
                found = await commands.find(
                    tenant.history, {**_WANTED, "_id": _moment(series, last)}, session, limit=_CROWD
                )
                whole = found if len(found) < _CROWD else []
            return whole
        return found

    async def _exchange(
        self,
        tenant: Tenant,
        session: Session,
        series: Series,
        singles: list[Document],
        buckets: list[Document],
    ) -> None:
        """Puts instances, and buckets that they fall into, into buckets."""
        known = [one for bucket in buckets for one in unpack(bucket)]
        documents = sorted(singles + known, key=lambda one: (one["_id"]["t"], one["_id"]["s"]))
        those = {**_WANTED, "_id": {"$gte": singles[0]["_id"], "$lte": singles[-1]["_id"]}}
        if await commands.delete_all(tenant.history, [those], session) != len(singles):
            raise commands.Missed
        await commands.delete_each(tenant.packed, [one["_id"] for one in buckets], session)
        await commands.insert(tenant.packed, list(pack(documents, self._packing.size)), session)
        counted = {"$inc": {"steps": 1}, "$addToSet": {"packed": series[1]}}
        await commands.update_each(tenant.evolutions, [{"q": {"_id": series[0]}, "u": counted}], session)


def _series(heads: Sequence[Document]) -> Iterator[Series]:
    for head in heads:
        for key in (*(["scope"] if "scope" in head else []), *head.get("attrs", ())):
            yield head["_id"], key


def _moment(series: Series, time: int) -> Document:
    at = {"e": series[0], "a": series[1], "t": time}
    return {"$gte": at, "$lt": {**at, "s": MaxKey()}}


async def _overlapping(
    tenant: Tenant, session: Session, series: Series, singles: Sequence[Document]
) -> list[Document]:
    """The buckets in whose time the instances are, in order, one more than may be taken in."""
    if not singles:
        return []
    first, last = singles[0]["_id"]["t"], singles[-1]["_id"]["t"]
    earlier = {"_id": {**of_attribute(*series), "$lt": _moment(series, first)["$gte"]}}
    before = await commands.find(tenant.packed, earlier, session, sort={"_id": -1}, limit=1)
    inside = {"_id": {"$gte": _moment(series, first)["$gte"], "$lt": _moment(series, last)["$lt"]}}
    found = await commands.find(tenant.packed, inside, session, sort={"_id": 1}, limit=_WIDE + 1)
    return ([one for one in before if one["u"] >= first] + found)[: _WIDE + 1]
