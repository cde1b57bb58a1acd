"""The stored shape of what is due: one document for each change.

{_id, e: entity id, by: the process that delivers, stamp, due: subscriptions that have not been told,
entity: its state after the change, was: attributes before it, where somebody wants to know}. A report has
{e: subscription id, report: true} instead of an entity. Ids sort by time within one process.

A change must not fail because somebody is to be told of it. So an entry that does not fit in a document has
{zipped: entity and was, compressed} instead; if that does not fit either it is cut, and `cut` says of what.
"""

import logging
import zlib
from collections.abc import Iterator
from typing import Any

from bson import decode, encode
from bson.raw_bson import RawBSONDocument

from broker.core import Entity
from broker.ports.changes import Entry
from broker.store.codec import decode_attrs, decode_entity, encode_attrs, encode_entity

log = logging.getLogger(__name__)
Document = dict[str, Any]
_MOST = 16 * 1024**2  # bytes of a document


def stored(entry: Entry, process: str) -> RawBSONDocument:
    """The document of an entry in the outbox. The entry is cut to what fits."""
    return fitting(entry, {"_id": entry.id, "by": process, "due": list(entry.due)})


def fitting(entry: Entry, head: Document) -> RawBSONDocument:
    """The document of `head` and of what an entry tells, which is cut to what fits. It is encoded once."""
    raw = b""
    for facts in _forms(entry):
        raw = encode({**head, "e": entry.entity["id"], "stamp": entry.stamp, **facts})
        if len(raw) <= _MOST:
            break
    return RawBSONDocument(raw)


def _forms(entry: Entry) -> Iterator[Document]:
    """What an entry tells, to whomever, in smaller and smaller forms; it is cut before the last ones."""
    if entry.is_report:
        yield {"report": True}
        return
    yield _told(entry)
    yield _zipped(entry)
    if entry.previous is not None:
        entry.previous = None
        yield _cut(entry, "what was before")
    entry.entity = {**entry.entity, "attrs": {}}
    yield _cut(entry, "the attributes")


def _told(entry: Entry) -> Document:
    told: Document = {"entity": encode_entity(entry.entity)}
    if entry.previous is not None:
        told["was"] = encode_attrs(entry.previous)
    return told | ({"cut": entry.cut} if entry.cut else {})


def _zipped(entry: Entry) -> Document:
    return {"zipped": zlib.compress(encode(_told(entry)), 1)}


def _cut(entry: Entry, what: str) -> Document:
    entry.cut = f"{what}: too large to be kept for delivery"
    log.warning("a notification is cut", extra={"entity": entry.entity["id"], "missing": entry.cut})
    return _zipped(entry)


def restored(document: Document, tenant: str, process: str) -> Entry:
    """An entry read back; it is foreign if another process made it, which its id tells."""
    is_report = document.get("report", False)
    told = decode(zlib.decompress(document["zipped"])) if "zipped" in document else document
    return Entry(
        document["_id"], tenant, document["stamp"],
        nothing_of(document["e"]) if is_report else decode_entity(told["entity"]),
        set(document["due"]),
        foreign=not document["_id"].endswith(process),
        previous=None if (was := told.get("was")) is None else decode_attrs(was),
        is_report=is_report,
        cut=told.get("cut", ""),
    )  # fmt: skip


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in a report, which is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}
