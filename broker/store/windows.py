"""Temporal queries as MongoDB pipelines over the history (see `history` for its keys).

The history of an attribute is one range of keys, and so is any span of it by observedAt or deletedAt, for
`t` is that time. MongoDB reads such a range, forwards or backwards, and nothing beside it. Attributes
are read together: a pipeline for each, with its own limit, joined by $unionWith into one round trip.
(What one would rather write, a $lookup by a range of keys, reads the whole collection each time.)

createdAt and modifiedAt are in `s`, not in the order of the keys: a span by them reads all of the attribute.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bson import MaxKey

from broker.core.temporal import TemporalQuery
from broker.core.temporal.window import BY_WRITE
from broker.store.history import PLACES

Document = dict[str, Any]
Pipeline = list[Document]
Series = tuple[str, str]  # an entity's id and the stored key of one of its attributes

_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """What a temporal query selects from each series: keys between two times, a condition, an order."""

    low: int | None
    high: int | None
    condition: Document
    order: Document

    def match(self, series: Series) -> Document:
        """The filter that selects the instances of a series."""
        entity, attribute = series
        least = {"e": entity, "a": attribute} | ({} if self.low is None else {"t": self.low})
        most = {"e": entity, "a": attribute, "t": MaxKey() if self.high is None else self.high}
        return {"_id": {"$gte": least, "$lt": most}, **self.condition}


def selection(query: TemporalQuery, now: str) -> Selection:
    """The selection of a query: oldest first, or newest first with lastN; nothing that expired by `now`."""
    alive = {"i.expiresAt": {"$not": {"$lte": now}}}
    direction = -1 if query.is_backwards else 1
    window = query.window
    if window is None:
        return Selection(None, None, alive, {"_id": direction})
    low, high = window.bounds
    if window.timeproperty in BY_WRITE:
        # A deletion is neither the creation nor a modification of anything.
        condition = {**_written(low, high), "i.deletedAt": {"$exists": False}, **alive}
        return Selection(None, None, condition, {"_id.s": direction})
    condition = {f"i.{window.timeproperty}": {"$exists": True}, **alive}
    return Selection(low, high, condition, {"_id": direction})


def read(selection: Selection, many: Iterable[Series], limit: int) -> Pipeline:
    """The first `limit` documents of each series, one series after the other."""
    return _union(
        [{"$match": selection.match(one)}, {"$sort": selection.order}, {"$limit": limit}] for one in many
    )


def probe(selection: Selection, entities: Iterable[list[Series]]) -> Pipeline:
    """For each entity, given by its series, {_id: its id} if any of them has an instance.

    A $unionWith is only read when what comes before it has ended, so the first instance ends the search.
    """
    return _union(_probe(selection, many) for many in entities)


def _probe(selection: Selection, many: list[Series]) -> Pipeline:
    found = _union([{"$match": selection.match(one)}, {"$limit": 1}] for one in many)
    return [*found, {"$limit": 1}, {"$project": {"_id": "$_id.e"}}]


def _union(pipelines: Iterable[Pipeline]) -> Pipeline:
    first, *others = pipelines
    return [*first, *({"$unionWith": {"coll": "history", "pipeline": one}} for one in others)]


def _written(low: int | None, high: int | None) -> Document:
    """The condition on the time of the write, which `s` counts in parts of a microsecond."""
    bounds = {"$gte": low, "$lt": high}
    limits = {name: _int64(time * PLACES) for name, time in bounds.items() if time is not None}
    return {"_id.s": limits} if limits else {}


def _int64(number: int) -> int:
    return max(_LEAST, min(number, _MOST))
