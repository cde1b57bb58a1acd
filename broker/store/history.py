"""History: one document for each attribute instance that was ever written or deleted (clause 4.5.6).

Its `_id` is {e: entity, a: attribute, t: time, s: sequence}: the collection is clustered by it, so that
one B-tree holds the instances of an attribute in the order of their time. `t` is observedAt where there is
one, else the time of the write, in microseconds; `s` is the time of the write in 1/4096 µs with the
instance's place in the write, so no two are alike, and createdAt and modifiedAt need not be stored.
"""

from typing import Any

from broker.core import Instance, instant
from broker.core.change import Change
from broker.store import codec

Document = dict[str, Any]
PLACES = 4096  # instances of one attribute that one write may touch
SCOPE = "scope"  # the name under which an entity's scopes are recorded (4.18)


def records(
    change: Change, stamp: int, new: list[tuple[str, Instance]], gone: list[tuple[str, Instance]]
) -> list[Document]:
    """The documents that record a change: instances written, deletions, and the scopes if they changed."""
    documents = [
        _record(change.id, codec.key(iri), one, stamp, n) for n, (iri, one) in enumerate([*new, *gone])
    ]
    before, after = (
        None if entity is None else entity.get("scope") for entity in (change.before, change.after)
    )
    if before is not after:
        documents.append(_record(change.id, SCOPE, {"type": "Property", "value": after or []}, stamp, 0))
    return documents


def _record(entity_id: str, key: str, instance: Instance, stamp: int, place: int) -> Document:
    body = codec.encode_instance({k: v for k, v in instance.items() if k not in ("createdAt", "modifiedAt")})
    time = instant.micros(instance["observedAt"]) if "observedAt" in instance else stamp
    return {"_id": {"e": entity_id, "a": key, "t": time, "s": stamp * PLACES + place % PLACES}, "i": body}
