"""The stored state of entities, as a group reads it before it applies its rules."""

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

# A projection that omits what rules do not need: history, the contents of pending entries, and places.
LEFT_OUT = {"h": 0, "o.entity": 0, "o.was": 0, "past.attrs": 0, "p": 0, **dict.fromkeys(codec.PLACES, 0)}


@dataclass(frozen=True, slots=True)
class Stored:
    """The stored state of an entity: the entity, None if it does not exist, and what its document says of it.

    - `rev`: its revision, 0 if there is no document;
    - `expires`: the instant at which the first part of the entity expires;
    - `has_past`: it has an evolution; `is_listed`: the facts of that agree with the entity;
    - `pending`: the pending entries in the document, without their contents; `is_whole`: there are no
      earlier ones in the outbox;
    - `held`, `weight`: number and bytes of the history's instances in the document; `outside`: the
      approximate number of instances outside the document since it was last packed;
    - `fault`: the error if the entity cannot be decoded.
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
        """The entity without the parts that have expired at `now` (4.22); None if nothing is left."""
        if self.entity is not None and self.expires is not None and self.expires <= now:
            return expiry.alive(self.entity, now)
        return self.entity


ABSENT = Stored()


def read(tenant: str, documents: Iterable[Document]) -> tuple[tuple[int, str], dict[str, Stored]]:
    """(epoch, states): the tenant's epoch as (number, mark), and the stored states by entity id."""
    epoch, states = epoch_of(None), {}
    for document in documents:
        if document["_id"] == EPOCH:
            epoch = epoch_of(document)
        else:
            entity_id = document["_id"]
            states[entity_id] = _stored(tenant, entity_id, document)
    return epoch, states


def _stored(tenant: str, entity_id: str, document: Document) -> Stored:
    try:
        facts = _facts(tenant, entity_id, document)
    except Exception as error:  # any fault here concerns this entity alone
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
    """The values of the members of `Stored` from `rev` to `outside`."""
    return (
        document["rev"], document.get("due"),
        "past" in document, "past" in document and "unlisted" not in document,
        tuple(entries.reference(pending, tenant, entity_id) for pending in document.get("o", ())),
        "ov" not in document, document.get("hn", 0), document.get("hb", 0), document.get("pn", 0),
    )  # fmt: skip
