"""The packer: makes few large buckets of many small ones and of single instances, once for each database.

It looks at the entities that are marked (`pk`), since so much moved out of their documents that it is worth
the while; what nobody writes costs nothing. A series is packed step by step, each a transaction of its own:
some hundreds of its oldest single instances, together with the buckets that they fall into, or a run of small
buckets that follow each other. A step raises the revision of the entity's document: whoever writes it
meanwhile finds that out, and so does the step, which is left for the next round then. A process that dies
leaves nothing half done.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bson import MaxKey
from pymongo import AsyncMongoClient, UpdateOne
from pymongo.errors import OperationFailure

from broker.clock import Clock
from broker.core.errors import Unavailable
from broker.store.background.lease import Lease
from broker.store.background.runner import note_failure
from broker.store.history.aggregates import parts
from broker.store.history.buckets import LARGE, SIZE, pack, unpack
from broker.store.history.evolutions import SHOWN, facts_of
from broker.store.history.records import of_attribute, older
from broker.store.history.windows import Series, union
from broker.store.wire import codec, commands
from broker.store.wire.client import Session
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenant, Tenants

Document = dict[str, Any]
log = logging.getLogger(__name__)

_STEP = 500  # single instances that one step moves
_WIDE = 8  # buckets that one step takes in
_TOGETHER = 100  # series that are looked at in one round trip
_ENTITIES = 100  # of the catalogue, read at once
_CROWD = 2000  # instances of one moment that are too many for a bucket
# What expires is left for the sweeper, and what is large stays by itself.
_WANTED = {"i.expiresAt": {"$exists": False}, "$expr": {"$lt": [{"$bsonSize": "$i"}, LARGE]}}
_RUN = 8  # small buckets that are worth being made one
_NEWEST = 64  # buckets of a series that are looked at, from the newest on
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
        """One round over a tenant; how many instances were packed."""
        with reported():
            return await self._pack_all(await self._tenants.obtain(name))

    async def _pack_all(self, tenant: Tenant) -> int:
        before = self._clock.shared() - round(self._packing.age * 1_000_000)
        after, moved = "", 0
        while heads := await self._heads(tenant, after):
            due = await self._due(tenant, heads, before)
            for series in _series(heads):
                moved += await self._try_series(tenant, series, before, series in due)
                if not await self.lease.is_held():
                    return moved
            await self._unmark(tenant, heads)
            after = heads[-1]["_id"]
        return moved

    async def _heads(self, tenant: Tenant, after: str) -> list[Document]:
        wanted = {"pk": 1, "_id": {"$gt": after}}
        cursor = tenant.entities.find(wanted, {**SHOWN, "pn": 1}, sort=[("_id", 1)], limit=_ENTITIES)
        return [
            {**facts, "pn": one.get("pn", 0)}
            for one in await cursor.to_list()
            if (facts := facts_of(one)) is not None
        ]

    async def _unmark(self, tenant: Tenant, heads: Sequence[Document]) -> None:
        """Takes the mark off, unless more moved out meanwhile, or much is too young to be packed."""
        young = {entity_id for entity_id, _ in await self._due(tenant, heads, None)}
        done = [
            UpdateOne({"_id": one["_id"], "pn": one["pn"]}, {"$unset": {"pk": 1}, "$set": {"pn": 0}})
            for one in heads
            if one["_id"] not in young
        ]
        if done:
            await tenant.entities.bulk_write(done, ordered=False)

    async def _due(self, tenant: Tenant, heads: Sequence[Document], before: int | None) -> set[Series]:
        """The series that have enough single instances to be packed; `before`: counting older ones only."""
        due: set[Series] = set()
        for many in parts(_series(heads), _TOGETHER):
            limits: list[Document] = [{"$limit": self._packing.least}, {"$project": {"_id": 1}}]
            counted = {"$group": {"_id": {"e": "$_id.e", "a": "$_id.a"}, "n": {"$sum": 1}}}
            pipelines = (
                [{"$match": {"_id": _up_to(one, before), **_WANTED}}, *limits, counted] for one in many
            )
            rows = await (await tenant.history.aggregate(union(pipelines))).to_list()
            due |= {(one["_id"]["e"], one["_id"]["a"]) for one in rows if one["n"] >= self._packing.least}
        return due

    async def _try_series(self, tenant: Tenant, series: Series, before: int, is_due: bool) -> int:
        """Packs a series; if that fails, it stops none of the others."""
        try:
            with reported():
                moved = await self._pack_series(tenant, series, before) if is_due else 0
                return moved + await self._merge_series(tenant, series)
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
            return _left(series, error)

    async def _merge_series(self, tenant: Tenant, series: Series) -> int:
        """Makes large buckets of small ones that follow each other; how many instances were in them."""
        assert self._session is not None, "opened first"
        moved = 0
        cursor = tenant.packed.find(
            {"_id": of_attribute(*series)}, {"n": 1}, sort=[("_id", -1)], limit=_NEWEST
        )
        for run in _runs(await cursor.to_list(), self._packing.size):
            began = time.monotonic()
            moved += await self._merge(tenant, self._session, series, run)
            await asyncio.sleep((time.monotonic() - began) * self._packing.rest)
        return moved

    async def _merge(self, tenant: Tenant, session: Session, series: Series, run: Sequence[Document]) -> int:
        """Puts the instances of buckets into fewer; how many, 0 if that has to wait."""
        try:
            async with await session.start_transaction():
                found = await commands.find(
                    tenant.packed, {"_id": {"$in": list(run)}}, session, sort={"_id": 1}
                )
                if len(found) < len(run):
                    return 0
                await self._put(tenant, session, series, [], found)
                return sum(one["n"] for one in found)
        except (commands.Missed, OperationFailure) as error:
            return _left(series, error)

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
        those = {**_WANTED, "_id": {"$gte": singles[0]["_id"], "$lte": singles[-1]["_id"]}}
        if await commands.delete_all(tenant.history, [those], session) != len(singles):
            raise commands.Missed
        await self._put(tenant, session, series, singles, buckets)

    async def _put(
        self,
        tenant: Tenant,
        session: Session,
        series: Series,
        singles: list[Document],
        buckets: list[Document],
    ) -> None:
        """Puts single instances and those of buckets into buckets, and says so in the entity's document."""
        known = [one for bucket in buckets for one in unpack(bucket)]
        documents = sorted(singles + known, key=lambda one: (one["_id"]["t"], one["_id"]["s"]))
        await commands.delete_each(tenant.packed, [one["_id"] for one in buckets], session)
        await commands.insert(tenant.packed, list(pack(documents, self._packing.size)), session)
        last = documents[-1]["_id"]["t"]
        raised = {"$inc": {"rev": 1}, "$max": {f"p.{series[1]}": last}}
        await commands.update_each(tenant.entities, [{"q": {"_id": series[0]}, "u": raised}], session)


def _left(series: Series, error: Exception) -> int:
    """Leaves a step for the next round, if somebody else was in its way; raises the error otherwise."""
    if isinstance(error, OperationFailure) and not error.has_error_label("TransientTransactionError"):
        raise error
    log.debug("packing has to wait", extra={"entity": series[0], "reason": str(error)})
    return 0


def _runs(newest: Sequence[Document], size: int) -> Iterator[list[Document]]:
    """The keys of small buckets that follow each other and are worth being made one."""
    run: list[Document] = []
    count = 0
    for bucket in newest:
        if bucket["n"] < size // 2:
            run.append(bucket["_id"])
            count += bucket["n"]
        if run and (bucket["n"] >= size // 2 or count >= size):
            if len(run) >= _RUN or count >= size:
                yield run
            run, count = [], 0
    if len(run) >= _RUN:
        yield run


def _up_to(series: Series, before: int | None) -> Document:
    return of_attribute(*series) if before is None else older(*series, before)


def _series(heads: Sequence[Document]) -> Iterator[Series]:
    for facts in heads:
        for key in (*(["scope"] if "scope" in facts else []), *facts.get("attrs", ())):
            yield facts["_id"], key


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
