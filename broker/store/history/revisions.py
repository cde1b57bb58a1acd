"""Revisions of the past, worked out for the transaction of their group (clauses 5.6.11 to 5.6.16).

What they have to know was read just before (`past`). Each revision takes its evolution by the `rev` of the
document in the catalogue: if that is another by then, or an instance is not where it was, the group conflicts
and is tried again. A revision is alone with its entity in a group (`queue`).

What is packed is opened to be changed: its bucket goes, and its instances are single again until the packer
comes by.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from broker.store import codec
from broker.store.history.buckets import pack, unpack
from broker.store.history.past import Past, chosen
from broker.store.history.records import SCOPE, body, of_attribute, place, record, time_of, written_at
from broker.store.plan import Plan, Stored
from broker.store.queue import Write

Document = dict[str, Any]


def work_out(write: Write, past: Past, stored: Stored | None, plan: Plan, clock: Clock) -> Any:
    """Adds to the plan what a revision changes. Its answer, or the error that it failed with."""
    known = max(0 if stored is None else stored.rev, (past.head or {}).get("rev", 0))
    work = _Work(write.entity_id, past, stored, plan, clock.stamp(known))
    try:
        return work.done(write.rule)
    except NgsiLdError as error:
        return error


@dataclass(slots=True)
class _Work:
    """One revision in the making."""

    id: str
    past: Past
    stored: Stored | None
    plan: Plan
    stamp: Stamp

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
        if isinstance(revision, AttributeDeletion):
            return self._delete_attribute(revision)
        return self._change_instance(revision)

    @property
    def _now(self) -> str:
        return instant.of_micros(self.stamp.now)

    def _add(self, addition: Addition) -> bool:
        head, now = self.past.head or {}, self._now
        there = sorted(self.past.found + self._opened(), key=lambda one: int(one["_id"]["s"]))
        known = {_identity(one["_id"]["a"], one["_id"]["t"], one["i"]): one for one in there}
        keys = [codec.key(iri) for iri in addition.attrs]
        for document in self._records(addition, now):
            at = document["_id"]
            old = known.get(_identity(at["a"], at["t"], document["i"]))
            if old is None or "observedAt" not in document["i"]:
                self.plan.history.append(document)
            else:
                self._rewrite(old, document["i"])
        facts: Document = {"type": addition.typed(head.get("type", [])), "modifiedAt": now}
        if not head:
            facts["createdAt"] = now
        if addition.scopes:
            facts[SCOPE] = max(addition.scopes, key=lambda one: time_of(one, self.stamp.now))["value"]
        self._take(facts, keys)
        return not head

    def _take(self, facts: Document, keys: Sequence[str] = (), *, unpacked: bool = False) -> None:
        """Takes the evolution, with what is new in the catalogue; `unpacked`: if nothing was packed since."""
        update: Document = {"$set": {**facts, "rev": self.stamp.rev}}
        if keys:
            update["$addToSet"] = {"attrs": {"$each": keys}}
        if (head := self.past.head) is None:
            as_read: Document = {
                "_id": self.id,
                "type": {"$exists": False},
            }  # as every one has: it is not there yet
        else:
            as_read = {"_id": self.id, "rev": head.get("rev")} | (
                {"steps": head.get("steps")} if unpacked else {}
            )
        self.plan.taken.append({"q": as_read, "u": update, "upsert": head is None})

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

    def _opened(self) -> list[Document]:
        """Opens the buckets: what is in them is single again, until it is packed the next time."""
        documents = [one for bucket in self.past.buckets for one in unpack(bucket)]
        self.plan.opened += [bucket["_id"] for bucket in self.past.buckets]
        self.plan.spilled += documents
        return documents

    def _delete_attribute(self, deletion: AttributeDeletion) -> None:
        if not self.past.found and not self.past.buckets:
            raise _unknown(self.id, deletion.iri)
        self._take({"modifiedAt": self._now}, unpacked=not deletion.delete_all)
        self.plan.erased.append(chosen(self.id, deletion))
        if deletion.delete_all:
            self.plan.dropped.append({"_id": of_attribute(self.id, codec.key(deletion.iri))})
        else:  # what else the buckets hold is packed again at once: it is as old as it was
            self.plan.opened += [bucket["_id"] for bucket in self.past.buckets]
            for bucket in self.past.buckets:
                left = [one for one in unpack(bucket) if one["i"].get("datasetId") != deletion.dataset]
                self.plan.repacked += pack(left) if left else ()

    def _change_instance(self, change: InstanceChange) -> None:
        wanted = place(change.instance_id)
        if not self.past.found and self.past.buckets:
            self.past.found = [one for one in self._opened() if _first_place(one) == wanted]
        if not self.past.found:
            raise _unknown(self.id, change.iri)
        self._take({"modifiedAt": self._now})
        [old] = self.past.found
        key = old["_id"]
        if change.instance is None:
            self.plan.taken_out.append(key)
            return
        one = recorded(change.instance, self._now)
        time = time_of(one, written_at(old))
        if time == key["t"]:
            self._rewrite(old, body(one))
            return
        first = old.get("o", key["t"])
        self.plan.taken_out.append(key)
        self.plan.history.append(self._replaced(old, {**key, "t": time}, body(one)) | {"o": first})
        moved = {"q": {"_id": {**key, "t": first}}, "u": {"$set": {"t": time}}, "upsert": True}
        self.plan.moved.append(moved)

    def _rewrite(self, old: Document, instance: Instance) -> None:
        key = old["_id"]
        self.plan.rewritten.append({"q": {"_id": key}, "u": self._replaced(old, key, instance)})

    def _replaced(self, old: Document, key: Document, instance: Instance) -> Document:
        """The document of an instance that takes the place of another, whose time of the write it keeps."""
        kept: Document = {name: old[name] for name in ("o", "w") if name in old}
        return {"_id": key, "i": instance, "m": self.stamp.now, **kept}

    def _bury(self, burial: Burial) -> bool:
        """Whether there was something to bury: the last instance of a datasetId, which is no deletion."""
        if self.stored is not None or self.past.head is None:
            return False
        last: dict[str | None, Instance] = {}
        packed = [one for bucket in self.past.buckets for one in unpack(bucket)]
        for one in sorted(self.past.found + packed, key=lambda one: _order(one["_id"]), reverse=True):
            last.setdefault(one["i"].get("datasetId"), one["i"])
        chosen = (
            last.values() if burial.delete_all else [last[burial.dataset]] if burial.dataset in last else []
        )
        dead = [tombstone(one, self._now) for one in chosen if "deletedAt" not in one]
        if burial.iri == NGSI_LD + SCOPE:
            dead = [{"type": "Property", "value": [], "deletedAt": self._now} for _ in dead]
        if dead:
            self._take({"modifiedAt": self._now})
        key = codec.key(burial.iri)
        self.plan.history += [record(self.id, key, one, self.stamp, n) for n, one in enumerate(dead)]
        return bool(dead)


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
