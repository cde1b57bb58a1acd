"""The facts of evolutions, and the candidates of temporal queries.

The facts of an evolution are in the document of its entity, also after the deletion of the entity: `past`
holds types, attributes that the entity ever had (stored keys), scopes and times; `p` the attributes with
buckets; `h` history that is still in the document. `facts_of` combines them.
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

# The projection for `facts_of`. `held`: the keys of attributes with history in the document.
FACTS: Document = {"past": 1, "p": 1, "held": {"$setUnion": [{"$ifNull": ["$h.a", []]}]}}
# The projection with the instances in the document, for reads of one entity.
FACTS_AND_HISTORY: Document = {"past": 1, "p": 1, "h": 1}
LISTED: Document = {"past": {"$exists": True}}


def facts_of(document: Document) -> Document | None:
    """The facts of the evolution of an entity's document; None if it has no evolution.

    {_id, type, attrs, createdAt, modifiedAt?, deletedAt?, scope?, packed, held, h?}: `packed` and `held` are
    the keys of attributes with buckets and with history in the document; `h` is that history, if it was read.
    """
    past: Document | None = document.get("past")
    if past is None:
        return None
    facts = {"_id": document["_id"], **past, "packed": document.get("p", ())}
    if "held" in document:
        return facts | {"held": document["held"]}
    held = document.get("h", [])
    return facts | {"h": held, "held": {item["a"] for item in held}}


@dataclass(slots=True)
class Candidate:
    """An entity that may be in an answer: the facts of its evolution, and the selections of its series.

    `scopes`: the instance of the scopes at the beginning of the window, if the answer shows them.
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
        """The instances of all attributes in its document, in stored form; None if they were not read."""
        return self.document.get("h")

    def series(self, key: str) -> Series | None:
        """The series of the attribute with this key; None if the entity never had the attribute."""
        return (self.id, key) if key in _keys(self.document) else None

    def selection(self, base: Selection, key: str) -> Selection:
        """The selection `base` for one attribute, which says where its instances are."""
        return _selection(self.document, base, key)


def candidate_of(document: Document, query: TemporalQuery, selection: Selection) -> Candidate:
    """A candidate of a query, with a selection for each series that the query needs."""
    keys = (key for key in _keys(document) if query.is_judged(codec.name(key)))
    return Candidate(document, {(document["_id"], key): _selection(document, selection, key) for key in keys})


def candidates(query: TemporalQuery) -> Document:
    """The filter for documents whose evolution has matching types, id, and one of the required attributes."""
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
    """A filter on the types of entities, changed to one on the types of their evolutions."""
    if isinstance(wanted, list):
        return [_of_past(item) for item in wanted]
    if not isinstance(wanted, dict):
        return wanted
    return {"past.type" if name == "type" else name: _of_past(value) for name, value in wanted.items()}


def direction(query: TemporalQuery) -> int:
    """The order of entities by id: 1 for ascending, -1 for descending."""
    order = query.entities.order
    return -1 if order is not None and order.terms[0].descending else 1


def evolution(document: Document) -> Evolution:
    """The evolution with these facts, without any instances yet."""
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
