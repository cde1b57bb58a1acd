"""The statements that bring the document of an entity from its stored state to that of its draft."""

from collections.abc import Sequence
from typing import Any

from broker.core import Entity, Instance, Json
from broker.core.change import Change
from broker.core.entity import expiry
from broker.store.history.records import held_item
from broker.store.pending import entries
from broker.store.wire import codec
from broker.store.wire.places import is_spatial
from broker.store.writes import weight
from broker.store.writes.plan import Draft

Document = dict[str, Any]

# Members of a document that exist while the entity does.
_STATE = ("type", "scope", "createdAt", "modifiedAt", "expiresAt", "attrs", "due", "shape", *codec.PLACES)
PAST = ("past", "unlisted", "h", "hn", "hb", "p", "pk", "pn")
_MANY = 200  # changed attributes from which on all are written, since MongoDB searches each path separately
_NEVER = {"_id": "\0"}  # with `$setOnInsert`: an update that matches no document fails, and inserts nothing


class Statement:
    """An update of one document under construction: the operands of MongoDB's operators, and the guard."""

    def __init__(self, draft: Draft) -> None:
        self._id, self._rev = draft.id, draft.stored.rev
        self.set: Document = {"rev": max(draft.rev, draft.stored.rev + 1)}
        self.unset: dict[str, int] = {}
        self.push: Document = {}
        self.inc: Document = {}
        self.add: Document = {}

    def mark(self, name: str, is_set: bool) -> None:
        """Sets or removes a member that works as a flag by its presence."""
        if is_set:
            self.set[name] = 1
        else:
            self.unset[name] = 1

    def hold(self, history: list[Document], weight: int, *, anew: bool) -> None:
        """Adds single instances of `weight` bytes in all to the document's history; `anew`: replaces it."""
        size = {"hn": len(history), "hb": weight}
        if anew:
            self.set |= {"h": [held_item(instance) for instance in history], **size}
            for name in ("h", *size):
                self.unset.pop(name, None)
        else:
            self.push["h"] = {"$each": [held_item(instance) for instance in history]}
            self.inc |= size

    @property
    def guarded(self) -> Document:
        """The update {q, u, upsert} outside transactions: fails if the document has not the revision read."""
        update = self._update | {"$setOnInsert": _NEVER}
        return {"q": self.wanted, "u": update, "upsert": True}

    @property
    def plain(self) -> Document:
        """The update {q, u} in a transaction: matches nothing if the document has another revision."""
        return {"q": self.wanted, "u": self._update}

    @property
    def unguarded(self) -> Document:
        """The update {q, u} in a transaction that has read the document, so that it needs no guard."""
        return {"q": {"_id": self._id}, "u": self._update}

    @property
    def wanted(self) -> Document:
        """The filter for the document at the revision that was read."""
        return {"_id": self._id, "rev": self._rev}

    @property
    def _update(self) -> Document:
        operators = {
            "$set": self.set,
            "$unset": self.unset,
            "$push": self.push,
            "$inc": self.inc,
            "$addToSet": self.add,
        }
        return {name: operand for name, operand in operators.items() if operand}


def statement(draft: Draft) -> Statement:
    """The update of an existing document: state, facts of the evolution, history and pending entries."""
    update = without_history(draft)
    if draft.history:
        update.hold(draft.history, sum(draft.weights), anew=draft.deletes_history)
    return update


def without_history(draft: Draft) -> Statement:
    """The update of an existing document, without the new history."""
    update = Statement(draft)
    _state(draft, update)
    _past(draft, update)
    if draft.entries:
        update.push["o"] = {"$each": [*map(entries.held, draft.entries)]}
    return update


def document(draft: Draft) -> Document:
    """The document of an entity that had none. The entity may have been created and deleted in the group."""
    new: Document = {"_id": draft.id, "rev": draft.rev}
    if (entity := draft.entity) is not None:
        new |= codec.encode_entity(entity) | codec.encode_places(entity["attrs"])
        new["shape"] = codec.shape(entity)
        if due := expiry.earliest(entity):
            new["due"] = due
    elif not draft.has_past:
        new["gone"] = 1
    if draft.has_past:
        new["past"] = {**draft.listing.facts, "attrs": list(draft.listing.attrs)}
    if draft.history:
        new["h"] = [*map(held_item, draft.history)]
        new |= {"hn": len(draft.history), "hb": sum(draft.weights)}
    if draft.entries:
        new["o"] = [*map(entries.held, draft.entries)]
    return new


def bytes_of(single: Document) -> int:
    """The approximate size of a single instance of history, in bytes."""
    return weight.of_instance(single["i"])


def _state(draft: Draft, update: Statement) -> None:
    """Adds the change of the entity's state to a statement."""
    before, after = draft.stored.entity, draft.entity
    if after is before:
        return
    if after is None:
        update.unset |= dict.fromkeys(_STATE, 1)
        if not draft.has_past:
            update.set["gone"] = 1
    elif before is None:
        encoded = codec.encode_entity(after) | codec.encode_places(after["attrs"])
        update.set |= {name: value for name, value in encoded.items() if name != "_id"}
        update.set["shape"] = codec.shape(after)
        update.unset["gone"] = 1
        _expiry(draft, after, update)
    else:
        _difference(draft.change, before, after, update)
        _expiry(draft, after, update)


def _expiry(draft: Draft, after: Entity, update: Statement) -> None:
    if due := expiry.earliest(after):
        update.set["due"] = due
    elif draft.stored.expires is not None:
        update.unset["due"] = 1


def _past(draft: Draft, update: Statement) -> None:
    """Adds the change of the evolution's facts to a statement."""
    listing, stored = draft.listing, draft.stored
    if draft.deletes_history:
        update.unset |= dict.fromkeys(PAST, 1)
    if not draft.has_past:
        return
    if draft.is_listed is not stored.is_listed and stored.has_past:
        update.mark("unlisted", not draft.is_listed)
    if not stored.has_past or draft.deletes_history:
        update.unset.pop("past", None)
        update.set["past"] = {**listing.facts, "attrs": list(listing.attrs)}
        return
    update.set |= {f"past.{name}": value for name, value in listing.facts.items()}
    update.unset |= {f"past.{name}": 1 for name in listing.gone}
    if listing.attrs:
        update.add["past.attrs"] = {"$each": list(listing.attrs)}


def _difference(change: Change, before: Entity, after: Entity, update: Statement) -> None:
    """Adds the differences of two states to a statement, by stored path.

    Rules keep unchanged parts as the same objects, so `is` finds the differences. The shape is computed
    again only if types, attributes or kinds differ; the places only if a geometry does.
    """
    update.set |= {k: v for k, v in after.items() if k not in ("attrs", "id") and before.get(k) is not v}
    update.unset |= {k: 1 for k in before if k not in after}
    is_reshaped, is_moved = before["type"] is not after["type"], False
    is_whole = len(change.touched) > _MANY
    if is_whole:
        update.set["attrs"] = codec.encode_attrs(after["attrs"])
    for iri, old, new in change.touched:
        if is_whole:
            pass
        elif new:
            update.set["attrs." + codec.key(iri)] = [codec.encode_instance(instance) for instance in new]
        else:
            update.unset["attrs." + codec.key(iri)] = 1
        is_reshaped = is_reshaped or codec.kinds(old) != codec.kinds(new)
        is_moved = is_moved or _geometries(old) != _geometries(new)
    if is_reshaped:
        update.set["shape"] = codec.shape(after)
    if is_moved:
        placed = codec.encode_places(after["attrs"])
        update.set |= placed
        update.unset |= {member: 1 for member in codec.PLACES if member not in placed}


def _geometries(instances: Sequence[Instance]) -> list[Json]:
    return [instance["value"] for instance in instances if is_spatial(instance)]
