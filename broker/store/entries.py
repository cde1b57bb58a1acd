"""The stored shape of what is due: one document for each change.

{_id, e: entity id, by: the process that delivers, stamp: revision of the entity, time: of the server (µs),
due: subscriptions that have not been told, entity: its state after the change, was: attributes before it,
where somebody wants to know}. A report has {e: subscription id, report: true} instead of an entity. Ids sort
by stamp.
"""

from typing import Any

from broker.clock import Stamp
from broker.core import Entity
from broker.ports.changes import Entry
from broker.store.codec import decode_attrs, decode_entity, encode_attrs, encode_entity

Document = dict[str, Any]


def entry_id(stamp: Stamp, process: str) -> str:
    """The id of an entry that a process makes. Revisions ahead of the time may be alike, times are not."""
    own = "" if stamp.rev == stamp.now else f"{stamp.now:016x}"
    return f"{stamp.rev:016x}{own}{process}"


def stored(entry: Entry, process: str) -> Document:
    """The document of an entry."""
    return {"_id": entry.id, "by": process, "due": list(entry.due), **facts(entry)}


def facts(entry: Entry) -> Document:
    """What an entry tells, to whomever."""
    document: Document = {"e": entry.entity["id"], "stamp": entry.stamp, "time": entry.time}
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
        time=became_due(document),
    )  # fmt: skip


def became_due(document: Document) -> int:
    """When (µs, the server's time) an entry became due; those of earlier versions have their stamp alone."""
    time: int = document["time"] if "time" in document else document["stamp"]
    return time


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in a report, which is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}
