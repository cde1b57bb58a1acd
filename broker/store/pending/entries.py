"""The stored form of an entry: one change, and the subscriptions that it is pending for.

In the document of its entity: {id, by: the process that delivers it, st: the entity's revision, at: time of
the server (µs), due: the subscriptions that it is pending for, and the payload}. The ids of an entity's
entries sort by revision. In the outbox, `_id` stands for `id`, and `e` is the entity's id.

The payload is {entity: the state after the change, was: the previous attribute instances, if a subscription
shows them}. A report has {report: true} instead. States that throttling suppressed are
{suppressed: [{entity, was}]}. In both, `e` is the subscription's id.

A subscription must not make a write fail. So a payload that does not fit in a document of the outbox becomes
{zipped: the compressed payload}. If it still does not fit, parts are removed, and `cut` says which.
"""

import logging
import zlib
from collections.abc import Iterator
from typing import Any

from bson import decode, encode
from bson.raw_bson import RawBSONDocument

from broker.core import Attributes, Entity
from broker.core.delivery.entry import Entry
from broker.store.wire.codec import decode_attrs, decode_entity, encode_attrs, encode_entity

Document = dict[str, Any]
log = logging.getLogger(__name__)

_MOST = 16 * 1024**2  # bytes of a document


def held(entry: Entry) -> Document:
    """The form of an entry for the document of its entity."""
    return {
        "id": entry.id,
        "by": entry.by,
        "due": sorted(entry.subscriptions),
        **_times(entry),
        **_payload(entry),
    }


def apart(entry: Entry) -> RawBSONDocument:
    """The form of an entry for the outbox. Cuts the entry itself if it does not fit."""
    return fitting(entry, {"_id": entry.id, "by": entry.by, "due": sorted(entry.subscriptions)})


def moved(document: Document, entity_id: str) -> Document:
    """The form for the outbox of an entry in the form for its entity's document."""
    return {"_id": document["id"], "e": entity_id, **{k: v for k, v in document.items() if k != "id"}}


def fitting(entry: Entry, head: Document, own: int = 0) -> RawBSONDocument:
    """The document of `head` and the payload of an entry, encoded. Cuts the entry itself if it does not fit.

    `own`: the bytes that an enclosing document needs for other members.
    """
    raw = b""
    for payload in _forms(entry):
        raw = encode({**head, "e": entry.entity_id, **_times(entry), **payload})
        if len(raw) + own <= _MOST:
            break
    return RawBSONDocument(raw)


def reference(document: Document, tenant: str, entity_id: str) -> Entry:
    """Decodes an entry without its payload, from either form."""
    return Entry(
        document["id"] if "id" in document else document["_id"],
        tenant, entity_id, document["st"], document["at"], document["by"], set(document["due"]),
        is_report="report" in document,
    )  # fmt: skip


def whole(document: Document, tenant: str, entity_id: str) -> Entry:
    """Decodes an entry with its payload, from either form."""
    entry = reference(document, tenant, entity_id)
    payload = unzipped(document)
    if "entity" in payload:
        entry.entity, entry.previous = state(payload)
    else:
        entry.entity = nothing_of(entity_id)
    entry.suppressed = tuple(state(suppressed) for suppressed in payload.get("suppressed", ()))
    entry.cut = payload.get("cut", "")
    return entry


def unzipped(document: Document) -> Document:
    """The payload of a document if it is compressed; else the document itself."""
    return decode(zlib.decompress(document["zipped"])) if "zipped" in document else document


def state(document: Document) -> tuple[Entity, Attributes | None]:
    """Decodes (entity, previous attribute instances); the second is None if the document has none."""
    was = document.get("was")
    return decode_entity(document["entity"]), None if was is None else decode_attrs(was)


def nothing_of(subscription_id: str) -> Entity:
    """The empty entity in a report, and in an entry of suppressed states; its id is the subscription's."""
    return {"id": subscription_id, "type": [], "attrs": {}}


def _times(entry: Entry) -> Document:
    return {"st": entry.rev, "at": entry.at}


def _forms(entry: Entry) -> Iterator[Document]:
    """The payload of an entry in smaller and smaller forms. Cuts the entry before it yields the last ones."""
    yield _payload(entry)
    if entry.is_report:
        return
    yield _zipped(entry)
    if entry.suppressed or entry.entity is None:
        return
    if entry.previous is not None:
        entry.previous = None
        yield _cut(entry, "the previous values")
    entry.entity = {**entry.entity, "attrs": {}}
    yield _cut(entry, "the attributes")


def _payload(entry: Entry) -> Document:
    if entry.is_report:
        return {"report": True}
    if entry.suppressed:
        return {"suppressed": [_state(*pair) for pair in entry.suppressed]}
    assert entry.entity is not None, "an entry that is written has its payload"
    return _state(entry.entity, entry.previous) | ({"cut": entry.cut} if entry.cut else {})


def _state(entity: Entity, previous: Attributes | None) -> Document:
    document: Document = {"entity": encode_entity(entity)}
    if previous is not None:
        document["was"] = encode_attrs(previous)
    return document


def _zipped(entry: Entry) -> Document:
    return {"zipped": zlib.compress(encode(_payload(entry)), 1)}


def _cut(entry: Entry, what: str) -> Document:
    entry.cut = f"{what}: too large to be kept for delivery"
    log.warning("a notification is cut", extra={"entity": entry.entity_id, "missing": entry.cut})
    return _zipped(entry)
