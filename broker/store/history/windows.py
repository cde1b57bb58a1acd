"""Pipelines that select instances of history for temporal queries (`records` explains the keys).

The history of an attribute is one range of keys. A span of it by observedAt or deletedAt is a range, too,
since `t` is that time. MongoDB reads exactly such a range, forwards or backwards. Several attributes are read
in one round trip: a pipeline for each, with its own limit, joined by $unionWith. (A $lookup by a range of
keys would read the whole collection each time.) createdAt and modifiedAt are in `s`, `w` and `m`, so they do
not follow the order of the keys: a span by them reads all instances of the attribute.

Instances are stored in three ways: single ones in `history`, packed ones in buckets, and those still in the
document of the entity. The same pipeline reads all three. Of buckets it reads those that begin in the span,
and the last one before it, which may reach into it. `Selection.stages` and `Selection.first` unpack inside
MongoDB, for pipelines that process instances further; `Selection.pieces` returns buckets packed, for
`first_instances`. Only these three methods and `hours` know where instances are. Reads need a
snapshot: instances that move meanwhile would be missed or read twice.
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
_WHOLE: Document = {"$project": {"h": 0, "d": 0}}  # a bucket without its summaries and datasetIds
_LEAST, _MOST = -(2**63), 2**63 - 1


def _timed(*names: str) -> Pipeline:
    """The stage that replaces `s` by the first of these members (times in µs) that an instance has.

    The original `s` is then in `f`.
    """
    time: Any = None
    for name in reversed(names):
        time = {"$ifNull": [f"${name}", time]}
    has_one = {"$gt": [time, None]}
    moved = {"f": {"$cond": [has_one, "$_id.s", "$$REMOVE"]},
             "_id.s": {"$cond": [has_one, {"$multiply": [time, PLACES]}, "$_id.s"]}}  # fmt: skip
    return [{"$set": moved}]


# Stages after which `s` is the time of the write (`w`), or of the last change (`m`).
_AS_WRITTEN, _AS_CHANGED = _timed("w"), _timed("m", "w")


@dataclass(frozen=True, slots=True)
class Selection:
    """The selection of a query from a series: instances that have all these properties.

    - `low`, `high`: the time (µs) is at least `low` and before `high`. It is `t`; with `by_write` it is the
      time of the write; with `by_write` and `by_change` it is the time of the last change;
    - `spans`: the time is in one of these spans;
    - `now`: not expired at this instant;
    - `deleted`: only deletions (True), no deletions (False), or both (None);
    - `observed`: with an observedAt; `datasets`: with one of these datasetIds, None for no datasetId;
    - `term`: the term of a `q` holds for the instance.

    `direction`: 1 for the oldest first, -1 for the newest. `packed`: some may be in buckets; `held`: some may
    be in the entity's document.
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
        """The operand of $sort."""
        return {"_id.s" if self.by_write else "_id": self.direction}

    @property
    def both_ways(self) -> tuple["Selection", "Selection"]:
        """The selection with the oldest first, and with the newest first."""
        return replace(self, direction=1), replace(self, direction=-1)

    def of_datasets(self, datasets: Sequence[str | None]) -> "Selection":
        """The part with these datasetIds, None for no datasetId; the whole selection for an empty list."""
        return replace(self, datasets=tuple(datasets)) if datasets else self

    def of_spans(self, spans: Sequence[Span]) -> "Selection":
        """The part within any of these spans of time, which are in order."""
        part = self.within(spans[0][0], spans[-1][1])
        return part if len(spans) == 1 else replace(part, spans=tuple(spans))

    def within(self, low: int | None, high: int | None) -> "Selection":
        """The part between two times (µs; None for no bound)."""
        lows = [bound for bound in (self.low, low) if bound is not None]
        highs = [bound for bound in (self.high, high) if bound is not None]
        return replace(self, low=max(lows, default=None), high=min(highs, default=None))

    @property
    def is_plain(self) -> bool:
        """Whether it selects all values in the span, at most limited to some datasetIds."""
        is_bare = self.term is None and not self.by_write and not self.spans
        return is_bare and self.deleted is False

    @property
    def condition(self) -> Document:
        """The filter for the properties of instances other than `low`, `high` and `term`."""
        wanted: Document = {"i.expiresAt": {"$not": {"$lte": self.now}}}
        if self.deleted is not None:
            wanted["i.deletedAt"] = {"$exists": self.deleted}
        if self.observed:
            wanted["i.observedAt"] = {"$exists": True}
        if self.datasets:
            wanted["i.datasetId"] = {"$in": [*self.datasets]}
        if self.spans:
            field, unit = ("_id.s", PLACES) if self.by_write else ("_id.t", 1)
            wanted["$or"] = [{field: _limits(*span, unit)} for span in self.spans]
        return wanted

    def holds(self, document: Document) -> bool:
        """Whether it selects this instance. Only for selections without `by_write` and `term`."""
        instance, time = document["i"], document["_id"]["t"]
        return (
            _is_within(time, self.low, self.high)
            and (self.deleted is None or ("deletedAt" in instance) is self.deleted)
            and (not self.observed or "observedAt" in instance)
            and not ("expiresAt" in instance and instance["expiresAt"] <= self.now)
            and (not self.datasets or instance.get("datasetId") in self.datasets)
            and (not self.spans or any(_is_within(time, *span) for span in self.spans))
        )

    def stages(self, series: Series, *, summed: bool = False) -> Pipeline:
        """The stages that yield the selected instances of a series, in any order.

        `summed`: without instances in buckets that have summaries; `hours` yields those summaries.
        """
        return [*self._single(series), *_beside(self._unpacked(series, summed)), *self._held(series)]

    def hours(self, series: Series, stages: Pipeline) -> Pipeline:
        """The stages that apply `stages` to the summaries of hours in buckets, and add the results.

        Only for a selection that `is_plain`.
        """
        bounds = {"$gte": self.low, "$lt": self.high}
        wanted: Document = {"p": {name: time for name, time in bounds.items() if time is not None}}
        if self.datasets:
            wanted["d"] = {"$in": [*self.datasets]}
        wanted = {name: condition for name, condition in wanted.items() if condition}
        of_hours: Pipeline = [
            {"$match": _SUMMED},
            {"$unwind": "$h"},
            {"$replaceWith": "$h"},
            {"$match": wanted},
        ]
        pipelines = [[*buckets, {"$project": {"h": 1}}, *of_hours] for buckets in self._buckets(series)]
        if not self.packed or not pipelines:
            return []
        first, *others = pipelines
        return _beside([[*first, *_beside(others), *stages]])

    def first(self, series: Series, limit: int) -> Pipeline:
        """The stages that yield the first `limit` selected instances of a series, in order."""
        order: Pipeline = [{"$sort": self.order}, {"$limit": limit}]
        if self.by_write:
            return [*self.stages(series), *order]
        parts = ([*unpacked, {"$limit": limit}] for unpacked in self._unpacked(series))
        beside = [*_beside(parts), *self._held(series)]
        return [*self._single(series), *order, *beside, *(order if beside else ())]

    def pieces(self, series: Series, limit: int, buckets: int) -> Pipeline:
        """The stages that yield the pieces from which the first `limit` selected instances can be taken.

        These are the first selected single instances, in order; the first buckets that may hold others,
        packed, up to `buckets`; and {_id: entity, h: history in its document}.
        With `by_write`, they are the instances of `first`.
        """
        if self.by_write:
            return self.first(series, limit)
        order: Pipeline = [{"$sort": self.order}, {"$limit": limit}]
        in_buckets = self._buckets(series) if self.packed else ()
        packed = [[*pipeline, {"$limit": buckets}, _WHOLE] for pipeline in in_buckets]
        held = [[{"$match": {"_id": series[0]}}, _of_key(series[1])]] if self.held else []
        return [*self._single(series), *order, *_beside(packed), *_beside(held, "entities")]

    def _single(self, series: Series) -> Pipeline:
        stages: Pipeline = [{"$match": {"_id": self._keys(series)}}, *self._times] if self.by_write else []
        return [*stages, {"$match": self._match(series)}, *self._asked(series)]

    @property
    def _times(self) -> Pipeline:
        return _AS_CHANGED if self.by_change else _AS_WRITTEN if self.by_write else []

    def _unpacked(self, series: Series, summed: bool = False) -> Iterator[Pipeline]:
        """Pipelines over the buckets that yield the selected instances in them, each in order."""
        left_out: Pipeline = [{"$match": {"h": _NOT_THERE}}] if summed else []
        for buckets in self._buckets(series) if self.packed else ():
            stages = [*buckets, *left_out, *unpacking(backwards=self.direction < 0), *self._times]
            yield [*stages, {"$match": self._match(series)}, *self._asked(series)]

    def _held(self, series: Series) -> Pipeline:
        """The stage that adds the selected instances in the document of the entity."""
        if not self.held:
            return []
        key = {"e": "$_id", "a": "$h.a", "t": "$h.t", "s": "$h.s"}
        stages: Pipeline = [
            {"$match": {"_id": series[0]}},
            _of_key(series[1]),
            {"$unwind": "$h"},
            {"$replaceWith": {"$mergeObjects": ["$h", {"_id": key}]}},
            *self._times,
            {"$match": self._match(series)},
            *self._asked(series),
        ]
        return _beside([stages], "entities")

    def _buckets(self, series: Series) -> Iterator[Pipeline]:
        """Pipelines that yield the buckets that begin in the span, and the one that reaches into it."""
        inside: Pipeline = [{"$match": {"_id": self._keys(series)}}, {"$sort": {"_id": self.direction}}]
        if self.low is None or self.by_write:
            yield inside
            return
        before = {"_id": {"$gte": {"e": series[0], "a": series[1]}, "$lt": self._keys(series)["$gte"]}}
        last: Pipeline = [{"$match": before}, {"$sort": {"_id": -1}}, {"$limit": 1}]
        reaching = [*last, {"$match": {"u": {"$gte": self.low}}}]
        yield from (reaching, inside) if self.direction > 0 else (inside, reaching)

    def _asked(self, series: Series) -> Pipeline:
        """The stages that match `term`. Its filter is for entities, so they put the instance into one."""
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
    """The selection of a query: its window, without what expired by `now`; newest first with lastN."""
    direction = -1 if query.is_backwards else 1
    window = query.window
    deleted: bool | None = None
    if window is not None and window.timeproperty == "deletedAt":
        deleted = True
    elif query.aggregation is not None or (window is not None and window.timeproperty in BY_WRITE):
        # A deletion is no creation and no modification, and has no value to aggregate.
        deleted = False
    if window is None:
        return Selection(None, None, now, direction, deleted)
    by_write, by_change = window.timeproperty in BY_WRITE, window.timeproperty == "modifiedAt"
    observed = window.timeproperty == "observedAt"
    low, high = window.bounds
    return Selection(low, high, now, direction, deleted, observed, by_write=by_write, by_change=by_change)


def probe(questions: Iterable[Iterable[Selected]]) -> Pipeline:
    """The pipeline that yields {_id: n} for each question n in which a series has a selected instance.

    A question is a list of series with selections. MongoDB reads a $unionWith only after what comes before
    it, so the first instance ends the search of a question.
    """
    return union(_probe(number, many) for number, many in enumerate(questions))


def _probe(number: int, question: Iterable[Selected]) -> Pipeline:
    instances = union([*selection.stages(series), {"$limit": 1}] for series, selection in question)
    return [*instances, {"$limit": 1}, {"$project": {"_id": {"$literal": number}}}]


def union(pipelines: Iterable[Pipeline]) -> Pipeline:
    """One pipeline that yields the results of several pipelines over `history`, one after the other."""
    first, *others = pipelines
    return [*first, *({"$unionWith": {"coll": "history", "pipeline": pipeline}} for pipeline in others)]


def _beside(pipelines: Iterable[Pipeline], collection: str = "packed") -> Pipeline:
    """The stages that add the results of pipelines over the buckets, or over another collection."""
    return [{"$unionWith": {"coll": collection, "pipeline": pipeline}} for pipeline in pipelines]


def _written(low: int | None, high: int | None) -> Document:
    """The condition on the time of the write (µs), in terms of `s`."""
    limits = _limits(low, high, PLACES)
    return {"_id.s": limits} if limits else {}


def _limits(low: int | None, high: int | None, unit: int) -> Document:
    bounds = {"$gte": low, "$lt": high}
    return {name: _int64(time * unit) for name, time in bounds.items() if time is not None}


def _is_within(time: int, low: int | None, high: int | None) -> bool:
    return (low is None or time >= low) and (high is None or time < high)


def _of_key(key: str) -> Document:
    """The stage that reduces an entity's document to its history of one attribute."""
    return {"$project": {"h": {"$filter": {"input": "$h", "cond": {"$eq": ["$$this.a", key]}}}}}


def _int64(number: int) -> int:
    return max(_LEAST, min(number, _MOST))
