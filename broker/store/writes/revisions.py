"""Applies revisions of the past in a transaction (clauses 5.6.11 to 5.6.16).

`past` reads what they need, just before. Each revision updates the document of its entity, guarded by its
`rev`: if the document or an instance has changed since the read, the revision conflicts and is retried.
A group has only one revision for each entity, and no other write of it (`queue`).

To change an instance in a bucket, the bucket is unpacked: it is deleted, and its instances are single until
the packer packs them again.
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
from broker.store.history.records import (
    SCOPE,
    body,
    held_item,
    of_attribute,
    record,
    time_and_sequence,
    time_of,
    written_at,
)
from broker.store.wire import codec
from broker.store.wire.tenants import Tenant
from broker.store.writes.group_transaction import transaction
from broker.store.writes.moves import HELD_BYTES, HELD_INSTANCES, WORTH_PACKING
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
    """Applies the revisions of different entities: all or none. Returns the answer or NgsiLdError of each.

    WriteConflict if anything has changed since it was read.
    """
    pasts = await read(tenant, writes)
    batch = Batch()
    outcomes = [work_out(write, pasts[write.entity_id], batch, clock) for write in writes]
    async with transaction(session, doubt):
        await batch.write(session, tenant)
    return outcomes


def work_out(write: Write, past: Past, batch: Batch, clock: Clock) -> Any:
    """Adds the statements of a revision to the batch. Returns its answer, or the error if it fails."""
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
    """The work of one revision: the statements that it needs.

    - `facts`, `keys`: facts to set and attribute keys to add in the evolution;
    - `loose`: instances of unpacked buckets; `held`: instances in the document; both by key;
    - `new`: new instances; `finish` decides whether they go into the document or into `history`;
    - `is_taken`: the revision changes something; `is_removed`: it removes the evolution;
    - `unpacked`: the key of an attribute that has no buckets any more.
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
        """Works out a revision. Returns its answer; ResourceNotFound if what it names does not exist."""
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
        """Adds the statements to the batch of the group; none if the revision changes nothing."""
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
        """Puts new instances into the document if they fit, else into `history`, as single instances."""
        together = [*self.held.values(), *self.new]
        if len(together) <= HELD_INSTANCES and sum(map(bytes_of, together)) <= HELD_BYTES:
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
        members: Document = {"rev": self.stamp.rev, "h": [held_item(document) for document in kept], **size}
        if self.batch.singles:
            members["pn"] = outside = self.past.outside + len(self.batch.singles)
            members |= {"pk": 1} if outside >= WORTH_PACKING else {}
        return self._listed(members)

    def _listed(self, members: Document) -> Document:
        """The update with `members` and the new facts of the evolution; creates the evolution if needed."""
        update: Document = {"$set": members}
        if self.past.facts is None:
            members["past"] = {**self.facts, "attrs": list(dict.fromkeys(self.keys))}
            # The facts do not agree with an existing entity until its next change.
            members |= {"unlisted": 1} if self.past.is_there else {}
            return update | ({"$unset": {"gone": 1}} if self.past.rev else {})
        members |= {f"past.{name}": value for name, value in self.facts.items()}
        if self.keys:
            update["$addToSet"] = {"past.attrs": {"$each": list(self.keys)}}
        if self.unpacked is not None:
            update["$unset"] = {f"p.{self.unpacked}": 1}
        return update

    def _take(self, facts: Document, keys: Sequence[str] = ()) -> None:
        """Marks the evolution as changed, with facts to set and attribute keys to add."""
        self.is_taken, self.facts, self.keys = True, facts, keys

    def _add(self, addition: Addition) -> bool:
        """Adds instances. Returns whether the evolution is new."""
        before, now = self.past.facts or {}, self._now
        stored = [*self.past.found, *self._unpacked_buckets(), *self.held.values()]
        stored.sort(key=lambda single: int(single["_id"]["s"]))
        known = {_identity(single["_id"]["a"], single["_id"]["t"], single["i"]): single for single in stored}
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
            facts[SCOPE] = max(addition.scopes, key=lambda scope: time_of(scope, self.stamp.now))["value"]
        self._take(facts, keys)
        return not before

    def _records(self, addition: Addition, now: str) -> Iterator[Document]:
        """The added instances as documents. Of two with the same time and datasetId, the later one counts."""
        documents: dict[Any, Document] = {}
        numbers: dict[str, int] = {}
        for iri, instance in (*addition.dated(now), *self._scopes(addition, now)):
            numbers[iri] = number = numbers.get(iri, -1) + 1
            document = record(self.id, codec.key(iri), instance, self.stamp, number)
            at = document["_id"]
            is_dated = "observedAt" in instance
            documents[_identity(at["a"], at["t"], instance) if is_dated else (at["a"], number)] = document
        return iter(documents.values())

    def _scopes(self, addition: Addition, now: str) -> Iterator[tuple[str, Instance]]:
        """The scopes as (IRI, instance). One without a time gets `now`; it is omitted if nothing changes."""
        present = (self.past.facts or {}).get(SCOPE)
        for scope in addition.scopes:
            if "observedAt" in scope or "deletedAt" in scope:
                yield NGSI_LD + SCOPE, scope
            elif scope["value"] != present:
                yield NGSI_LD + SCOPE, {**scope, "observedAt" if scope["value"] else "deletedAt": now}

    def _unpacked_buckets(self) -> list[Document]:
        """Deletes the buckets and makes their instances single ones. Returns these instances."""
        singles = [single for bucket in self.past.buckets for single in unpack(bucket)]
        self.batch.packed_out += [bucket["_id"] for bucket in self.past.buckets]
        self.loose |= {_key(single): single for single in singles}
        return singles

    def _delete_attribute(self, deletion: AttributeDeletion) -> None:
        key = codec.key(deletion.iri)
        of_attr = {name: single["i"] for name, single in self.held.items() if single["_id"]["a"] == key}
        deleted = [
            name
            for name, instance in of_attr.items()
            if deletion.delete_all or instance.get("datasetId") == deletion.dataset
        ]
        if not deleted and not self.past.found and not self.past.buckets:
            raise _unknown(self.id, deletion.iri)
        self._take({"modifiedAt": self._now})
        for name in deleted:
            del self.held[name]
        self.batch.singles_drop.append(chosen(self.id, deletion))
        if deletion.delete_all:
            self.batch.packed_drop.append({"_id": of_attribute(self.id, key)})
            self.unpacked = key
        else:  # the other instances are packed again at once: their times do not change
            self.batch.packed_out += [bucket["_id"] for bucket in self.past.buckets]
            for bucket in self.past.buckets:
                singles = unpack(bucket)
                left = [single for single in singles if single["i"].get("datasetId") != deletion.dataset]
                self.batch.packed += pack(left) if left else ()

    def _change_instance(self, change: InstanceChange) -> None:
        old = self._instance(change)
        self._take({"modifiedAt": self._now})
        key = old["_id"]
        if change.instance is None:
            return self._take_out(old)
        instance = recorded(change.instance, self._now)
        time = time_of(instance, written_at(old))
        if time == key["t"]:
            return self._rewrite(old, body(instance))
        first = old.get("o", key["t"])
        self._take_out(old)
        self.new.append(self._replaced(old, {**key, "t": time}, body(instance)) | {"o": first})
        moved = {"q": {"_id": {**key, "t": first}}, "u": {"$set": {"t": time}}, "upsert": True}
        self.batch.moved.append(moved)

    def _instance(self, change: InstanceChange) -> Document:
        """The instance with the instanceId of a change, wherever it is; ResourceNotFound if there is none."""
        wanted, key = time_and_sequence(change.instance_id), codec.key(change.iri)
        of_attr = (single for single in self.held.values() if single["_id"]["a"] == key)
        matches = [single for single in of_attr if _first_place(single) == wanted]
        matches = matches or self.past.found
        if not matches and self.past.buckets:
            matches = [single for single in self._unpacked_buckets() if _first_place(single) == wanted]
        if not matches:
            raise _unknown(self.id, change.iri)
        return matches[0]

    def _take_out(self, old: Document) -> None:
        """Deletes an instance, wherever it is."""
        name = _key(old)
        for mine in (self.held, self.loose):
            if name in mine:
                del mine[name]
                return
        self.batch.singles_out.append(old["_id"])

    def _rewrite(self, old: Document, instance: Instance) -> None:
        """Replaces an instance, wherever it is, without a change of its time."""
        name, document = _key(old), self._replaced(old, old["_id"], instance)
        for mine in (self.held, self.loose):
            if name in mine:
                mine[name] = document
                return
        self.batch.changed.append({"q": {"_id": old["_id"]}, "u": document})

    def _replaced(self, old: Document, key: Document, instance: Instance) -> Document:
        """The document of an instance that replaces another and keeps its time of writing."""
        kept: Document = {name: old[name] for name in ("o", "w") if name in old}
        return {"_id": key, "i": instance, "m": self.stamp.now, **kept}

    def _bury(self, burial: Burial) -> bool:
        """Records the deletion of an attribute of a deleted entity. Returns whether there was one to delete.

        A datasetId is deleted if its last instance is not a deletion already.
        """
        if self.past.is_there or self.past.facts is None:
            return False
        last: dict[str | None, Instance] = {}
        key = codec.key(burial.iri)
        latest_first = sorted(self._last_ones(key), key=lambda single: _order(single["_id"]), reverse=True)
        for single in latest_first:
            last.setdefault(single["i"].get("datasetId"), single["i"])
        chosen = (
            last.values() if burial.delete_all else [last[burial.dataset]] if burial.dataset in last else []
        )
        tombstones = [tombstone(instance, self._now) for instance in chosen if "deletedAt" not in instance]
        if burial.iri == NGSI_LD + SCOPE:
            tombstones = [{"type": "Property", "value": [], "deletedAt": self._now} for _ in tombstones]
        if tombstones:
            self._take({"modifiedAt": self._now})
        self.new += [record(self.id, key, dead, self.stamp, n) for n, dead in enumerate(tombstones)]
        return bool(tombstones)

    def _last_ones(self, key: str) -> Iterator[Document]:
        """Instances of an attribute, which include the last one of each datasetId."""
        yield from (single for single in self.held.values() if single["_id"]["a"] == key)
        yield from self.past.found
        yield from (single for bucket in self.past.buckets for single in unpack(bucket))


def _key(document: Document) -> Key:
    key = document["_id"]
    return key["a"], key["t"], key["s"]


def _unknown(entity_id: str, iri: str) -> ResourceNotFound:
    return ResourceNotFound(f"{entity_id} has no such instance of the attribute {iri}")


def _first_place(document: Document) -> tuple[int, int]:
    """(time, sequence) of the key that an instance got first; its instanceId is made of these."""
    return document.get("o", document["_id"]["t"]), document["_id"]["s"]


def _order(key: Document) -> tuple[int, int]:
    return key["t"], key["s"]


def _identity(key: str, time: int, instance: Instance) -> tuple[str, int, str | None]:
    """(attribute key, time, datasetId): an added instance replaces the stored one with the same triple."""
    return key, time, instance.get("datasetId")
