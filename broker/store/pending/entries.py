"""The stored form of an entry: one change, and the subscriptions that it is pending for.

In the document of its entity: {id, by: the process that delivers it, st: revision of the entity, at: time of
the server (µs), due: subscriptions, entity: its state after the change, was: attributes before it, where
somebody wants to know}. In the outbox the same with `_id` for id, and `e`, the entity's id. A report has
`report: true` instead of an entity, and what throttling suppressed {suppressed: [{entity, was}]}, both with
the subscription's id for `e`. Ids sort by revision.

A change must not fail because somebody is to be told of it. So an entry that does not fit in a document of
the outbox has {zipped: entity and was, compressed} instead; if that does not fit either it is cut, and `cut`
says of what.
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
    """An entry as the document of its entity holds it."""
    return {
        "id": entry.id,
        "by": entry.by,
        "due": sorted(entry.subscriptions),
        **_times(entry),
        **_told(entry),
    }


def apart(entry: Entry) -> RawBSONDocument:
    """An entry as the outbox holds it. The entry is cut to what fits."""
    return fitting(entry, {"_id": entry.id, "by": entry.by, "due": sorted(entry.subscriptions)})


def moved(document: Document, entity_id: str) -> Document:
    """The form for the outbox of an entry that the document of its entity holds."""
    return {"_id": document["id"], "e": entity_id, **{k: v for k, v in document.items() if k != "id"}}


def fitting(entry: Entry, head: Document, own: int = 0) -> RawBSONDocument:
    """The document of `head` and of what an entry tells, which is cut to what fits. It is encoded once.

    It shares its room with `own` bytes of the document that it is to be a part of.
    """
    raw = b""
    for told in _forms(entry):
        raw = encode({**head, "e": entry.entity_id, **_times(entry), **told})
        if len(raw) + own <= _MOST:
            break
    return RawBSONDocument(raw)


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
    told = unzipped(document)
    if "entity" in told:
        entry.entity, entry.previous = state(told)
    else:
        entry.entity = nothing_of(entity_id)
    entry.suppressed = tuple(state(one) for one in told.get("suppressed", ()))
    entry.cut = told.get("cut", "")
    return entry


def unzipped(document: Document) -> Document:
    """A document with what it tells; if that is not compressed, itself."""
    return decode(zlib.decompress(document["zipped"])) if "zipped" in document else document


def state(document: Document) -> tuple[Entity, Attributes | None]:
    """The entity in a document, and its attributes before the change, where somebody wants to know."""
    was = document.get("was")
    return decode_entity(document["entity"]), None if was is None else decode_attrs(was)


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in an entry that is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}


def _times(entry: Entry) -> Document:
    return {"st": entry.rev, "at": entry.at}


def _forms(entry: Entry) -> Iterator[Document]:
    """What an entry tells, to whomever, in smaller and smaller forms; it is cut before the last ones."""
    yield _told(entry)
    if entry.is_report:
        return
    yield _zipped(entry)
    if entry.suppressed or entry.entity is None:
        return
    if entry.previous is not None:
        entry.previous = None
        yield _cut(entry, "what was before")
    entry.entity = {**entry.entity, "attrs": {}}
    yield _cut(entry, "the attributes")


def _told(entry: Entry) -> Document:
    if entry.is_report:
        return {"report": True}
    if entry.suppressed:
        return {"suppressed": [_state(*one) for one in entry.suppressed]}
    assert entry.entity is not None, "an entry that is written tells something"
    return _state(entry.entity, entry.previous) | ({"cut": entry.cut} if entry.cut else {})


def _state(entity: Entity, previous: Attributes | None) -> Document:
    document: Document = {"entity": encode_entity(entity)}
    if previous is not None:
        document["was"] = encode_attrs(previous)
    return document


def _zipped(entry: Entry) -> Document:
    return {"zipped": zlib.compress(encode(_told(entry)), 1)}


def _cut(entry: Entry, what: str) -> Document:
    entry.cut = f"{what}: too large to be kept for delivery"
    log.warning("a notification is cut", extra={"entity": entry.entity_id, "missing": entry.cut})
    return _zipped(entry)
