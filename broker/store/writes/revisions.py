"""Revisions of the past, carried out in a transaction (clauses 5.6.11 to 5.6.16).

What they have to know was read just before (`past`). Each revision takes the document of its entity as it was
read: if it is of another revision by then, or an instance is not where it was, it is tried again. A revision
is alone with its entity in a group (`queue`).

What is packed is opened to be changed: its bucket goes, and its instances are single again until the packer
comes by.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession

from broker.clock import Clock, Stamp
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
from broker.store.history.buckets import pack, unpack
from broker.store.history.records import SCOPE, body, held, of_attribute, place, record, time_of, written_at
from broker.store.wire import codec
from broker.store.wire.tenants import Tenant
from broker.store.writes.group_transaction import transaction
from broker.store.writes.moves import HELD, HELD_BYTES, WORTH
from broker.store.writes.past import Past, chosen, read
from broker.store.writes.queue import Write
from broker.store.writes.statements import PAST, bytes_of
from broker.store.writes.transaction_batch import Batch

Document = dict[str, Any]
Key = tuple[Any, ...]


async def commit(
    session: AsyncClientSession,
    tenant: Tenant,
    writes: Sequence[Write],
    clock: Clock,
    doubt: Callable[[], None],
) -> list[Any]:
    """Carries out revisions of different entities: all of them or none. The answer, or error, of each.

    WriteConflict if something is not as it was read.
    """
    pasts = await read(tenant, writes)
    batch = Batch()
    outcomes = [work_out(write, pasts[write.entity_id], batch, clock) for write in writes]
    async with transaction(session, doubt):
        await batch.write(session, tenant)
    return outcomes


def work_out(write: Write, past: Past, batch: Batch, clock: Clock) -> Any:
    """Adds to the batch what a revision changes. Its answer, or the error that it failed with."""
    if past.fault is not None:
        return past.fault
    work = _Work(write.entity_id, past, clock.stamp(past.rev))
    try:
        answer = work.done(write.rule)
    except NgsiLdError as error:
        return error
    work.finish(batch)
    return answer


@dataclass(slots=True)
class _Work:
    """One revision in the making: statements of its own, and of the document of its entity.

    `facts` and `keys` are new to the evolution. `loose`: instances of opened buckets, by their keys; `new`
    ones have no place yet.
    """

    id: str
    past: Past
    stamp: Stamp
    batch: Batch = field(default_factory=Batch)
    facts: Document = field(default_factory=dict)
    keys: Sequence[str] = ()
    loose: dict[Key, Document] = field(default_factory=dict)
    held: dict[Key, Document] = field(default_factory=dict)
    new: list[Document] = field(default_factory=list)
    is_taken: bool = False
    is_removed: bool = False
    unpacked: str | None = None

    def __post_init__(self) -> None:
        self.held = {_key(one): one for one in self.past.held}

    def done(self, revision: Any) -> Any:
        """The answer to a revision."""
        if isinstance(revision, Burial):
            return self._bury(revision)
        if self.past.facts is None and not (isinstance(revision, Addition) and not revision.required):
            raise ResourceNotFound(f"there is no temporal evolution of {self.id}")
        if isinstance(revision, Addition):
            return self._add(revision)
        if isinstance(revision, Removal):
            self.is_taken = self.is_removed = True
            return None
        if isinstance(revision, AttributeDeletion):
            return self._delete_attribute(revision)
        return self._change_instance(revision)

    def finish(self, batch: Batch) -> None:
        """Adds all of it to the batch of its group; nothing if the revision changes nothing."""
        if not self.is_taken:
            return
        if self.is_removed:
            batch.forget(self.id)
        else:
            self._place()
        update = self._document()
        if self.past.rev:
            self.batch.entities.append({"q": {"_id": self.id, "rev": self.past.rev}, "u": update})
        else:
            self.batch.new.append({"_id": self.id, **update["$set"]})
        batch.extend(self.batch)

    @property
    def _now(self) -> str:
        return instant.of_micros(self.stamp.now)

    def _place(self) -> None:
        """Finds a place for what is new: in the document if there is room, or as single instances."""
        together = [*self.held.values(), *self.new]
        if len(together) <= HELD and sum(map(bytes_of, together)) <= HELD_BYTES:
            self.held |= {_key(one): one for one in self.new}
        else:
            self.batch.singles += self.new
        self.batch.singles += self.loose.values()

    def _document(self) -> Document:
        """The update of the entity's document."""
        if self.is_removed:
            gone = {} if self.past.is_there else {"gone": 1}
            return {"$set": {"rev": self.stamp.rev, **gone}, "$unset": dict.fromkeys(PAST, 1)}
        kept = list(self.held.values())
        size = {"hn": len(kept), "hb": sum(map(bytes_of, kept))}
        members: Document = {"rev": self.stamp.rev, "h": [held(one) for one in kept], **size}
        if self.batch.singles:
            members["pn"] = outside = self.past.outside + len(self.batch.singles)
            members |= {"pk": 1} if outside >= WORTH else {}
        return self._listed(members)

    def _listed(self, members: Document) -> Document:
        """The update with what is new to the evolution, which begins if there was none."""
        update: Document = {"$set": members}
        if self.past.facts is None:
            members["past"] = {**self.facts, "attrs": list(dict.fromkeys(self.keys))}
            # The entity's own facts are none of the evolution's until its next change.
            members |= {"unlisted": 1} if self.past.is_there else {}
            return update | ({"$unset": {"gone": 1}} if self.past.rev else {})
        members |= {f"past.{name}": value for name, value in self.facts.items()}
        if self.keys:
            update["$addToSet"] = {"past.attrs": {"$each": list(self.keys)}}
        if self.unpacked is not None:
            update["$unset"] = {f"p.{self.unpacked}": 1}
        return update

    def _take(self, facts: Document, keys: Sequence[str] = ()) -> None:
        """Takes the evolution, with what is new to it."""
        self.is_taken, self.facts, self.keys = True, facts, keys

    def _add(self, addition: Addition) -> bool:
        before, now = self.past.facts or {}, self._now
        there = [*self.past.found, *self._opened(), *self.held.values()]
        there.sort(key=lambda one: int(one["_id"]["s"]))
        known = {_identity(one["_id"]["a"], one["_id"]["t"], one["i"]): one for one in there}
        keys = [codec.key(iri) for iri in addition.attrs]
        for document in self._records(addition, now):
            at = document["_id"]
            old = known.get(_identity(at["a"], at["t"], document["i"]))
            if old is None or "observedAt" not in document["i"]:
                self.new.append(document)
            else:
                self._rewrite(old, document["i"])
        facts: Document = {"type": addition.typed(before.get("type", [])), "modifiedAt": now}
        if not before:
            facts["createdAt"] = now
        if addition.scopes:
            facts[SCOPE] = max(addition.scopes, key=lambda one: time_of(one, self.stamp.now))["value"]
        self._take(facts, keys)
        return not before

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
        there = (self.past.facts or {}).get(SCOPE)
        for one in addition.scopes:
            if "observedAt" in one or "deletedAt" in one:
                yield NGSI_LD + SCOPE, one
            elif one["value"] != there:
                yield NGSI_LD + SCOPE, {**one, "observedAt" if one["value"] else "deletedAt": now}

    def _opened(self) -> list[Document]:
        """Opens the buckets: what is in them is single again, until it is packed the next time."""
        documents = [one for bucket in self.past.buckets for one in unpack(bucket)]
        self.batch.packed_out += [bucket["_id"] for bucket in self.past.buckets]
        self.loose |= {_key(one): one for one in documents}
        return documents

    def _delete_attribute(self, deletion: AttributeDeletion) -> None:
        key = codec.key(deletion.iri)
        of_it = {name: one["i"] for name, one in self.held.items() if one["_id"]["a"] == key}
        mine = [
            name
            for name, one in of_it.items()
            if deletion.delete_all or one.get("datasetId") == deletion.dataset
        ]
        if not mine and not self.past.found and not self.past.buckets:
            raise _unknown(self.id, deletion.iri)
        self._take({"modifiedAt": self._now})
        for name in mine:
            del self.held[name]
        self.batch.singles_drop.append(chosen(self.id, deletion))
        if deletion.delete_all:
            self.batch.packed_drop.append({"_id": of_attribute(self.id, key)})
            self.unpacked = key
        else:  # what else the buckets hold is packed again at once: it is as old as it was
            self.batch.packed_out += [bucket["_id"] for bucket in self.past.buckets]
            for bucket in self.past.buckets:
                left = [one for one in unpack(bucket) if one["i"].get("datasetId") != deletion.dataset]
                self.batch.packed += pack(left) if left else ()

    def _change_instance(self, change: InstanceChange) -> None:
        old = self._instance(change)
        self._take({"modifiedAt": self._now})
        key = old["_id"]
        if change.instance is None:
            return self._take_out(old)
        one = recorded(change.instance, self._now)
        time = time_of(one, written_at(old))
        if time == key["t"]:
            return self._rewrite(old, body(one))
        first = old.get("o", key["t"])
        self._take_out(old)
        self.new.append(self._replaced(old, {**key, "t": time}, body(one)) | {"o": first})
        moved = {"q": {"_id": {**key, "t": first}}, "u": {"$set": {"t": time}}, "upsert": True}
        self.batch.moved.append(moved)

    def _instance(self, change: InstanceChange) -> Document:
        """The instance that a change is about, wherever it is; ResourceNotFound if there is none."""
        wanted, key = place(change.instance_id), codec.key(change.iri)
        found = [one for one in self.held.values() if one["_id"]["a"] == key and _first_place(one) == wanted]
        found = found or self.past.found
        if not found and self.past.buckets:
            found = [one for one in self._opened() if _first_place(one) == wanted]
        if not found:
            raise _unknown(self.id, change.iri)
        return found[0]

    def _take_out(self, old: Document) -> None:
        name = _key(old)
        for mine in (self.held, self.loose):
            if name in mine:
                del mine[name]
                return
        self.batch.singles_out.append(old["_id"])

    def _rewrite(self, old: Document, instance: Instance) -> None:
        name, document = _key(old), self._replaced(old, old["_id"], instance)
        for mine in (self.held, self.loose):
            if name in mine:
                mine[name] = document
                return
        self.batch.changed.append({"q": {"_id": old["_id"]}, "u": document})

    def _replaced(self, old: Document, key: Document, instance: Instance) -> Document:
        """The document of an instance that takes the place of another, whose time of the write it keeps."""
        kept: Document = {name: old[name] for name in ("o", "w") if name in old}
        return {"_id": key, "i": instance, "m": self.stamp.now, **kept}

    def _bury(self, burial: Burial) -> bool:
        """Whether there was something to bury: the last instance of a datasetId, which is no deletion."""
        if self.past.is_there or self.past.facts is None:
            return False
        last: dict[str | None, Instance] = {}
        key = codec.key(burial.iri)
        for one in sorted(self._last_ones(key), key=lambda one: _order(one["_id"]), reverse=True):
            last.setdefault(one["i"].get("datasetId"), one["i"])
        chosen = (
            last.values() if burial.delete_all else [last[burial.dataset]] if burial.dataset in last else []
        )
        dead = [tombstone(one, self._now) for one in chosen if "deletedAt" not in one]
        if burial.iri == NGSI_LD + SCOPE:
            dead = [{"type": "Property", "value": [], "deletedAt": self._now} for _ in dead]
        if dead:
            self._take({"modifiedAt": self._now})
        self.new += [record(self.id, key, one, self.stamp, n) for n, one in enumerate(dead)]
        return bool(dead)

    def _last_ones(self, key: str) -> Iterator[Document]:
        """Instances of an attribute, the last one of each datasetId among them."""
        yield from (one for one in self.held.values() if one["_id"]["a"] == key)
        yield from self.past.found
        yield from (one for bucket in self.past.buckets for one in unpack(bucket))


def _key(document: Document) -> Key:
    key = document["_id"]
    return key["a"], key["t"], key["s"]


def _unknown(entity_id: str, iri: str) -> ResourceNotFound:
    return ResourceNotFound(f"{entity_id} has no such instance of the attribute {iri}")


def _first_place(document: Document) -> tuple[int, int]:
    """What the instanceId of a document is made of."""
    return document.get("o", document["_id"]["t"]), document["_id"]["s"]


def _order(key: Document) -> tuple[int, int]:
    return key["t"], key["s"]


def _identity(key: str, time: int, instance: Instance) -> tuple[str, int, str | None]:
    """What is the same for an instance and the one that it replaces."""
    return key, time, instance.get("datasetId")
