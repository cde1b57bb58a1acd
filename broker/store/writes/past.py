"""What revisions have to know of the past, read before their group is worked out, as of one moment.

That is the documents of their entities and what the revisions name: instances, and buckets that may hold
them. An addition names times, often many in a row. They are looked for in runs: one look at the span of a run
finds all that is there, unless that is much more than what is looked for; then each time is looked for alone.
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
from broker.store.history.records import SCOPE, at_most, of_attribute, place, single, time_of
from broker.store.wire import codec
from broker.store.wire.tenants import Collection, Tenant
from broker.store.writes.queue import Write

Document = dict[str, Any]
Pipeline = list[Document]

_TOGETHER = 100  # pipelines in one round trip
_ALL = 1_000_000  # documents in the first answer: as many as there are
_RECENT = 1000  # instances among which the last one of each datasetId is looked for
_RUN = 100  # times in a run
_MOST = 1000  # instances in the span of a run
_MOST_BUCKETS = 20
_LAST: Pipeline = [{"$sort": {"_id": -1}}, {"$limit": 1}]


_SHOWN = {"rev": 1, "past": 1, "p": 1, "h": 1, "type": 1, "pn": 1}


@dataclass(slots=True)
class Past:
    """What there is of an evolution, and the instances a revision is about.

    `rev` is that of the entity's document, 0 if there is none; `is_there`: the entity is. `facts` are the
    facts of the evolution, None if there is none. `held` are the single instances in the document, all of
    them; `found` those in the history; `buckets` may hold some, too. `outside` and `fault` as in `Stored`.
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
    """What the revisions have to know, by entity."""
    async with tenant.history.database.client.start_session(snapshot=True) as session:
        return await _Looking(tenant, session).at(writes)


@dataclass(frozen=True, slots=True)
class _Run:
    """Times, in order, at which there may be instances of an attribute."""

    entity: str
    key: str
    times: Sequence[int]

    @property
    def apart(self) -> Iterator["_Run"]:
        """The same, each time alone."""
        return (_Run(self.entity, self.key, (time,)) for time in self.times)

    def instances(self, number: int) -> Pipeline:
        """Finds the instances in the span."""
        match = {"$gte": self._at(self.times[0]), "$lt": {**self._at(self.times[-1]), "s": MaxKey()}}
        shown = {"i.datasetId": 1, "o": 1, "w": 1, "run": {"$literal": number}}
        return [{"$match": {"_id": match}}, {"$limit": _MOST}, {"$project": shown}]

    def buckets(self, number: int) -> Iterator[Pipeline]:
        """Finds the buckets in the span, and whether one `holds` an instance of one of the times."""
        time = {"$add": ["$_id.t", {"$multiply": ["$k", "$$this"]}]}
        both = {"$setIntersection": [{"$map": {"input": "$t", "in": time}}, [*self.times]]}
        shown = {"$project": {"run": {"$literal": number}, "holds": {"$gt": [{"$size": both}, 0]}}}
        first, last = self.times[0], self.times[-1]
        reaching = {"$match": {"_id": at_most(self.entity, self.key, first)}}
        yield [reaching, *_LAST, {"$match": {"u": {"$gte": first}}}, shown]
        if last > first:
            inside = {"$gte": self._at(first + 1), "$lt": self._at(last + 1)}
            yield [{"$match": {"_id": inside}}, {"$limit": _MOST_BUCKETS}, shown]

    def _at(self, time: int) -> Document:
        return {"e": self.entity, "a": self.key, "t": time}


@dataclass(slots=True)
class _Looking:
    """Looks at one tenant's history, as of one moment."""

    tenant: Tenant
    session: AsyncClientSession

    async def at(self, writes: Sequence[Write]) -> dict[str, Past]:
        pasts = {write.entity_id: Past() for write in writes}
        documents = self.tenant.entities.find({"_id": {"$in": list(pasts)}}, _SHOWN, session=self.session)
        async for document in documents:
            pasts[document["_id"]] = _past(document)
        known = [write for write in writes if pasts[write.entity_id].facts is not None]
        runs = [run for write in known for run in _runs(write)]
        moved = await self._moved(known)
        found = await self._instances(runs)
        found += await self._all(self.tenant.history, (one for w in known for one in _instances(w, moved)))
        for document in found:
            pasts[document["_id"]["e"]].found.append(document)
        packed = {entity_id: set((past.facts or {}).get("packed", ())) for entity_id, past in pasts.items()}
        buckets = await self._buckets([one for one in runs if one.key in packed[one.entity]])
        there = (write for write in known if _key(write) in packed[write.entity_id])
        buckets += await self._all(self.tenant.packed, (one for w in there for one in _buckets(w, moved)))
        for bucket in buckets:
            pasts[bucket["_id"]["e"]].buckets.append(bucket)
        return pasts

    async def _instances(self, runs: Sequence[_Run]) -> list[Document]:
        found = await self._all(self.tenant.history, (run.instances(n) for n, run in enumerate(runs)))
        crowded = _crowded(runs, found, _MOST)
        if not crowded:
            return found
        apart = [one for n in crowded for one in runs[n].apart]
        return [one for one in found if one["run"] not in crowded] + await self._instances(apart)

    async def _buckets(self, runs: Sequence[_Run]) -> list[Document]:
        """Those that hold an instance of one of the times."""
        pipelines = (one for n, run in enumerate(runs) for one in run.buckets(n))
        found = await self._all(self.tenant.packed, pipelines)
        crowded = _crowded(runs, found, _MOST_BUCKETS)
        held = {tuple(one["_id"].values()): one["_id"] for one in found if one["holds"]}
        wanted = await self._all(self.tenant.packed, ([{"$match": {"_id": one}}] for one in held.values()))
        if crowded:
            more = await self._buckets([one for n in crowded for one in runs[n].apart])
            wanted += [one for one in more if tuple(one["_id"].values()) not in held]
        return wanted

    async def _moved(self, writes: Sequence[Write]) -> dict[str, int]:
        """Where instances are now that were moved in time: `t` by the entity of the revision."""
        wanted = [one for one in map(_first_key, writes) if one is not None]
        found = await self._all(self.tenant.moved, [[{"$match": {"_id": {"$in": wanted}}}]] if wanted else [])
        return {one["_id"]["e"]: one["t"] for one in found}

    async def _all(self, collection: Collection, pipelines: Iterable[Pipeline]) -> list[Document]:
        """All that these pipelines over a collection yield."""
        found: list[Document] = []
        for first, *others in parts(pipelines, _TOGETHER):
            unions = [{"$unionWith": {"coll": collection.name, "pipeline": one}} for one in others]
            cursor = await collection.aggregate([*first, *unions], session=self.session, batchSize=_ALL)
            found += await cursor.to_list()
        return found


def _past(document: Document) -> Past:
    entity_id = document["_id"]
    try:
        held = [single(entity_id, one) for one in document.get("h", ())]
        return Past(document["rev"], "type" in document, facts_of(document), held, document.get("pn", 0))
    except Exception as error:  # whatever it is, it is about this entity alone
        fault = Undecodable(entity_id)
        fault.__cause__ = error
        return Past(fault=fault)


def _crowded(runs: Sequence[_Run], found: Iterable[Document], most: int) -> set[int]:
    """The runs, by number, in whose span there may be more than was found."""
    counts = [0] * len(runs)
    for one in found:
        counts[one["run"]] += 1
    return {n for n, count in enumerate(counts) if count >= most and len(runs[n].times) > 1}


def _runs(write: Write) -> Iterator[_Run]:
    """The times at which what an addition adds may be there already."""
    if isinstance(write.rule, Addition):
        dated = (*write.rule.dated(""), *((NGSI_LD + SCOPE, one) for one in write.rule.scopes))
        there = {(codec.key(iri), time_of(one, 0)) for iri, one in dated if "observedAt" in one}
        for key, many in groupby(sorted(there), key=lambda one: one[0]):
            for times in parts((time for _, time in many), _RUN):
                yield _Run(write.entity_id, key, times)


def _instances(write: Write, moved: dict[str, int]) -> Iterator[Pipeline]:
    """The pipelines that find the instances other revisions are about."""
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
    """The pipelines that find the buckets other revisions are about."""
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
    """The stored key of the one attribute that a revision is about."""
    revision = write.rule
    if isinstance(revision, AttributeDeletion | InstanceChange | Burial):
        return codec.key(revision.iri)
    return ""


def _first_key(write: Write) -> Document | None:
    """The key that an instanceId is made of."""
    change = write.rule
    if not isinstance(change, InstanceChange) or (found := place(change.instance_id)) is None:
        return None
    return {"e": write.entity_id, "a": codec.key(change.iri), "t": found[0], "s": found[1]}


def chosen(entity_id: str, revision: AttributeDeletion | Burial) -> Document:
    """The filter for the instances that are to be deleted."""
    found: Document = {"_id": of_attribute(entity_id, codec.key(revision.iri))}
    if not revision.delete_all:
        found["i.datasetId"] = revision.dataset or {"$exists": False}
    return found
