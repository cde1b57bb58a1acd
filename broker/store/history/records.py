"""The documents of history: one for each attribute instance that was written or deleted (clause 4.5.6).

The `_id` is {e: entity, a: attribute key, t: time, s: sequence}. The collection is clustered by it, so one
B-tree holds the instances of an attribute ordered by time.

- `t`: observedAt if there is one, else the time of the write (µs).
- `s`: the revision of the entity times 1024, plus the instance's place among those of its attribute in the
  write. So it is unique; 64 bits suffice until the year 2255.
- `i`: the instance, without createdAt and modifiedAt: these are the revision, which is a time in µs.
- `w`: the time of the write (µs), if it differs from the revision: an earlier writer's clock was ahead.
- `m`: the time (µs) at which the instance was replaced by its instanceId (5.6.14).
- `o`: the original `t`, if the replacement changed the time. The instanceId contains the original `t`; the
  collection `moved` has the present one.
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
PLACES = 1024  # places in `s`; if a write has more instances of an attribute, `s` runs on into the next µs
SCOPE = "scope"  # the name under which an entity's scopes are recorded (4.18)
_INSTANCE_ID = "urn:ngsi-ld:instance:"
_PAIR = struct.Struct(">qQ")  # twice as fast as string formatting
_ID_FORM = re.compile(_INSTANCE_ID + "([0-9a-f]{16})([0-9a-f]{16})")


def records(
    change: Change, stamp: Stamp, new: list[tuple[str, Instance]], gone: list[tuple[str, Instance]]
) -> list[Document]:
    """The documents that record a change: written (`new`) and deleted (`gone`) instances, changed scopes."""
    places: dict[str, int] = {}
    documents = []
    for iri, instance in (*new, *gone):
        places[iri] = number = places.get(iri, -1) + 1
        documents.append(record(change.id, codec.key(iri), instance, stamp, number))
    scopes = _scopes_of(change.after)
    if scopes is not _scopes_of(change.before):
        documents.append(record(change.id, SCOPE, _scopes(scopes, change.now), stamp, 0))
    return documents


def instance_id(time: int, sequence: int) -> str:
    """The instanceId for the `t` and `s` of a key. With entity and attribute, it identifies the key."""
    return _INSTANCE_ID + _PAIR.pack(time, sequence).hex()


def time_and_sequence(instance_id: str) -> tuple[int, int] | None:
    """The `t` and `s` of an instanceId; None if this broker does not make such ids."""
    if (parts := _ID_FORM.fullmatch(instance_id)) is None:
        return None
    time, sequence = (int(part, 16) for part in parts.groups())
    return (time - 2**64 if time >= 2**63 else time), sequence


def of_entity(entity_id: str) -> Document:
    """The condition on `_id` for all history of an entity."""
    return {"$gte": {"e": entity_id}, "$lt": {"e": entity_id + "\x00"}}


def at_most(entity_id: str, key: str, time: int) -> Document:
    """The condition on `_id` for the history of an attribute up to a time (µs), inclusive."""
    return {"$gte": {"e": entity_id, "a": key}, "$lt": {"e": entity_id, "a": key, "t": time, "s": MaxKey()}}


def older(entity_id: str, key: str, before: int) -> Document:
    """The condition on `_id` for the history of an attribute before a time (µs)."""
    return {"$gte": {"e": entity_id, "a": key}, "$lt": {"e": entity_id, "a": key, "t": before}}


def of_attribute(entity_id: str, key: str) -> Document:
    """The condition on `_id` for all history of an attribute."""
    return {"$gte": {"e": entity_id, "a": key}, "$lt": {"e": entity_id, "a": key + "\x00"}}


def time_of(instance: Instance, written: int) -> int:
    """`t` (µs) of an instance that was written at `written` (µs)."""
    at = instance.get("observedAt") or instance.get("deletedAt")
    return written if at is None else instant.micros(at)


def written_at(document: Document) -> int:
    """The time (µs) at which the instance of a document was written."""
    time: int = document["w"] if "w" in document else document["_id"]["s"] // PLACES
    return time


def body(instance: Instance) -> Instance:
    """The stored form of an instance, without the times that its key contains."""
    if "createdAt" in instance or "modifiedAt" in instance:
        instance = {k: v for k, v in instance.items() if k not in ("createdAt", "modifiedAt")}
    return codec.encode_instance(instance)


def record(entity_id: str, key: str, instance: Instance, stamp: Stamp, place: int) -> Document:
    """The document of an instance; `place` counts the instances of its attribute in the write, from 0."""
    rev, now, _ = stamp
    document: Document = {
        "_id": {"e": entity_id, "a": key, "t": time_of(instance, now), "s": rev * PLACES + place},
        "i": body(instance),
    }
    if rev != now:
        document["w"] = now
    return document


def held_item(document: Document) -> Document:
    """The form of a single instance in the document of its entity: an item of `h`."""
    key = document["_id"]
    rest = {name: value for name, value in document.items() if name != "_id"}
    return {"a": key["a"], "t": key["t"], "s": key["s"], **rest}


def single_document(entity_id: str, item: Document) -> Document:
    """The document of a single instance, from its form in the document of its entity (see `held_item`)."""
    rest = {name: value for name, value in item.items() if name not in ("a", "t", "s")}
    return {"_id": {"e": entity_id, "a": item["a"], "t": item["t"], "s": item["s"]}, **rest}


def _scopes_of(entity: Entity | None) -> list[str] | None:
    return None if entity is None else entity.get("scope")


def _scopes(scopes: list[str] | None, now: str) -> Instance:
    """4.5.6: the scopes as a Property instance with observedAt; no scopes are a deletion."""
    if scopes:
        return {"type": "Property", "value": scopes, "observedAt": now}
    return {"type": "Property", "value": [], "deletedAt": now}
