"""History: one document for each attribute instance that was ever written or deleted (clause 4.5.6).

Its `_id` is {e: entity, a: attribute, t: time, s: sequence}: the collection is clustered by it, so that
one B-tree holds the instances of an attribute in the order of their time. `t` is observedAt where there is
one, else the time of the write, in microseconds; `s` is the time of the write in 1/1024 µs with the
instance's place among those of its attribute in the write, so no two are alike, and createdAt and modifiedAt
need not be stored. (In 64 bits that lasts until the year 2255.)
"""

from typing import Any

from broker.core import Entity, Instance, instant
from broker.core.change import Change
from broker.store import codec

Document = dict[str, Any]
PLACES = 1024  # more instances of one attribute in one write than this seem to be written a microsecond later
SCOPE = "scope"  # the name under which an entity's scopes are recorded (4.18)
_INSTANCE_ID = "urn:ngsi-ld:instance:"
_64_BITS = 2**64 - 1


def records(
    change: Change, stamp: int, new: list[tuple[str, Instance]], gone: list[tuple[str, Instance]]
) -> list[Document]:
    """The documents that record a change: instances written and deleted, and the scopes if they changed."""
    places: dict[str, int] = {}
    documents = []
    for iri, one in (*new, *gone):
        places[iri] = place = places.get(iri, -1) + 1
        documents.append(_record(change.id, codec.key(iri), one, stamp, place))
    scopes = _scopes_of(change.after)
    if scopes is not _scopes_of(change.before):
        documents.append(_record(change.id, SCOPE, _scopes(scopes, change.now), stamp, 0))
    return documents


def instance_id(time: int, sequence: int) -> str:
    """The instanceId of what `_id` has for `t` and `s`: with the entity and the attribute, it is the key."""
    return f"{_INSTANCE_ID}{time & _64_BITS:016x}{sequence:016x}"


def _scopes_of(entity: Entity | None) -> list[str] | None:
    return None if entity is None else entity.get("scope")


def _scopes(scopes: list[str] | None, now: str) -> Instance:
    """4.5.6: the scopes as an instance of a Property, observed when they were set; none is their deletion."""
    if scopes:
        return {"type": "Property", "value": scopes, "observedAt": now}
    return {"type": "Property", "value": [], "deletedAt": now}


def _record(entity_id: str, key: str, instance: Instance, stamp: int, place: int) -> Document:
    if "createdAt" in instance or "modifiedAt" in instance:
        instance = {k: v for k, v in instance.items() if k not in ("createdAt", "modifiedAt")}
    body = codec.encode_instance(instance)
    time = instant.micros(instance["observedAt"]) if "observedAt" in instance else stamp
    return {"_id": {"e": entity_id, "a": key, "t": time, "s": stamp * PLACES + place}, "i": body}
