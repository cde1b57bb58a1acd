"""Reads what revisions need to know of the past, before they are applied: in one snapshot.

It reads the documents of their entities, the instances that the revisions name, and the buckets that may hold
those. An addition names times, often many in a row. They are searched in runs: one query reads everything in
the span of a run. If a span holds much more than the times of the run, each time is searched separately.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bson import MaxKey
from pymongo.asynchronous.client_session import AsyncClientSession

from broker.core.jsonld.core_context import NGSI_LD
from broker.core.temporal.revision import Addition, AttributeDeletion, Burial, InstanceChange
from broker.ports.entities import Undecodable
from broker.store.history.aggregates import parts
from broker.store.history.evolutions import facts_of
from broker.store.history.records import (
    SCOPE,
    at_most,
    of_attribute,
    single_document,
    time_and_sequence,
    time_of,
)
from broker.store.wire import codec
from broker.store.wire.tenants import Collection, Tenant
from broker.store.writes.queue import Write

Document = dict[str, Any]
Pipeline = list[Document]

_TOGETHER = 100  # pipelines in one round trip
_ALL = 1_000_000  # batch size: puts all documents into the first reply
_RECENT = 1000  # latest instances among which the last one of each datasetId is searched
_RUN = 100  # times in a run
_MOST = 1000  # instances read from the span of a run; if there are more, its times are searched separately
_MOST_BUCKETS = 20  # the same for buckets
_LAST: Pipeline = [{"$sort": {"_id": -1}}, {"$limit": 1}]


_SHOWN = {"rev": 1, "past": 1, "p": 1, "h": 1, "type": 1, "pn": 1}


@dataclass(slots=True)
class Past:
    """The stored evolution of an entity, as far as a revision needs it.

    - `rev`: the revision of the entity's document, 0 if there is none; `is_there`: the entity exists;
    - `facts`: the facts of the evolution, None if there is no evolution;
    - `held`: all single instances in the document; `found`: the instances in `history` that the revision
      names; `buckets`: the buckets that may hold such instances;
    - `outside`, `fault`: as in `Stored`.
    """

    rev: int = 0
    is_there: bool = False
    facts: Document | None = None
    held: list[Document] = field(default_factory=list)
    outside: int = 0
    found: list[Document] = field(default_factory=list)
    buckets: list[Document] = field(default_factory=list)
    fault: Undecodable | None = None


async def read(tenant: Tenant, writes: Sequence[Write]) -> dict[str, Past]:
    """The pasts that the revisions of these writes need, by entity id."""
    async with tenant.history.database.client.start_session(snapshot=True) as session:
        return await _Reader(tenant, session).read(writes)


@dataclass(frozen=True, slots=True)
class _Run:
    """A run: sorted times (µs) at which there may be instances of an attribute (stored key)."""

    entity: str
    key: str
    times: Sequence[int]

    @property
    def apart(self) -> Iterator["_Run"]:
        """A run for each of the times."""
        return (_Run(self.entity, self.key, (time,)) for time in self.times)

    def instances(self, number: int) -> Pipeline:
        """The pipeline that finds the single instances in the span; `number` marks its results."""
        match = {"$gte": self._at(self.times[0]), "$lt": {**self._at(self.times[-1]), "s": MaxKey()}}
        shown = {"i.datasetId": 1, "o": 1, "w": 1, "run": {"$literal": number}}
        return [{"$match": {"_id": match}}, {"$limit": _MOST}, {"$project": shown}]

    def buckets(self, number: int) -> Iterator[Pipeline]:
        """The pipelines that find the buckets in the span; `holds`: one has an instance at one of the times.

        `number` marks their results.
        """
        time = {"$add": ["$_id.t", {"$multiply": ["$k", "$$this"]}]}
        both = {"$setIntersection": [{"$map": {"input": "$t", "in": time}}, [*self.times]]}
        shown = {"$project": {"run": {"$literal": number}, "holds": {"$gt": [{"$size": both}, 0]}}}
        first, last = self.times[0], self.times[-1]
        before = {"$match": {"_id": at_most(self.entity, self.key, first)}}
        yield [before, *_LAST, {"$match": {"u": {"$gte": first}}}, shown]
        if last > first:
            inside = {"$gte": self._at(first + 1), "$lt": self._at(last + 1)}
            yield [{"$match": {"_id": inside}}, {"$limit": _MOST_BUCKETS}, shown]

    def _at(self, time: int) -> Document:
        return {"e": self.entity, "a": self.key, "t": time}


@dataclass(slots=True)
class _Reader:
    """Reads the past of one tenant's entities in the snapshot of a session."""

    tenant: Tenant
    session: AsyncClientSession

    async def read(self, writes: Sequence[Write]) -> dict[str, Past]:
        pasts = {write.entity_id: Past() for write in writes}
        documents = self.tenant.entities.find({"_id": {"$in": list(pasts)}}, _SHOWN, session=self.session)
        async for document in documents:
            pasts[document["_id"]] = _past(document)
        known = [write for write in writes if pasts[write.entity_id].facts is not None]
        runs = [run for write in known for run in _runs(write)]
        moved = await self._moved(known)
        pipelines = (pipeline for write in known for pipeline in _instances(write, moved))
        instances = [*await self._instances(runs), *await self._all(self.tenant.history, pipelines)]
        for instance in instances:
            pasts[instance["_id"]["e"]].found.append(instance)
        packed = {entity_id: set((past.facts or {}).get("packed", ())) for entity_id, past in pasts.items()}
        buckets = await self._buckets([run for run in runs if run.key in packed[run.entity]])
        with_buckets = (write for write in known if _key(write) in packed[write.entity_id])
        pipelines = (pipeline for write in with_buckets for pipeline in _buckets(write, moved))
        buckets += await self._all(self.tenant.packed, pipelines)
        for bucket in buckets:
            pasts[bucket["_id"]["e"]].buckets.append(bucket)
        return pasts

    async def _instances(self, runs: Sequence[_Run]) -> list[Document]:
        """The instances in the spans of the runs; at exactly their times where a span holds many."""
        instances = await self._all(self.tenant.history, (run.instances(n) for n, run in enumerate(runs)))
        crowded = _crowded(runs, instances, _MOST)
        if not crowded:
            return instances
        apart = [run for n in crowded for run in runs[n].apart]
        complete = [instance for instance in instances if instance["run"] not in crowded]
        return complete + await self._instances(apart)

    async def _buckets(self, runs: Sequence[_Run]) -> list[Document]:
        """The buckets that hold an instance at one of the times of the runs."""
        pipelines = (pipeline for n, run in enumerate(runs) for pipeline in run.buckets(n))
        found = await self._all(self.tenant.packed, pipelines)
        crowded = _crowded(runs, found, _MOST_BUCKETS)
        keys = {tuple(bucket["_id"].values()): bucket["_id"] for bucket in found if bucket["holds"]}
        buckets = await self._all(self.tenant.packed, ([{"$match": {"_id": key}}] for key in keys.values()))
        if crowded:
            more = await self._buckets([run for n in crowded for run in runs[n].apart])
            buckets += [bucket for bucket in more if tuple(bucket["_id"].values()) not in keys]
        return buckets

    async def _moved(self, writes: Sequence[Write]) -> dict[str, int]:
        """The present times (µs), by entity id, of instances whose time was changed before."""
        keys = [key for key in map(_first_key, writes) if key is not None]
        moves = await self._all(self.tenant.moved, [[{"$match": {"_id": {"$in": keys}}}]] if keys else [])
        return {move["_id"]["e"]: move["t"] for move in moves}

    async def _all(self, collection: Collection, pipelines: Iterable[Pipeline]) -> list[Document]:
        """The documents that these pipelines over a collection yield."""
        documents: list[Document] = []
        for first, *others in parts(pipelines, _TOGETHER):
            unions = [{"$unionWith": {"coll": collection.name, "pipeline": other}} for other in others]
            cursor = await collection.aggregate([*first, *unions], session=self.session, batchSize=_ALL)
            documents += await cursor.to_list()
        return documents


def _past(document: Document) -> Past:
    entity_id = document["_id"]
    try:
        held = [single_document(entity_id, item) for item in document.get("h", ())]
        return Past(document["rev"], "type" in document, facts_of(document), held, document.get("pn", 0))
    except Exception as error:  # any fault here concerns this entity alone
        fault = Undecodable(entity_id)
        fault.__cause__ = error
        return Past(fault=fault)


def _crowded(runs: Sequence[_Run], found: Iterable[Document], most: int) -> set[int]:
    """The indexes of runs whose span may hold more documents than were read (`most`)."""
    counts = [0] * len(runs)
    for document in found:
        counts[document["run"]] += 1
    return {n for n, count in enumerate(counts) if count >= most and len(runs[n].times) > 1}


def _runs(write: Write) -> Iterator[_Run]:
    """The runs of times at which instances may exist that an addition replaces."""
    if isinstance(write.rule, Addition):
        dated = (*write.rule.dated(""), *((NGSI_LD + SCOPE, scope) for scope in write.rule.scopes))
        at = {(codec.key(iri), time_of(added, 0)) for iri, added in dated if "observedAt" in added}
        for key, of_attr in groupby(sorted(at), key=lambda pair: pair[0]):
            for times in parts((time for _, time in of_attr), _RUN):
                yield _Run(write.entity_id, key, times)


def _instances(write: Write, moved: dict[str, int]) -> Iterator[Pipeline]:
    """The pipelines that find the single instances which a revision other than an addition names."""
    revision = write.rule
    if isinstance(revision, InstanceChange):
        if (first := _first_key(write)) is not None:
            yield [{"$match": {"_id": {**first, "t": moved.get(write.entity_id, first["t"])}}}]
    elif isinstance(revision, AttributeDeletion):
        yield [{"$match": chosen(write.entity_id, revision)}, {"$limit": 1}, {"$project": {"_id": 1}}]
    elif isinstance(revision, Burial):
        most = _RECENT if revision.delete_all else 1
        shown = {"$project": {"i.type": 1, "i.datasetId": 1, "i.deletedAt": 1}}
        yield [{"$match": chosen(write.entity_id, revision)}, {"$sort": {"_id": -1}}, {"$limit": most}, shown]


def _buckets(write: Write, moved: dict[str, int]) -> Iterator[Pipeline]:
    """The pipelines that find the buckets which a revision other than an addition needs."""
    entity_id, revision = write.entity_id, write.rule
    whole: Document = {"_id": of_attribute(entity_id, _key(write))}
    if isinstance(revision, InstanceChange):
        if (first := _first_key(write)) is not None:
            time = moved.get(entity_id, int(first["t"]))
            keys = {"_id": at_most(entity_id, first["a"], time)}
            yield [{"$match": keys}, *_LAST, {"$match": {"u": {"$gte": time}}}]
    elif isinstance(revision, Burial):
        yield [{"$match": whole}, *_LAST]
    elif isinstance(revision, AttributeDeletion) and not revision.delete_all:
        yield [{"$match": {**whole, "d": revision.dataset}}]
    else:
        yield [{"$match": whole}, {"$limit": 1}]


def _key(write: Write) -> str:
    """The stored key of the attribute that a revision names; "" if it does not name exactly one."""
    revision = write.rule
    if isinstance(revision, AttributeDeletion | InstanceChange | Burial):
        return codec.key(revision.iri)
    return ""


def _first_key(write: Write) -> Document | None:
    """The original key of the instance with an InstanceChange's instanceId; None if there is none."""
    change = write.rule
    if not isinstance(change, InstanceChange) or (original := time_and_sequence(change.instance_id)) is None:
        return None
    return {"e": write.entity_id, "a": codec.key(change.iri), "t": original[0], "s": original[1]}


def chosen(entity_id: str, revision: AttributeDeletion | Burial) -> Document:
    """The filter for the single instances that a revision deletes, or records as deleted."""
    wanted: Document = {"_id": of_attribute(entity_id, codec.key(revision.iri))}
    if not revision.delete_all:
        wanted["i.datasetId"] = revision.dataset or {"$exists": False}
    return wanted
