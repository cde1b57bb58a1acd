"""What stands in the database: an entity's document as a group reads it before it judges its writes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from broker.core import Entity
from broker.core.delivery.entry import Entry
from broker.core.entity import expiry
from broker.ports.entities import Undecodable
from broker.store.pending import entries
from broker.store.wire import codec
from broker.store.wire.tenants import EPOCH, epoch_of

Document = dict[str, Any]

# What a write need not know: the history that the document holds, what entries tell, and places.
LEFT_OUT = {"h": 0, "o.entity": 0, "o.was": 0, "past.attrs": 0, "p": 0, **dict.fromkeys(codec.PLACES, 0)}


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity, None if it is not there, and the facts of its document.

    `rev` is 0 if there is no document. `expires`: when something of the entity first expires. `has_past`: it
    has an evolution, whose facts are those of the entity if it `is_listed`. `pending`: the entries in the
    document, without what they tell; there are earlier ones elsewhere unless it `is_whole`. `held`
    instances of history of `weight` bytes are in the document, and `outside` of it there are as many that
    were not packed yet, about. `fault`: the entity cannot be decoded.
    """

    entity: Entity | None = None
    rev: int = 0
    expires: str | None = None
    has_past: bool = False
    is_listed: bool = False
    pending: tuple[Entry, ...] = ()
    is_whole: bool = True
    held: int = 0
    weight: int = 0
    outside: int = 0
    fault: Undecodable | None = None

    def alive(self, now: str) -> Entity | None:
        """The entity without what has expired by now (4.22), which rules take for gone."""
        if self.entity is not None and self.expires is not None and self.expires <= now:
            return expiry.alive(self.entity, now)
        return self.entity


ABSENT = Stored()


def read(tenant: str, documents: Iterable[Document]) -> tuple[tuple[int, str], dict[str, Stored]]:
    """The tenant's epoch (number and mark), and what stands of each entity, by id."""
    epoch, found = epoch_of(None), {}
    for document in documents:
        if document["_id"] == EPOCH:
            epoch = epoch_of(document)
        else:
            entity_id = document["_id"]
            found[entity_id] = _standing(tenant, entity_id, document)
    return epoch, found


def _standing(tenant: str, entity_id: str, document: Document) -> Stored:
    try:
        facts = _facts(tenant, entity_id, document)
    except Exception as error:  # whatever it is, it is about this entity alone
        fault = Undecodable(entity_id)
        fault.__cause__ = error
        return Stored(fault=fault)
    if document.keys().isdisjoint(("type", "attrs")):
        return Stored(None, *facts)
    try:
        return Stored(codec.decode_entity(document), *facts)
    except Undecodable as undecodable:
        return replace(Stored(None, *facts), fault=undecodable)


def _facts(tenant: str, entity_id: str, document: Document) -> tuple[Any, ...]:
    """What follows the entity in a `Stored`."""
    return (
        document["rev"], document.get("due"),
        "past" in document, "past" in document and "unlisted" not in document,
        tuple(entries.reference(one, tenant, entity_id) for one in document.get("o", ())),
        "ov" not in document, document.get("hn", 0), document.get("hb", 0), document.get("pn", 0),
    )  # fmt: skip
