"""The stored shape of what is due: one document for each change.

{_id, e: entity id, by: the process that delivers, stamp: revision of the entity, time: of the server (µs),
due: subscriptions that have not been told, entity: its state after the change, was: attributes before it,
where somebody wants to know}. A report has {e: subscription id, report: true} instead of an entity; what
throttling suppressed, {e: subscription id, suppressed: [{entity, was}]}. Ids sort by stamp.

A change must not fail because somebody is to be told of it. So an entry that does not fit in a document has
{zipped: its states, compressed} instead (what throttling suppressed: {suppressed: [], zipped}); if that does
not fit either it is cut, and `cut` says of what.
"""

import logging
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from bson import decode, encode
from bson.raw_bson import RawBSONDocument

from broker.clock import Stamp
from broker.core import Attributes, Entity
from broker.ports.changes import Entry
from broker.store.codec import decode_attrs, decode_entity, encode_attrs, encode_entity

log = logging.getLogger(__name__)
Document = dict[str, Any]
State = tuple[Entity, Attributes | None]  # an entity, and its attributes before, where somebody wants to know
_MOST = 16 * 1024**2  # bytes of a document


def entry_id(stamp: Stamp, process: str) -> str:
    """The id of an entry that a process makes. Revisions ahead of the time may be alike, times are not."""
    own = "" if stamp.rev == stamp.now else f"{stamp.now:016x}"
    return f"{stamp.rev:016x}{own}{process}"


def stored(entry: Entry, process: str) -> RawBSONDocument:
    """The document of an entry in the outbox. The entry is cut to what fits."""
    return fitting(entry, {"_id": entry.id, "by": process, "due": list(entry.due)})


def fitting(entry: Entry, head: Document, room: int = 0) -> RawBSONDocument:
    """The document of `head` and of what an entry tells, which is cut to what fits. It is encoded once.

    `room`: bytes to leave in the document that it will be a part of.
    """
    raw = b""
    head = {**head, "e": entry.entity["id"], "stamp": entry.stamp, "time": entry.time}
    for facts in _forms(entry):
        raw = encode({**head, **facts})
        if len(raw) <= _MOST - room:
            break
    return RawBSONDocument(raw)


def _forms(entry: Entry) -> Iterator[Document]:
    """What an entry tells, to whomever, in smaller and smaller forms; it is cut before the last ones."""
    if entry.is_report:
        yield {"report": True}
        return
    yield _told(entry)
    yield _zipped(entry)
    if any(previous is not None for _, previous in entry.states()):
        yield _cut(entry, "what was before", lambda entity: (entity, None))
    yield _cut(entry, "the attributes", lambda entity: ({**entity, "attrs": {}}, None))


def _told(entry: Entry) -> Document:
    if entry.suppressed:
        states: Document = {"suppressed": [_state(*one) for one in entry.suppressed]}
    else:
        states = _state(entry.entity, entry.previous)
    return states | ({"cut": entry.cut} if entry.cut else {})


def _state(entity: Entity, previous: Attributes | None) -> Document:
    document: Document = {"entity": encode_entity(entity)}
    if previous is not None:
        document["was"] = encode_attrs(previous)
    return document


def _zipped(entry: Entry) -> Document:
    marked: Document = {"suppressed": []} if entry.suppressed else {}
    return {**marked, "zipped": zlib.compress(encode(_told(entry)), 1)}


def _cut(entry: Entry, what: str, left: Callable[[Entity], State]) -> Document:
    if entry.suppressed:
        entry.suppressed = [left(entity) for entity, _ in entry.suppressed]
    else:
        entry.entity, entry.previous = left(entry.entity)
    entry.cut = f"{what}: too large to be kept for delivery"
    log.warning("a notification is cut", extra={"entity": entry.entity["id"], "missing": entry.cut})
    return _zipped(entry)


def unzipped(document: Document) -> Document:
    """What a document tells: of one entity, as `state` reads it, or `suppressed`; `cut` if it is cut."""
    return decode(zlib.decompress(document["zipped"])) if "zipped" in document else document


def state(told: Document) -> State:
    """The entity that a document tells of, and its attributes before the change."""
    was = told.get("was")
    return decode_entity(told["entity"]), None if was is None else decode_attrs(was)


def restored(document: Document, tenant: str, process: str) -> Entry:
    """An entry read back; it is foreign if another process made it, which its id tells."""
    told = unzipped(document)
    entity, previous = state(told) if "entity" in told else (nothing_of(document["e"]), None)
    return Entry(
        document["_id"], tenant, document["stamp"], entity, set(document["due"]),
        foreign=not document["_id"].endswith(process),
        previous=previous,
        is_report=document.get("report", False),
        suppressed=[state(one) for one in told.get("suppressed", ())],
        cut=told.get("cut", ""),
        time=became_due(document),
    )  # fmt: skip


def became_due(document: Document) -> int:
    """When (µs, the server's time) an entry became due; those of earlier versions have their stamp alone."""
    time: int = document["time"] if "time" in document else document["stamp"]
    return time


def nothing_of(subscription_id: str) -> Entity:
    """What stands for the entity in an entry that is of many."""
    return {"id": subscription_id, "type": [], "attrs": {}}
