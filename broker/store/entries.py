"""The stored shape of what is due: one document for each change.

{_id, e: entity id, by: the process that delivers, stamp, due: subscriptions that have not been told,
entity: its state after the change, was: attributes before it, where somebody wants to know}. A report has
{e: subscription id, report: true} instead of an entity. Ids sort by time within one process.
"""

from typing import Any

from broker.core import Entity
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
    document["entity"] = encode_entity(entry.entity)
    if entry.previous is not None:
        document["was"] = encode_attrs(entry.previous)
    return document


def restored(document: Document, tenant: str, process: str) -> Entry:
    """An entry read back; it is foreign if another process made it, which its id tells."""
    is_report = document.get("report", False)
    return Entry(
        document["_id"], tenant, document["stamp"],
        nothing_of(document["e"]) if is_report else decode_entity(document["entity"]),
        set(document["due"]),
        foreign=not document["_id"].endswith(process),
        previous=None if (was := document.get("was")) is None else decode_attrs(was),
        is_report=is_report,
    )  # fmt: skip


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in a report, which is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}
