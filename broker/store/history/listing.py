"""What a change adds to the catalogue of evolutions: an entity, its attributes, its types and scopes."""

from collections.abc import Collection
from typing import Any

from broker.core import Entity
from broker.core.change import Change
from broker.store import codec

Document = dict[str, Any]
_MANY = 100  # attributes from which on they are added in another way


def listed(change: Change, unlisted: bool) -> Document | None:
    """The update of the catalogue that a change asks for; None unless an attribute, a type or a scope is new.

    `unlisted`: the catalogue may lack what the entity was before.
    """
    before, after = None if unlisted else change.before, change.after
    if after is None and not unlisted:
        return _upsert(change.id, {"$set": {"deletedAt": change.now}})
    if before is not None and after is not None and _is_listed(before, after):
        new = after["attrs"].keys() - before["attrs"].keys()
        if not new:
            return None
        return _upsert(change.id, _listing(new, {}))
    facts: Document = {k: change.entity[k] for k in ("type", "createdAt", "scope") if k in change.entity}
    if after is None:
        facts["deletedAt"] = change.now
    return _upsert(change.id, _listing(change.entity["attrs"], facts))


def _listing(attrs: Collection[str], facts: Document) -> Document | list[Document]:
    """The update that adds attributes to those listed. With facts, the entity is there unless they say not.

    `$addToSet` compares each with each: where there are many, a stage makes the union.
    """
    keys = [*map(codec.key, attrs)]
    gone = ["deletedAt"] if facts and "deletedAt" not in facts else []
    if len(keys) <= _MANY:
        update: Document = {"$addToSet": {"attrs": {"$each": keys}}}
        if facts:
            update["$set"] = facts
        return update | ({"$unset": dict.fromkeys(gone, 1)} if gone else {})
    values = {name: {"$literal": fact} for name, fact in facts.items()}
    union = {"$setUnion": [{"$ifNull": ["$attrs", []]}, {"$literal": keys}]}
    return [{"$set": {**values, "attrs": union}}, *({"$unset": gone} for _ in gone)]


def _is_listed(before: Entity, after: Entity) -> bool:
    """Whether the catalogue says already what the entity is now, but for its attributes."""
    return before["type"] is after["type"] and before.get("scope") is after.get("scope")


def _upsert(document_id: str, update: Document | list[Document]) -> Document:
    return {"q": {"_id": document_id}, "u": update, "upsert": True}
