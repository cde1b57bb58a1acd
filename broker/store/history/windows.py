"""Temporal queries as MongoDB pipelines over the history (see `history` for its keys).

The history of an attribute is one range of keys, and so is any span of it by observedAt or deletedAt, for
`t` is that time. MongoDB reads such a range, forwards or backwards, and nothing beside it. Attributes
are read together: a pipeline for each, with its own limit, joined by $unionWith into one round trip.
(What one would rather write, a $lookup by a range of keys, reads the whole collection each time.)

createdAt and modifiedAt are in `s` (or `w` and `m`), not in the order of the keys: a span by them reads all
of the attribute.

What is packed (`buckets`) is read beside the rest, in the same pipeline: the last bucket that begins before
the span, which may reach into it, and those that begin in it. So is what the document of the entity still
holds. MongoDB unpacks that itself (`Selection.stages`, `Selection.first`) where it goes on with the
instances; where they are to be answered it gives buckets as they are (`Selection.pieces`, see `firsts`).
These three are the only ones who know. They have to be read as of one moment (a snapshot), for what moves
meanwhile would be missed or seen twice.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import MaxKey

from broker.core.lang.terms import Exists, Term
from broker.core.temporal import TemporalQuery
from broker.core.temporal.validity import Span
from broker.core.temporal.window import BY_WRITE
from broker.store.history.buckets import unpacking
from broker.store.history.records import PLACES
from broker.store.query.filters import condition

Document = dict[str, Any]
Pipeline = list[Document]
Series = tuple[str, str]  # an entity's id and the stored key of one of its attributes

_NOT_THERE = {"$exists": False}
_SUMMED = {"h": {"$exists": True}}
_WHOLE: Document = {"$project": {"h": 0, "d": 0}}  # a bucket, but for what sums it up
_LEAST, _MOST = -(2**63), 2**63 - 1


def _timed(*names: str) -> Pipeline:
    """The stage that puts the first of these times (µs) that an instance has in place of its `s`.

    The `s` that it had is in `f` then.
    """
    time: Any = None
    for name in reversed(names):
        time = {"$ifNull": [f"${name}", time]}
    has_one = {"$gt": [time, None]}
    moved = {"f": {"$cond": [has_one, "$_id.s", "$$REMOVE"]},
             "_id.s": {"$cond": [has_one, {"$multiply": [time, PLACES]}, "$_id.s"]}}  # fmt: skip
    return [{"$set": moved}]


# `s` is the time of the write, unless an instance says otherwise; or of its last change, where that counts.
_AS_WRITTEN, _AS_CHANGED = _timed("w"), _timed("m", "w")


@dataclass(frozen=True, slots=True)
class Selection:
    """What a query selects from a series: times from `low` to before `high` of what has not expired by `now`.

    Times (µs) are in the order of the keys, or `by_write`; `direction` is 1 for the oldest first, or -1.
    `by_change`: the time of the last change counts as that of the write.
    `deleted`: only deletions, or no deletions, or both (None). `observed`: only what has an observedAt.
    `datasets`: only these datasetIds, None for no datasetId. `spans`: only times in one of these.
    `term` is asked of each instance.
    `packed`: some of it may be in buckets; `held`: some may be in the document of the entity.
    """

    low: int | None
    high: int | None
    now: str
    direction: int = 1
    deleted: bool | None = None
    observed: bool = False
    datasets: tuple[str | None, ...] = ()
    spans: tuple[Span, ...] = ()
    by_write: bool = False
    by_change: bool = False
    term: Exists | Term | None = None
    packed: bool = False
    held: bool = False

    @property
    def order(self) -> Document:
        """The order to sort by."""
        return {"_id.s" if self.by_write else "_id": self.direction}

    @property
    def both_ways(self) -> tuple["Selection", "Selection"]:
        """The same with the oldest first, and with the newest first."""
        return replace(self, direction=1), replace(self, direction=-1)

    def of_datasets(self, datasets: Sequence[str | None]) -> "Selection":
        """The part of it that is of these datasetIds, None for no datasetId; all of it if there are none."""
        return replace(self, datasets=tuple(datasets)) if datasets else self

    def of_spans(self, spans: Sequence[Span]) -> "Selection":
        """The part of it that is within any of these spans of time, which are in order."""
        part = self.within(spans[0][0], spans[-1][1])
        return part if len(spans) == 1 else replace(part, spans=tuple(spans))

    def within(self, low: int | None, high: int | None) -> "Selection":
        """The part of it that is between two times, where they are given."""
        lows = [one for one in (self.low, low) if one is not None]
        highs = [one for one in (self.high, high) if one is not None]
        return replace(self, low=max(lows, default=None), high=min(highs, default=None))

    @property
    def is_plain(self) -> bool:
        """Whether all that is observed in the span is selected, or all of some datasetIds."""
        is_bare = self.term is None and not self.by_write and not self.spans
        return is_bare and self.deleted is False

    @property
    def condition(self) -> Document:
        """The filter for what it asks of instances beside their place between `low` and `high`."""
        found: Document = {"i.expiresAt": {"$not": {"$lte": self.now}}}
        if self.deleted is not None:
            found["i.deletedAt"] = {"$exists": self.deleted}
        if self.observed:
            found["i.observedAt"] = {"$exists": True}
        if self.datasets:
            found["i.datasetId"] = {"$in": [*self.datasets]}
        if self.spans:
            field, unit = ("_id.s", PLACES) if self.by_write else ("_id.t", 1)
            found["$or"] = [{field: _limits(*span, unit)} for span in self.spans]
        return found

    def holds(self, document: Document) -> bool:
        """Whether it selects this instance, for one that is not `by_write` and has no `term`."""
        one, time = document["i"], document["_id"]["t"]
        return (
            _is_within(time, self.low, self.high)
            and (self.deleted is None or ("deletedAt" in one) is self.deleted)
            and (not self.observed or "observedAt" in one)
            and not ("expiresAt" in one and one["expiresAt"] <= self.now)
            and (not self.datasets or one.get("datasetId") in self.datasets)
            and (not self.spans or any(_is_within(time, *span) for span in self.spans))
        )

    def stages(self, series: Series, *, summed: bool = False) -> Pipeline:
        """The stages that select the instances of a series, in any order.

        `summed`: without those in buckets that have summed up their hours, which `hours` gives.
        """
        return [*self._single(series), *_beside(self._unpacked(series, summed)), *self._held(series)]

    def hours(self, series: Series, stages: Pipeline) -> Pipeline:
        """The stages that add what others make of the summaries of hours, for a selection that `is_plain`."""
        bounds = {"$gte": self.low, "$lt": self.high}
        chosen: Document = {"p": {name: time for name, time in bounds.items() if time is not None}}
        if self.datasets:
            chosen["d"] = {"$in": [*self.datasets]}
        chosen = {name: one for name, one in chosen.items() if one}
        each: Pipeline = [{"$match": _SUMMED}, {"$unwind": "$h"}, {"$replaceWith": "$h"}, {"$match": chosen}]
        found = [[*buckets, {"$project": {"h": 1}}, *each] for buckets in self._buckets(series)]
        if not self.packed or not found:
            return []
        first, *others = found
        return _beside([[*first, *_beside(others), *stages]])

    def first(self, series: Series, limit: int) -> Pipeline:
        """The stages that yield the first instances, in order, of those that are selected of a series."""
        order: Pipeline = [{"$sort": self.order}, {"$limit": limit}]
        if self.by_write:
            return [*self.stages(series), *order]
        parts = ([*one, {"$limit": limit}] for one in self._unpacked(series))
        beside = [*_beside(parts), *self._held(series)]
        return [*self._single(series), *order, *beside, *(order if beside else ())]

    def pieces(self, series: Series, limit: int, buckets: int) -> Pipeline:
        """The stages that yield the first single instances of those that are selected, in order, and beside
        them, as they are, the first buckets that may hold some, and {_id: entity, h} of its document.
        """
        if self.by_write:
            return self.first(series, limit)
        order: Pipeline = [{"$sort": self.order}, {"$limit": limit}]
        found = [[*one, {"$limit": buckets}, _WHOLE] for one in self._buckets(series)] if self.packed else []
        held = [[{"$match": {"_id": series[0]}}, _of_key(series[1])]] if self.held else []
        return [*self._single(series), *order, *_beside(found), *_beside(held, "entities")]

    def _single(self, series: Series) -> Pipeline:
        found: Pipeline = [{"$match": {"_id": self._keys(series)}}, *self._times] if self.by_write else []
        return [*found, {"$match": self._match(series)}, *self._asked(series)]

    @property
    def _times(self) -> Pipeline:
        return _AS_CHANGED if self.by_change else _AS_WRITTEN if self.by_write else []

    def _unpacked(self, series: Series, summed: bool = False) -> Iterator[Pipeline]:
        """The same of what is packed: pipelines over the buckets, whose results are in order."""
        left_out: Pipeline = [{"$match": {"h": _NOT_THERE}}] if summed else []
        for buckets in self._buckets(series) if self.packed else ():
            found = [*buckets, *left_out, *unpacking(backwards=self.direction < 0), *self._times]
            yield [*found, {"$match": self._match(series)}, *self._asked(series)]

    def _held(self, series: Series) -> Pipeline:
        """The stage that adds what the document of the entity holds."""
        if not self.held:
            return []
        key = {"e": "$_id", "a": "$h.a", "t": "$h.t", "s": "$h.s"}
        found: Pipeline = [
            {"$match": {"_id": series[0]}},
            _of_key(series[1]),
            {"$unwind": "$h"},
            {"$replaceWith": {"$mergeObjects": ["$h", {"_id": key}]}},
            *self._times,
            {"$match": self._match(series)},
            *self._asked(series),
        ]
        return _beside([found], "entities")

    def _buckets(self, series: Series) -> Iterator[Pipeline]:
        inside: Pipeline = [{"$match": {"_id": self._keys(series)}}, {"$sort": {"_id": self.direction}}]
        if self.low is None or self.by_write:
            yield inside
            return
        before = {"_id": {"$gte": {"e": series[0], "a": series[1]}, "$lt": self._keys(series)["$gte"]}}
        last: Pipeline = [{"$match": before}, {"$sort": {"_id": -1}}, {"$limit": 1}]
        reaching = [*last, {"$match": {"u": {"$gte": self.low}}}]
        yield from (reaching, inside) if self.direction > 0 else (inside, reaching)

    def _asked(self, series: Series) -> Pipeline:
        """Conditions are on entities: each instance is made one for a moment."""
        if self.term is None:
            return []
        return [{"$set": {"attrs": {series[1]: ["$i"]}}}, {"$match": condition(self.term)}]

    def _match(self, series: Series) -> Document:
        if self.by_write:
            return {**_written(self.low, self.high), **self.condition}
        return {"_id": self._keys(series), **self.condition}

    def _keys(self, series: Series) -> Document:
        least: Document = {"e": series[0], "a": series[1]}
        most = {**least, "t": MaxKey()}
        if self.low is not None and not self.by_write:
            least["t"] = self.low
        if self.high is not None and not self.by_write:
            most["t"] = self.high
        return {"$gte": least, "$lt": most}


Selected = tuple[Series, Selection]


def selection(query: TemporalQuery, now: str) -> Selection:
    """The selection of a query: oldest first, or newest first with lastN; nothing that expired by `now`."""
    direction = -1 if query.is_backwards else 1
    window = query.window
    deleted: bool | None = None
    if window is not None and window.timeproperty == "deletedAt":
        deleted = True
    elif query.aggregation is not None or (window is not None and window.timeproperty in BY_WRITE):
        # A deletion is neither the creation nor a modification of anything, and no value.
        deleted = False
    if window is None:
        return Selection(None, None, now, direction, deleted)
    by_write, by_change = window.timeproperty in BY_WRITE, window.timeproperty == "modifiedAt"
    observed = window.timeproperty == "observedAt"
    low, high = window.bounds
    return Selection(low, high, now, direction, deleted, observed, by_write=by_write, by_change=by_change)


def probe(questions: Iterable[Iterable[Selected]]) -> Pipeline:
    """{_id: its number} for each question, given by series, if any of them has an instance that is selected.

    A $unionWith is only read when what comes before it has ended, so the first instance ends the search.
    """
    return union(_probe(number, many) for number, many in enumerate(questions))


def _probe(number: int, many: Iterable[Selected]) -> Pipeline:
    found = union([*selection.stages(one), {"$limit": 1}] for one, selection in many)
    return [*found, {"$limit": 1}, {"$project": {"_id": {"$literal": number}}}]


def union(pipelines: Iterable[Pipeline]) -> Pipeline:
    """One pipeline of several: the result of each, one after the other."""
    first, *others = pipelines
    return [*first, *({"$unionWith": {"coll": "history", "pipeline": one}} for one in others)]


def _beside(pipelines: Iterable[Pipeline], collection: str = "packed") -> Pipeline:
    """The stages that add what pipelines over the buckets, or another collection, yield."""
    return [{"$unionWith": {"coll": collection, "pipeline": one}} for one in pipelines]


def _written(low: int | None, high: int | None) -> Document:
    """The condition on the time of the write, which `s` counts in parts of a microsecond."""
    limits = _limits(low, high, PLACES)
    return {"_id.s": limits} if limits else {}


def _limits(low: int | None, high: int | None, unit: int) -> Document:
    bounds = {"$gte": low, "$lt": high}
    return {name: _int64(time * unit) for name, time in bounds.items() if time is not None}


def _is_within(time: int, low: int | None, high: int | None) -> bool:
    return (low is None or time >= low) and (high is None or time < high)


def _of_key(key: str) -> Document:
    """The stage that leaves of an entity's document the history that it holds of one attribute."""
    return {"$project": {"h": {"$filter": {"input": "$h", "cond": {"$eq": ["$$this.a", key]}}}}}


def _int64(number: int) -> int:
    return max(_LEAST, min(number, _MOST))
