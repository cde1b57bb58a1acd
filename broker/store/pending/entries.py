"""The stored form of an entry: one change, and the subscriptions that it is pending for.

In the document of its entity: {id, by: the process that delivers it, st: revision of the entity, at: time of the
server (µs), due: subscriptions, entity: its state after the change, was: attributes before it, where somebody
wants to know}. In the outbox the same with `_id` for id, and `e`, the entity's id. A report has `report: true`
instead of an entity, and the subscription's id for `e`. Ids sort by revision.
"""

from typing import Any

from broker.clock import Stamp
from broker.core import Entity
from broker.core.delivery.entry import Entry
from broker.store.codec import decode_attrs, decode_entity, encode_attrs, encode_entity

Document = dict[str, Any]


def entry_id(stamp: Stamp, process: str) -> str:
    """The id of an entry that a process makes. A revision ahead of the time is not the process's own alone."""
    own = "" if stamp.rev == stamp.now else f"{stamp.now:016x}"
    return f"{stamp.rev:016x}{own}{process}"


def held(entry: Entry) -> Document:
    """An entry as the document of its entity holds it."""
    return {"id": entry.id, "by": entry.by, "due": sorted(entry.due), **told(entry)}


def apart(entry: Entry) -> Document:
    """An entry as the outbox holds it."""
    return {"_id": entry.id, "e": entry.entity_id, "by": entry.by, "due": sorted(entry.due), **told(entry)}


def moved(document: Document, entity_id: str) -> Document:
    """The form for the outbox of an entry that the document of its entity holds."""
    return {"_id": document["id"], "e": entity_id, **{k: v for k, v in document.items() if k != "id"}}


def told(entry: Entry) -> Document:
    """What an entry tells, to whomever."""
    document: Document = {"st": entry.rev, "at": entry.at}
    if entry.is_report:
        return document | {"report": True}
    assert entry.entity is not None, "an entry that is written tells something"
    document["entity"] = encode_entity(entry.entity)
    if entry.previous is not None:
        document["was"] = encode_attrs(entry.previous)
    return document


def reference(document: Document, tenant: str, entity_id: str) -> Entry:
    """An entry without what it tells, from either form."""
    return Entry(
        document["id"] if "id" in document else document["_id"],
        tenant, entity_id, document["st"], document["at"], document["by"], set(document["due"]),
        is_report="report" in document,
    )  # fmt: skip


def whole(document: Document, tenant: str, entity_id: str) -> Entry:
    """An entry with what it tells, from either form, which is used up."""
    entry = reference(document, tenant, entity_id)
    if entry.is_report:
        entry.entity = nothing_of(entity_id)
    else:
        entry.entity = decode_entity(document["entity"])
        entry.previous = None if (was := document.get("was")) is None else decode_attrs(was)
    return entry


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in a report, which is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}
