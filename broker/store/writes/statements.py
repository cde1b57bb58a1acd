"""The statements that take a document from what stands to what a draft comes to."""

from collections.abc import Sequence
from typing import Any

from broker.core import Entity, Instance, Json
from broker.core.change import Change
from broker.core.entity import expiry
from broker.store.history.records import held
from broker.store.pending import entries
from broker.store.wire import codec
from broker.store.wire.places import is_spatial
from broker.store.writes import weight
from broker.store.writes.plan import Draft

Document = dict[str, Any]

# Members of a document that are there as long as the entity is.
_STATE = ("type", "scope", "createdAt", "modifiedAt", "expiresAt", "attrs", "due", "shape", *codec.PLACES)
PAST = ("past", "unlisted", "h", "hn", "hb", "p", "pk", "pn")
_MANY = 200  # attributes that differ, from which on all are written: MongoDB looks for each by itself
_NEVER = {"_id": "\0"}  # an update that would insert a document fails instead: what it is for is not there


class Statement:
    """One guarded update in the making, by MongoDB's operators."""

    def __init__(self, draft: Draft) -> None:
        self._id, self._rev = draft.id, draft.stored.rev
        self.set: Document = {"rev": max(draft.rev, draft.stored.rev + 1)}
        self.unset: dict[str, int] = {}
        self.push: Document = {}
        self.inc: Document = {}
        self.add: Document = {}

    def mark(self, name: str, is_set: bool) -> None:
        """Sets or removes a member that says something by being there."""
        if is_set:
            self.set[name] = 1
        else:
            self.unset[name] = 1

    def hold(self, history: list[Document], weight: int, *, anew: bool) -> None:
        """Adds single instances (of `weight` bytes) to the history in the document; `anew`: in its place."""
        size = {"hn": len(history), "hb": weight}
        if anew:
            self.set |= {"h": [held(one) for one in history], **size}
            for name in ("h", *size):
                self.unset.pop(name, None)
        else:
            self.push["h"] = {"$each": [held(one) for one in history]}
            self.inc |= size

    @property
    def guarded(self) -> Document:
        """The update, which fails by itself unless the document is of the revision that was read."""
        update = self._update | {"$setOnInsert": _NEVER}
        return {"q": self.wanted, "u": update, "upsert": True}

    @property
    def plain(self) -> Document:
        """The update for a transaction: it finds nothing if the document is of another revision."""
        return {"q": self.wanted, "u": self._update}

    @property
    def unguarded(self) -> Document:
        """The update for a transaction that has read the document."""
        return {"q": {"_id": self._id}, "u": self._update}

    @property
    def wanted(self) -> Document:
        """The document, as it was read."""
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
        return {name: what for name, what in operators.items() if what}


def statement(draft: Draft) -> Statement:
    """The update of a document that is there: its state, its past, its history and what is pending."""
    made = without_history(draft)
    if draft.history:
        made.hold(draft.history, sum(draft.weights), anew=draft.forgets)
    return made


def without_history(draft: Draft) -> Statement:
    """The same, but for the history."""
    made = Statement(draft)
    _state(draft, made)
    _past(draft, made)
    if draft.entries:
        made.push["o"] = {"$each": [entries.held(one) for one in draft.entries]}
    return made


def document(draft: Draft) -> Document:
    """The new document of an entity that had none; it may have come and gone within the group."""
    found: Document = {"_id": draft.id, "rev": draft.rev}
    if (entity := draft.entity) is not None:
        found |= codec.encode_entity(entity) | codec.encode_places(entity["attrs"])
        found["shape"] = codec.shape(entity)
        if due := expiry.earliest(entity):
            found["due"] = due
    elif not draft.has_past:
        found["gone"] = 1
    if draft.has_past:
        found["past"] = {**draft.listing.facts, "attrs": list(draft.listing.attrs)}
    if draft.history:
        found["h"] = [held(one) for one in draft.history]
        found |= {"hn": len(draft.history), "hb": sum(draft.weights)}
    if draft.entries:
        found["o"] = [entries.held(one) for one in draft.entries]
    return found


def bytes_of(single: Document) -> int:
    """The bytes of a single instance of history, about."""
    return weight.of_instance(single["i"])


def _state(draft: Draft, made: Statement) -> None:
    before, after = draft.stored.entity, draft.entity
    if after is before:
        return
    if after is None:
        made.unset |= dict.fromkeys(_STATE, 1)
        if not draft.has_past:
            made.set["gone"] = 1
    elif before is None:
        encoded = codec.encode_entity(after) | codec.encode_places(after["attrs"])
        made.set |= {name: value for name, value in encoded.items() if name != "_id"}
        made.set["shape"] = codec.shape(after)
        made.unset["gone"] = 1
        _expiry(draft, after, made)
    else:
        _difference(draft.change, before, after, made)
        _expiry(draft, after, made)


def _expiry(draft: Draft, after: Entity, made: Statement) -> None:
    if due := expiry.earliest(after):
        made.set["due"] = due
    elif draft.stored.expires is not None:
        made.unset["due"] = 1


def _past(draft: Draft, made: Statement) -> None:
    listing, stored = draft.listing, draft.stored
    if draft.forgets:
        made.unset |= dict.fromkeys(PAST, 1)
    if not draft.has_past:
        return
    if draft.is_listed is not stored.is_listed and stored.has_past:
        made.mark("unlisted", not draft.is_listed)
    if not stored.has_past or draft.forgets:
        made.unset.pop("past", None)
        made.set["past"] = {**listing.facts, "attrs": list(listing.attrs)}
        return
    made.set |= {f"past.{name}": value for name, value in listing.facts.items()}
    made.unset |= {f"past.{name}": 1 for name in listing.gone}
    if listing.attrs:
        made.add["past.attrs"] = {"$each": list(listing.attrs)}


def _difference(change: Change, before: Entity, after: Entity, made: Statement) -> None:
    """What differs, by stored path: rules share what they leave alone, so identity tells.

    The shape is looked at anew when the types, the attributes or the kinds of an attribute differ.
    """
    made.set |= {k: v for k, v in after.items() if k not in ("attrs", "id") and before.get(k) is not v}
    made.unset |= {k: 1 for k in before if k not in after}
    is_reshaped, is_moved = before["type"] is not after["type"], False
    is_whole = len(change.touched) > _MANY
    if is_whole:
        made.set["attrs"] = codec.encode_attrs(after["attrs"])
    for iri, old, new in change.touched:
        if is_whole:
            pass
        elif new:
            made.set["attrs." + codec.key(iri)] = [codec.encode_instance(one) for one in new]
        else:
            made.unset["attrs." + codec.key(iri)] = 1
        is_reshaped = is_reshaped or codec.kinds(old) != codec.kinds(new)
        is_moved = is_moved or _geometries(old) != _geometries(new)
    if is_reshaped:
        made.set["shape"] = codec.shape(after)
    if is_moved:
        placed = codec.encode_places(after["attrs"])
        made.set |= placed
        made.unset |= {member: 1 for member in codec.PLACES if member not in placed}


def _geometries(instances: Sequence[Instance]) -> list[Json]:
    return [one["value"] for one in instances if is_spatial(one)]
