"""The stored shape of what is due: one document for each change.

{_id, e: entity id, by: the process that delivers, stamp, due: subscriptions that have not been told,
entity: its state after the change, was: attributes before it, where somebody wants to know}. A report has
{e: subscription id, report: true} instead of an entity; what throttling suppressed, {e: subscription id,
suppressed: [{entity, was}]}. Ids sort by time within one process.
"""

from typing import Any

from broker.core import Attributes, Entity
from broker.ports.changes import Entry
from broker.store.codec import decode_attrs, decode_entity, encode_attrs, encode_entity

Document = dict[str, Any]


def stored(entry: Entry, process: str) -> Document:
    """The document of an entry."""
    return {"_id": entry.id, "by": process, "due": list(entry.due), **facts(entry)}


def facts(entry: Entry) -> Document:
    """What an entry tells, to whomever."""
    document: Document = {"e": entry.entity["id"], "stamp": entry.stamp}
    if entry.is_report:
        return document | {"report": True}
    if entry.suppressed:
        return document | {"suppressed": [_state(*one) for one in entry.suppressed]}
    return document | _state(entry.entity, entry.previous)


def _state(entity: Entity, previous: Attributes | None) -> Document:
    document: Document = {"entity": encode_entity(entity)}
    if previous is not None:
        document["was"] = encode_attrs(previous)
    return document


def state(document: Document) -> tuple[Entity, Attributes | None]:
    """The entity in a document, and its attributes before the change, where somebody wants to know."""
    was = document.get("was")
    return decode_entity(document["entity"]), None if was is None else decode_attrs(was)


def restored(document: Document, tenant: str, process: str) -> Entry:
    """An entry read back; it is foreign if another process made it, which its id tells."""
    is_of_one = "entity" in document
    entity, previous = state(document) if is_of_one else (nothing_of(document["e"]), None)
    return Entry(
        document["_id"], tenant, document["stamp"], entity, set(document["due"]),
        foreign=not document["_id"].endswith(process),
        previous=previous,
        is_report=document.get("report", False),
        suppressed=[state(one) for one in document.get("suppressed", ())],
    )  # fmt: skip


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in an entry that is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}
