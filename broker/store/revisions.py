"""Revisions of the past, worked out for the transaction of their group (clauses 5.6.11 to 5.6.16).

What the revisions of a group are about is read together, just before: the catalogue's documents, and of the
history only the keys that they name. Each revision takes its evolution by the `rev` of the document in the
catalogue: if that is another by then, or an instance is not where it was, the group conflicts and is tried
again. A revision is alone with its entity in a group (`queue`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import MaxKey

from broker.core import Instance, instant
from broker.core.change import tombstone
from broker.core.errors import NgsiLdError, ResourceNotFound
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.temporal.revision import (
    Addition,
    AttributeDeletion,
    Burial,
    InstanceChange,
    Removal,
    recorded,
)
from broker.ports import Clock
from broker.store import codec, commands
from broker.store.history import PLACES, SCOPE, body, of_attribute, place, record, time_of
from broker.store.plan import Plan, Stored
from broker.store.queue import Write
from broker.store.tenants import Tenant
from broker.store.windows import union

Document = dict[str, Any]
_TOGETHER = 100  # ranges of the history that are read in one round trip
_ALL = 1_000_000  # documents in the first answer: as many as there are
_RECENT = 1000  # instances among which the last one of each datasetId is looked for


@dataclass(slots=True)
class Past:
    """What there is of an evolution: its document in the catalogue, and the instances a revision is about."""

    head: Document | None = None
    found: list[Document] = field(default_factory=list)


async def read(tenant: Tenant, writes: Sequence[Write]) -> dict[str, Past]:
    """What the revisions have to know, by entity."""
    pasts = {write.entity_id: Past() for write in writes}
    for head in await commands.find(tenant.evolutions, {"_id": {"$in": list(pasts)}}):
        pasts[head["_id"]].head = head
    known = [write for write in writes if pasts[write.entity_id].head is not None]
    moved = await _moved(tenant, known)
    ranges = [one for write in known for one in _ranges(write, moved)]
    for start in range(0, len(ranges), _TOGETHER):
        together = union(ranges[start : start + _TOGETHER])
        for document in await (await tenant.history.aggregate(together, batchSize=_ALL)).to_list():
            pasts[document["_id"]["e"]].found.append(document)
    return pasts


async def _moved(tenant: Tenant, writes: Sequence[Write]) -> dict[str, int]:
    """Where instances are now that were moved in time: `t` by the entity of the revision."""
    keys = [_key(write.entity_id, write.rule) for write in writes]
    wanted = [key for key in keys if key is not None]
    found = await commands.find(tenant.moved, {"_id": {"$in": wanted}}) if wanted else []
    return {one["_id"]["e"]: one["t"] for one in found}


def _key(entity_id: str, revision: Any) -> Document | None:
    """The key that an instanceId is made of."""
    if not isinstance(revision, InstanceChange) or (found := place(revision.instance_id)) is None:
        return None
    return {"e": entity_id, "a": codec.key(revision.iri), "t": found[0], "s": found[1]}


def _ranges(write: Write, moved: dict[str, int]) -> Iterator[list[Document]]:
    """The pipelines that find the instances a revision is about."""
    entity_id, revision = write.entity_id, write.rule
    if isinstance(revision, Addition):
        shown = {"$project": {"i.datasetId": 1}}
        times = {(codec.key(iri), time_of(one, 0)) for iri, one in revision.dated("") if "observedAt" in one}
        for key, time in sorted(times):
            at = {"e": entity_id, "a": key, "t": time}
            yield [{"$match": {"_id": {"$gte": at, "$lt": {**at, "s": MaxKey()}}}}, shown]
    elif isinstance(revision, InstanceChange):
        if (first := _key(entity_id, revision)) is not None:
            yield [{"$match": {"_id": {**first, "t": moved.get(entity_id, first["t"])}}}]
    elif isinstance(revision, AttributeDeletion):
        yield [{"$match": _chosen(entity_id, revision)}, {"$limit": 1}, {"$project": {"_id": 1}}]
    elif isinstance(revision, Burial):
        most = _RECENT if revision.delete_all else 1
        shown = {"$project": {"i.type": 1, "i.datasetId": 1, "i.deletedAt": 1}}
        yield [{"$match": _chosen(entity_id, revision)}, {"$sort": {"_id": -1}}, {"$limit": most}, shown]


def _chosen(entity_id: str, revision: AttributeDeletion | Burial) -> Document:
    chosen: Document = {"_id": of_attribute(entity_id, codec.key(revision.iri))}
    if not revision.delete_all:
        chosen["i.datasetId"] = revision.dataset or {"$exists": False}
    return chosen


def work_out(write: Write, past: Past, stored: Stored | None, plan: Plan, clock: Clock) -> Any:
    """Adds to the plan what a revision changes. Its answer, or the error that it failed with."""
    work = _Work(write.entity_id, past, stored, plan, clock(0 if stored is None else stored.rev + 1))
    try:
        return work.done(write.rule)
    except NgsiLdError as error:
        return error


@dataclass(slots=True)
class _Work:
    """One revision in the making, at the time `stamp`."""

    id: str
    past: Past
    stored: Stored | None
    plan: Plan
    stamp: int

    def done(self, revision: Any) -> Any:
        """The answer to a revision, whose changes are in the plan then."""
        if isinstance(revision, Burial):
            return self._bury(revision)
        if self.past.head is None and not (isinstance(revision, Addition) and not revision.required):
            raise ResourceNotFound(f"there is no temporal evolution of {self.id}")
        if isinstance(revision, Addition):
            return self._add(revision)
        if isinstance(revision, Removal):
            return self._remove()
        if not self.past.found:
            raise ResourceNotFound(f"{self.id} has no such instance of the attribute {revision.iri}")
        self._take({"modifiedAt": self._now})
        if isinstance(revision, AttributeDeletion):
            return self.plan.erased.append(_chosen(self.id, revision))
        return self._change_instance(revision)

    @property
    def _now(self) -> str:
        return instant.of_micros(self.stamp)

    def _add(self, addition: Addition) -> bool:
        head, now = self.past.head or {}, self._now
        known = {_identity(one["_id"]["a"], one["_id"]["t"], one["i"]): one["_id"] for one in self.past.found}
        keys = [codec.key(iri) for iri in addition.attrs]
        for document in self._records(addition, now):
            at = document["_id"]
            key = known.get(_identity(at["a"], at["t"], document["i"]))
            if key is None or "observedAt" not in document["i"]:
                self.plan.history.append(document)
            else:
                self._rewrite(key, document["i"])
        facts: Document = {"type": addition.typed(head.get("type", [])), "modifiedAt": now}
        if not head:
            facts["createdAt"] = now
        if addition.scopes:
            facts[SCOPE] = max(addition.scopes, key=lambda one: time_of(one, self.stamp))["value"]
        self._take(facts, keys)
        return not head

    def _take(self, facts: Document, keys: Sequence[str] = ()) -> None:
        """Takes the evolution, with what is new in the catalogue."""
        update: Document = {"$set": {**facts, "rev": self.stamp}}
        if keys:
            update["$addToSet"] = {"attrs": {"$each": keys}}
        rev = None if self.past.head is None else self.past.head.get("rev")
        taken = {"q": {"_id": self.id, "rev": rev}, "u": update, "upsert": self.past.head is None}
        self.plan.taken.append(taken)

    def _records(self, addition: Addition, now: str) -> Iterator[Document]:
        """The documents of what is added; of two for one time and datasetId, the later one."""
        documents: dict[Any, Document] = {}
        places: dict[str, int] = {}
        for iri, one in (*addition.dated(now), *self._scopes(addition, now)):
            places[iri] = number = places.get(iri, -1) + 1
            document = record(self.id, codec.key(iri), one, self.stamp, number)
            at = document["_id"]
            is_dated = "observedAt" in one
            documents[_identity(at["a"], at["t"], one) if is_dated else (at["a"], number)] = document
        return iter(documents.values())

    def _scopes(self, addition: Addition, now: str) -> Iterator[tuple[str, Instance]]:
        """The scopes, as instances; those that say no time are as of now, if they are any news."""
        there = (self.past.head or {}).get(SCOPE)
        for one in addition.scopes:
            if "observedAt" in one or "deletedAt" in one:
                yield NGSI_LD + SCOPE, one
            elif one["value"] != there:
                yield NGSI_LD + SCOPE, {**one, "observedAt" if one["value"] else "deletedAt": now}

    def _remove(self) -> None:
        self._take({})
        self.plan.forget(self.id)
        if self.stored is not None:
            self.plan.updates.append({"q": {"_id": self.id}, "u": {"$set": {"unlisted": True}}})

    def _change_instance(self, change: InstanceChange) -> None:
        [old] = self.past.found
        key = old["_id"]
        if change.instance is None:
            self.plan.taken_out.append(key)
            return
        one = recorded(change.instance, self._now)
        time = time_of(one, key["s"] // PLACES)
        if time == key["t"]:
            self._rewrite(key, body(one), old.get("o"))
            return
        first = old.get("o", key["t"])
        self.plan.taken_out.append(key)
        self.plan.history.append({"_id": {**key, "t": time}, "i": body(one), "m": self.stamp, "o": first})
        moved = {"q": {"_id": {**key, "t": first}}, "u": {"$set": {"t": time}}, "upsert": True}
        self.plan.moved.append(moved)

    def _rewrite(self, key: Document, instance: Instance, first: int | None = None) -> None:
        document = {"_id": key, "i": instance, "m": self.stamp} | ({} if first is None else {"o": first})
        self.plan.rewritten.append({"q": {"_id": key}, "u": document})

    def _bury(self, burial: Burial) -> bool:
        """Whether there was something to bury: the last instance of a datasetId, which is no deletion."""
        if self.stored is not None or self.past.head is None:
            return False
        last: dict[str | None, Instance] = {}
        for one in self.past.found:
            last.setdefault(one["i"].get("datasetId"), one["i"])
        dead = [tombstone(one, self._now) for one in last.values() if "deletedAt" not in one]
        if burial.iri == NGSI_LD + SCOPE:
            dead = [{"type": "Property", "value": [], "deletedAt": self._now} for _ in dead]
        if dead:
            self._take({"modifiedAt": self._now})
        key = codec.key(burial.iri)
        self.plan.history += [record(self.id, key, one, self.stamp, n) for n, one in enumerate(dead)]
        return bool(dead)


def _identity(key: str, time: int, instance: Instance) -> tuple[str, int, str | None]:
    """What is the same for an instance and the one that it replaces."""
    return key, time, instance.get("datasetId")
