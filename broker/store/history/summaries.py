"""Aggregation inside MongoDB (clause 4.5.19): pipelines that summarize series for each period.

A row of a result is the `Summary` of the values of one Class in one period of one series:

    {_id: {s: number of the series, p: start of the period, d: datasetId?, c: Class}, n: count, s: sum,
     q: sum of squares, v: standard deviation, lo: minimum, hi: maximum, t: time of the last instance}

or, for distinct values, {_id: {s, p, d?, r: whether of Relationships}, u: number of distinct values}.
Rows for parts of a period can be added, except `u`. Periods of a fixed length are grouped in one read of the
range; periods of the calendar (months) are read as separate ranges.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from broker.core.lang.dates import FORMS
from broker.core.temporal.aggregation import Class
from broker.store.history.buckets import HOUR
from broker.store.history.records import PLACES
from broker.store.history.windows import Document, Pipeline, Selection, Series

Expression = Any

_VALUE = "$i.value"
_IS_NUMBER = {"$isNumber": _VALUE}
# Expressions for a value that is no number: its array, its text (also that of a typed value).
_ARRAY = {"$ifNull": ["$i.valueList", _VALUE]}
_TEXT = {
    "$cond": [
        {"$and": [{"$eq": [{"$type": _VALUE}, "object"]}, {"$eq": ["$i.type", "Property"]}]},
        "$i.value.@value",
        _VALUE,
    ]
}
_IS_TEXT = {"$eq": [{"$type": _TEXT}, "string"]}
_IS_TIME = {"$regexMatch": {"input": _TEXT, "regex": f"^{FORMS['time']}$"}}
_CLASS = {
    "$switch": {
        "branches": [
            {"case": _IS_NUMBER, "then": Class.NUMBER},
            {"case": {"$eq": [{"$type": _VALUE}, "bool"]}, "then": Class.NUMBER},
            {"case": {"$isArray": _ARRAY}, "then": Class.SIZE},
            {"case": _IS_TEXT, "then": {"$cond": [_IS_TIME, Class.TIME, Class.TEXT]}},
            {"case": {"$in": ["$i.type", ["Relationship", "ListRelationship"]]}, "then": Class.LINK},
        ],
        "default": Class.OTHER,
    }
}
_SECONDS = {
    "$sum": [
        {"$multiply": [3600, {"$toInt": {"$substrBytes": [_TEXT, 0, 2]}}]},
        {"$multiply": [60, {"$toInt": {"$substrBytes": [_TEXT, 3, 2]}}]},
        {
            "$toDouble": {
                "$replaceOne": {
                    "input": {"$rtrim": {"input": {"$substrBytes": [_TEXT, 6, -1]}, "chars": "Z"}},
                    "find": ",",
                    "replacement": ".",
                }
            }
        },
    ]
}
# The number that a value counts as, or null. Numbers are tested first, since most values are numbers.
_NUMBER = {
    "$switch": {
        "branches": [
            {"case": _IS_NUMBER, "then": _VALUE},
            {"case": {"$eq": [{"$type": _VALUE}, "bool"]}, "then": {"$cond": [_VALUE, 1, 0]}},
            {"case": {"$isArray": _ARRAY}, "then": {"$size": _ARRAY}},
            {"case": {"$and": [_IS_TEXT, _IS_TIME]}, "then": _SECONDS},
        ],
        "default": None,
    }
}
_ORDERED = {"$cond": [_IS_NUMBER, _VALUE, {"$cond": [_IS_TEXT, _TEXT, _NUMBER]}]}
_SUMS: dict[str, Document] = {
    "sum": {"s": {"$sum": _NUMBER}},
    "avg": {"s": {"$sum": _NUMBER}},
    "sumsq": {"q": {"$sum": {"$multiply": [_NUMBER, _NUMBER]}}},
    "stddev": {"s": {"$sum": _NUMBER}, "v": {"$stdDevPop": _NUMBER}},
    "min": {"lo": {"$min": _ORDERED}},
    "max": {"hi": {"$max": _ORDERED}},
}
_SUMS_OF_HOURS: dict[str, Document] = {
    "sum": {"s": {"$sum": "$s"}},
    "avg": {"s": {"$sum": "$s"}},
    "sumsq": {"q": {"$sum": "$q"}},
    "min": {"lo": {"$min": "$lo"}},
    "max": {"hi": {"$max": "$hi"}},
}
_SUMMED = {*_SUMS_OF_HOURS, "totalCount"}
_ANY_VALUE: Expression = "$i.json"
for _member in ("vocab", "languageMap", "objectList", "object", "valueList", "value"):
    _ANY_VALUE = {"$ifNull": [f"$i.{_member}", _ANY_VALUE]}
_IS_LINK = {"$in": ["$i.type", ["Relationship", "ListRelationship"]]}
_TARGETS = {"$and": [_IS_LINK, {"$isArray": _ANY_VALUE}]}


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of time (µs) to summarize: as one period, or in periods of `length` µs that begin at `low`."""

    low: int
    high: int | None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class SeriesTask:
    """The task to summarize a selection of a series in slices; results refer to it by `number`."""

    number: int
    series: Series
    selection: Selection
    slices: Sequence[Slice]


def summarize(task: SeriesTask, methods: Collection[str], most: int) -> Iterator[Pipeline]:
    """The pipelines of a task for these aggregation methods, each with at most `most` rows."""
    sums = {name: accumulator for method in methods for name, accumulator in _SUMS.get(method, {}).items()}
    last = {"$max": _time(task.selection)}
    for span in task.slices:
        selection = task.selection.within(span.low, span.high)
        is_summed = _is_summed(selection, span, methods)
        instances = selection.stages(task.series, summed=is_summed)
        key = {"s": {"$literal": task.number}, "p": _start(task.selection, span), "d": "$i.datasetId"}
        grouped = {"_id": {**key, "c": _CLASS}, "n": {"$sum": 1}, "t": last, **sums}
        hours = selection.hours(task.series, _of_hours(task, span, methods)) if is_summed else []
        yield [*instances, {"$group": grouped}, *hours, {"$limit": most}]
        if "distinctCount" in methods:
            yield [*instances, *_distinct(key), {"$limit": most}]


def _is_summed(selection: Selection, span: Slice, methods: Collection[str]) -> bool:
    """Whether the summaries of hours in buckets can be used: each hour lies within one period.

    They cannot for deviations and distinct values, which MongoDB cannot add.
    """
    times = [time for time in (selection.low, selection.high, span.low, span.length) if time is not None]
    return selection.is_plain and not any(time % HOUR for time in times) and _SUMMED.issuperset(methods)


def _of_hours(task: SeriesTask, span: Slice, methods: Collection[str]) -> Pipeline:
    """The stages that add up summaries of hours to summaries of periods."""
    sums = {
        name: accumulator
        for method in methods
        for name, accumulator in _SUMS_OF_HOURS.get(method, {}).items()
    }
    key = {"s": {"$literal": task.number}, "p": _start_of("$p", span), "d": "$d", "c": Class.NUMBER}
    return [{"$group": {"_id": key, "n": {"$sum": "$n"}, "t": {"$max": "$t"}, **sums}}]


def _distinct(key: Document) -> Pipeline:
    """The stages that count distinct values; each target of a Relationship counts as a value."""
    values = {"$cond": [_TARGETS, _ANY_VALUE, [_ANY_VALUE]]}
    values_of = {"_id": {**key, "r": _IS_LINK, "v": "$v"}}
    counted = {"_id": {name: f"$_id.{name}" for name in ("s", "p", "d", "r")}, "u": {"$sum": 1}}
    return [{"$set": {"v": values}}, {"$unwind": "$v"}, {"$group": values_of}, {"$group": counted}]


def _time(selection: Selection) -> Expression:
    return {"$floor": {"$divide": ["$_id.s", PLACES]}} if selection.by_write else "$_id.t"


def _start(selection: Selection, span: Slice) -> Expression:
    return _start_of("$_id.s", span, PLACES) if selection.by_write else _start_of("$_id.t", span)


def _start_of(field: str, span: Slice, unit: int = 1) -> Expression:
    """The start (µs) of the period that contains the time in `field`, which counts `unit` for a µs."""
    if span.length is None:
        return {"$literal": span.low}
    passed = {"$mod": [{"$subtract": [field, span.low * unit]}, span.length * unit]}
    start = {"$subtract": [field, passed]}
    return start if unit == 1 else {"$divide": [start, unit]}


def extent(selection: Selection, series: Series) -> Iterator[Pipeline]:
    """The pipelines that yield {_id} of the first instance of a series, and {_id} of the last one."""
    for ordered in selection.both_ways:
        yield [*ordered.first(series, 1), {"$project": {"_id": 1}}]


def ending(selection: Selection, series: Series, last_n: int, limit: int, number: int) -> Pipeline:
    """The pipeline that finds the last n times (5.7.4.4) of a series among its last `limit` instances.

    It yields {_id: number, start: first of these times, end: last one, times: number of times, n: number of
    instances} if the series has instances. Times are in µs, or in units of `s` for a selection `by_write`.
    """
    _, last = selection.both_ways
    written = {"$subtract": ["$_id.s", {"$mod": ["$_id.s", PLACES]}]}
    by_time = {"_id": written if selection.by_write else "$_id.t", "n": {"$sum": 1}}
    whole = {
        "_id": {"$literal": number},
        "start": {"$last": "$_id"},
        "end": {"$first": "$_id"},
        "times": {"$sum": 1},
        "n": {"$sum": "$n"},
    }
    newest: Pipeline = [{"$sort": {"_id": -1}}, {"$limit": last_n}]
    return [*last.first(series, limit), {"$group": by_time}, *newest, {"$group": whole}]
