"""History: one document for each attribute instance that was ever written or deleted (clause 4.5.6).

Its `_id` is {e: entity, a: attribute, t: time, s: sequence}: the collection is clustered by it, so that
one B-tree holds the instances of an attribute in the order of their time. `t` is observedAt where there is
one, else the time of the write, in microseconds; `s` is the revision of the entity in 1/1024 µs with the
instance's place among those of its attribute in the write, so no two are alike. (In 64 bits that lasts until
the year 2255.) The revision is the time of the write, too, so createdAt and modifiedAt need not be stored;
only where it is not, since an earlier writer's clock was ahead, the time is in `w` (µs). An instance that
was replaced by its instanceId says when, in `m` (µs). If that moved it in time, `o` is the `t` that its
instanceId is made of, and the collection `moved` tells where it is now.
"""

import re
import struct
from typing import Any

from bson import MaxKey

from broker.clock import Stamp
from broker.core import Entity, Instance, instant
from broker.core.change import Change
from broker.store.wire import codec

Document = dict[str, Any]
PLACES = 1024  # more instances of one attribute in one write than this seem to be written a microsecond later
SCOPE = "scope"  # the name under which an entity's scopes are recorded (4.18)
_INSTANCE_ID = "urn:ngsi-ld:instance:"
_PAIR = struct.Struct(">qQ")  # twice as fast as a format of both
_ID_FORM = re.compile(_INSTANCE_ID + "([0-9a-f]{16})([0-9a-f]{16})")


def records(
    change: Change, stamp: Stamp, new: list[tuple[str, Instance]], gone: list[tuple[str, Instance]]
) -> list[Document]:
    """The documents that record a change: instances written and deleted, and the scopes if they changed."""
    places: dict[str, int] = {}
    documents = []
    for iri, one in (*new, *gone):
        places[iri] = number = places.get(iri, -1) + 1
        documents.append(record(change.id, codec.key(iri), one, stamp, number))
    scopes = _scopes_of(change.after)
    if scopes is not _scopes_of(change.before):
        documents.append(record(change.id, SCOPE, _scopes(scopes, change.now), stamp, 0))
    return documents


def instance_id(time: int, sequence: int) -> str:
    """The instanceId of what `_id` has for `t` and `s`: with the entity and the attribute, it is the key."""
    return _INSTANCE_ID + _PAIR.pack(time, sequence).hex()


def place(instance_id: str) -> tuple[int, int] | None:
    """`t` and `s` of an instanceId; None if it is none of ours."""
    if (found := _ID_FORM.fullmatch(instance_id)) is None:
        return None
    time, sequence = (int(part, 16) for part in found.groups())
    return (time - 2**64 if time >= 2**63 else time), sequence


def of_entity(entity_id: str) -> Document:
    """The keys of all history of an entity."""
    return {"$gte": {"e": entity_id}, "$lt": {"e": entity_id + "\x00"}}


def at_most(entity_id: str, key: str, time: int) -> Document:
    """The keys of the history of an attribute up to a time."""
    return {"$gte": {"e": entity_id, "a": key}, "$lt": {"e": entity_id, "a": key, "t": time, "s": MaxKey()}}


def older(entity_id: str, key: str, before: int) -> Document:
    """The keys of the history of an attribute before a time."""
    return {"$gte": {"e": entity_id, "a": key}, "$lt": {"e": entity_id, "a": key, "t": before}}


def of_attribute(entity_id: str, key: str) -> Document:
    """The keys of all history of an attribute."""
    return {"$gte": {"e": entity_id, "a": key}, "$lt": {"e": entity_id, "a": key + "\x00"}}


def time_of(instance: Instance, written: int) -> int:
    """`t` of an instance that was written at this time."""
    at = instance.get("observedAt") or instance.get("deletedAt")
    return written if at is None else instant.micros(at)


def written_at(document: Document) -> int:
    """When (µs) the instance of a document was written."""
    time: int = document["w"] if "w" in document else document["_id"]["s"] // PLACES
    return time


def body(instance: Instance) -> Instance:
    """An instance as it is stored, without the times that its key tells."""
    if "createdAt" in instance or "modifiedAt" in instance:
        instance = {k: v for k, v in instance.items() if k not in ("createdAt", "modifiedAt")}
    return codec.encode_instance(instance)


def record(entity_id: str, key: str, instance: Instance, stamp: Stamp, place: int) -> Document:
    """The document of one instance: the one of this place among those of its attribute in a write."""
    rev, now, _ = stamp
    document: Document = {
        "_id": {"e": entity_id, "a": key, "t": time_of(instance, now), "s": rev * PLACES + place},
        "i": body(instance),
    }
    if rev != now:
        document["w"] = now
    return document


def held(single: Document) -> Document:
    """A single instance of history as the document of its entity holds it."""
    key = single["_id"]
    rest = {name: value for name, value in single.items() if name != "_id"}
    return {"a": key["a"], "t": key["t"], "s": key["s"], **rest}


def single(entity_id: str, held: Document) -> Document:
    """The document of a single instance that the document of its entity holds."""
    rest = {name: value for name, value in held.items() if name not in ("a", "t", "s")}
    return {"_id": {"e": entity_id, "a": held["a"], "t": held["t"], "s": held["s"]}, **rest}


def _scopes_of(entity: Entity | None) -> list[str] | None:
    return None if entity is None else entity.get("scope")


def _scopes(scopes: list[str] | None, now: str) -> Instance:
    """4.5.6: the scopes as an instance of a Property, observed when they were set; none is their deletion."""
    if scopes:
        return {"type": "Property", "value": scopes, "observedAt": now}
    return {"type": "Property", "value": [], "deletedAt": now}
