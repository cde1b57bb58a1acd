"""The catalogue of evolutions: whose history there is, of which attributes, and what a query wants of it.

The facts of an evolution are in the document of its entity, whether that is there or not: `past` holds types,
attributes that it ever had (stored keys), scopes and times; `p` the attributes that have buckets, and `h` the
history that has not moved out yet. `facts_of` makes one document of that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from broker.core import Instance
from broker.core.temporal import Evolution, TemporalQuery
from broker.store.history.records import SCOPE
from broker.store.history.windows import Document, Selection, Series
from broker.store.query.filters import to_filter
from broker.store.wire import codec

# What the facts of an evolution are made of. `held`: keys of attributes with history in the document.
SHOWN: Document = {"past": 1, "p": 1, "held": {"$setUnion": [{"$ifNull": ["$h.a", []]}]}}
# The same with the instances themselves, for who reads one entity.
WHOLE: Document = {"past": 1, "p": 1, "h": 1}
LISTED: Document = {"past": {"$exists": True}}


def facts_of(document: Document) -> Document | None:
    """The facts of an evolution, None if the entity has none.

    {_id, type, attrs, createdAt, modifiedAt?, deletedAt?, scope?, packed, held, h?}; `h` is there if it was
    read as a whole.
    """
    past: Document | None = document.get("past")
    if past is None:
        return None
    facts = {"_id": document["_id"], **past, "packed": document.get("p", ())}
    if "held" in document:
        return facts | {"held": document["held"]}
    held = document.get("h", [])
    return facts | {"h": held, "held": {one["a"] for one in held}}


@dataclass(slots=True)
class Candidate:
    """An entity of the catalogue, and what is selected of each of the series that are wanted of it.

    `scopes`: the instance of the scopes that it had when the window began, if that is part of the answer.
    """

    document: Document
    wanted: dict[Series, Selection]
    scopes: Instance | None = None

    @property
    def id(self) -> str:
        """The entity's id."""
        return str(self.document["_id"])

    @property
    def held(self) -> list[Document] | None:
        """The instances that its document holds, of all attributes; None if they were not read."""
        return self.document.get("h")

    def series(self, key: str) -> Series | None:
        """The series of the attribute of this key; None if it never had one."""
        return (self.id, key) if key in _keys(self.document) else None

    def selection(self, base: Selection, key: str) -> Selection:
        """A selection for one of the attributes, which may be packed."""
        return _selection(self.document, base, key)


def candidate(document: Document, query: TemporalQuery, selection: Selection) -> Candidate:
    """An entity of the catalogue, with the series that a query wants of it."""
    keys = (key for key in _keys(document) if query.is_judged(codec.name(key)))
    return Candidate(document, {(document["_id"], key): _selection(document, selection, key) for key in keys})


def candidates(query: TemporalQuery) -> Document:
    """The filter for evolutions whose types and ids fit, and that ever had one of the attributes."""
    entities = query.entities
    by_entity = _of_past(to_filter(replace(entities, attrs=(), q=None, geo=None, scope=None)))
    if not entities.required_attrs:
        return {"$and": [LISTED, by_entity]}
    keys = [codec.key(iri) for iri in entities.required_attrs]
    had: list[Document] = [{"past.attrs": {"$in": keys}}]
    if SCOPE in keys:
        had.append({f"past.{SCOPE}": {"$exists": True}})
    return {"$and": [LISTED, by_entity, {"$or": had}]}


def _of_past(wanted: Any) -> Any:
    """A filter on the types of entities, made one on those of their evolutions."""
    if isinstance(wanted, list):
        return [_of_past(one) for one in wanted]
    if not isinstance(wanted, dict):
        return wanted
    return {"past.type" if name == "type" else name: _of_past(value) for name, value in wanted.items()}


def direction(query: TemporalQuery) -> int:
    """1 if entities come in the order of their ids, -1 if the other way round."""
    order = query.entities.order
    return -1 if order is not None and order.terms[0].descending else 1


def evolution(document: Document) -> Evolution:
    """The evolution of an entity in the catalogue, without any instances yet."""
    return Evolution(
        document["_id"], document.get("type", []), document.get("createdAt", ""), {},
        modified_at=document.get("modifiedAt"), deleted_at=document.get("deletedAt"),
    )  # fmt: skip


def _selection(document: Document, base: Selection, key: str) -> Selection:
    packed, held = key in document["packed"], key in document["held"]
    return replace(base, packed=packed, held=held) if packed or held else base


def _keys(document: Document) -> Iterator[str]:
    if SCOPE in document:
        yield SCOPE
    yield from document.get("attrs", ())
