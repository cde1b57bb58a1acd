"""The packer: packs single instances and small buckets into large buckets. One process does it.

It visits only entities with the mark `pk`, which is set when enough history has moved out of the document; so
entities without writes cost nothing. A series is packed in steps. A step is a transaction: it packs some
hundred of the oldest single instances together with the buckets that overlap them, or merges a run of small
adjacent buckets. A step raises the revision of the entity's document, so it conflicts with any concurrent
write; then it waits for the next round. A process that dies leaves nothing half done.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bson import MaxKey
from pymongo import UpdateOne
from pymongo.errors import OperationFailure

from broker.clock import Clock
from broker.core.errors import Unavailable
from broker.store.background.lease import Lease
from broker.store.background.runner import note_failure
from broker.store.history.aggregates import parts
from broker.store.history.buckets import LARGE, SIZE, pack, unpack
from broker.store.history.evolutions import FACTS, facts_of
from broker.store.history.records import of_attribute, older
from broker.store.history.windows import Series, union
from broker.store.wire import codec, commands
from broker.store.wire.client import Session
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Collection, Tenant, Tenants

Document = dict[str, Any]
log = logging.getLogger(__name__)

_STEP = 500  # single instances in a step
_WIDE = 8  # the most buckets in a step
_TOGETHER = 100  # series counted in one round trip
_ENTITIES = 100  # entities in one read
_CROWD = 2000  # instances of one time that are too many for a bucket
# Transient instances are left for the sweeper; large ones stay single.
_WANTED = {"i.expiresAt": {"$exists": False}, "$expr": {"$lt": [{"$bsonSize": "$i"}, LARGE]}}
_RUN = 8  # adjacent small buckets from which on a merge pays
_NEWEST = 64  # newest buckets of a series that are checked for merges
_REST = 4  # pause after a step, as a multiple of its duration


@dataclass(frozen=True, slots=True)
class Packing:
    """The settings of packing.

    Packs instances older than `age` (s), if an attribute has `least` of them, into buckets of about `size`
    instances. `rest`: the pause after a step, as a multiple of its duration; `lease` in seconds.
    """

    age: float
    least: int = 128
    size: int = SIZE
    rest: float = _REST
    lease: float = 15.0


class Packer:
    """Packs the history of tenants, a round at a time."""

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
        self.session: Session = tenants.client.start_session()

    async def pack_tenant(self, name: str) -> int:
        """Does a round over a tenant. Returns the number of instances that were packed."""
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
        cursor = tenant.entities.find(wanted, {**FACTS, "pn": 1}, sort=[("_id", 1)], limit=_ENTITIES)
        return [
            {**facts, "pn": document.get("pn", 0)}
            for document in await cursor.to_list()
            if (facts := facts_of(document)) is not None
        ]

    async def _unmark(self, tenant: Tenant, heads: Sequence[Document]) -> None:
        """Removes the mark, unless more has moved out meanwhile, or enough instances are just too young."""
        young = {entity_id for entity_id, _ in await self._due(tenant, heads, None)}
        done = [
            UpdateOne({"_id": facts["_id"], "pn": facts["pn"]}, {"$unset": {"pk": 1}, "$set": {"pn": 0}})
            for facts in heads
            if facts["_id"] not in young
        ]
        if done:
            await tenant.entities.bulk_write(done, ordered=False)

    async def _due(self, tenant: Tenant, heads: Sequence[Document], before: int | None) -> set[Series]:
        """The series with enough single instances for a bucket; counts those `before` a time (µs), or all."""
        due: set[Series] = set()
        for many in parts(_series(heads), _TOGETHER):
            limits: list[Document] = [{"$limit": self._packing.least}, {"$project": {"_id": 1}}]
            counted = {"$group": {"_id": {"e": "$_id.e", "a": "$_id.a"}, "n": {"$sum": 1}}}
            pipelines = (
                [{"$match": {"_id": _up_to(series, before), **_WANTED}}, *limits, counted] for series in many
            )
            rows = await (await tenant.history.aggregate(union(pipelines))).to_list()
            due |= {(row["_id"]["e"], row["_id"]["a"]) for row in rows if row["n"] >= self._packing.least}
        return due

    async def _try_series(self, tenant: Tenant, series: Series, before: int, is_due: bool) -> int:
        """Packs a series and returns the number of packed instances. An error is logged and returns 0."""
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
        moved = 0
        while True:
            began = time.monotonic()
            step = await self.step(tenant, self.session, series, before)
            moved += step
            if step < self._packing.least or not await self.lease.is_held():
                return moved
            await asyncio.sleep((time.monotonic() - began) * self._packing.rest)

    async def step(self, tenant: Tenant, session: Session, series: Series, before: int) -> int:
        """Packs the oldest single instances of a series. Returns their number, 0 after a conflict."""
        try:
            async with await session.start_transaction():
                singles = await self._singles(tenant, session, series, before)
                buckets = await _overlapping(tenant, session, series, singles)
                if len(buckets) > _WIDE:
                    end = buckets.pop()["_id"]["t"]
                    singles = [document for document in singles if document["_id"]["t"] < end]
                if not singles:
                    return 0
                await self._exchange(tenant, session, series, singles, buckets)
                return len(singles)
        except (commands.Missed, OperationFailure) as error:
            return _left(series, error)

    async def _merge_series(self, tenant: Tenant, series: Series) -> int:
        """Merges adjacent small buckets into large ones. Returns the number of their instances."""
        moved = 0
        cursor = tenant.packed.find(
            {"_id": of_attribute(*series)}, {"n": 1}, sort=[("_id", -1)], limit=_NEWEST
        )
        for run in _runs(await cursor.to_list(), self._packing.size):
            began = time.monotonic()
            moved += await self._merge(tenant, self.session, series, run)
            await asyncio.sleep((time.monotonic() - began) * self._packing.rest)
        return moved

    async def _merge(self, tenant: Tenant, session: Session, series: Series, run: Sequence[Document]) -> int:
        """Merges the buckets with these keys. Returns the number of instances, 0 after a conflict."""
        try:
            async with await session.start_transaction():
                buckets = await commands.find(
                    tenant.packed, {"_id": {"$in": list(run)}}, session, sort={"_id": 1}
                )
                if len(buckets) < len(run):
                    return 0
                await self._put(tenant, session, series, [], buckets)
                return sum(bucket["n"] for bucket in buckets)
        except (commands.Missed, OperationFailure) as error:
            return _left(series, error)

    async def _singles(self, tenant: Tenant, session: Session, series: Series, before: int) -> list[Document]:
        """The oldest single instances that may be packed; either all or none of the same time."""
        wanted = {"_id": older(*series, before), **_WANTED}
        documents = await commands.find(tenant.history, wanted, session, sort={"_id": 1}, limit=_STEP + 1)
        if len(documents) > _STEP:
            last = documents[-1]["_id"]["t"]
            whole = [document for document in documents if document["_id"]["t"] < last]
            if not whole:
                documents = await commands.find(
                    tenant.history, {**_WANTED, "_id": _moment(series, last)}, session, limit=_CROWD
                )
                whole = documents if len(documents) < _CROWD else []
            return whole
        return documents

    async def _exchange(
        self,
        tenant: Tenant,
        session: Session,
        series: Series,
        singles: list[Document],
        buckets: list[Document],
    ) -> None:
        """Replaces single instances and overlapping buckets by new buckets; Missed after a conflict."""
        span = {**_WANTED, "_id": {"$gte": singles[0]["_id"], "$lte": singles[-1]["_id"]}}
        if await commands.delete_all(tenant.history, [span], session) != len(singles):
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
        """Packs single instances and those of old buckets into new buckets; updates the entity's document."""
        packed = [instance for bucket in buckets for instance in unpack(bucket)]
        documents = sorted(
            singles + packed, key=lambda document: (document["_id"]["t"], document["_id"]["s"])
        )
        await commands.delete_each(tenant.packed, [bucket["_id"] for bucket in buckets], session)
        await commands.insert(tenant.packed, list(pack(documents, self._packing.size)), session)
        last = documents[-1]["_id"]["t"]
        raised = {"$inc": {"rev": 1}, "$max": {f"p.{series[1]}": last}}
        await commands.update_each(tenant.entities, [{"q": {"_id": series[0]}, "u": raised}], session)


def _left(series: Series, error: Exception) -> int:
    """Returns 0, so that the step is retried in the next round, after a conflict; raises other errors."""
    if isinstance(error, OperationFailure) and not error.has_error_label("TransientTransactionError"):
        raise error
    log.debug("packing has to wait", extra={"entity": series[0], "reason": str(error)})
    return 0


def _runs(newest: Sequence[Document], size: int) -> Iterator[list[Document]]:
    """Runs of adjacent small buckets for which a merge pays, as lists of keys."""
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
    """The buckets that overlap the instances in time, in order; at most one more than a step may take."""
    if not singles:
        return []
    first, last = singles[0]["_id"]["t"], singles[-1]["_id"]["t"]
    earlier = {"_id": {**of_attribute(*series), "$lt": _moment(series, first)["$gte"]}}
    before = await commands.find(tenant.packed, earlier, session, sort={"_id": -1}, limit=1)
    inside = {"_id": {"$gte": _moment(series, first)["$gte"], "$lt": _moment(series, last)["$lt"]}}
    overlapping = await commands.find(tenant.packed, inside, session, sort={"_id": 1}, limit=_WIDE + 1)
    return ([bucket for bucket in before if bucket["u"] >= first] + overlapping)[: _WIDE + 1]
