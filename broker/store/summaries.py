"""Aggregation where the data is (clause 4.5.19): pipelines that sum up series for each period.

Each row of a result is the `Summary` of the values of one Class in one period of one series:

    {_id: {s: number of the series, p: start of the period, d: datasetId?, c: Class}, n: count, s: total,
     q: squares, v: standard deviation, lo: least, hi: most, t: time of the last instance}

or, where distinct values are counted, {_id: {s, p, d?, r: of Relationships}, u: distinct values}. Rows of
parts of a period add up but for `u`. Periods of one length are told apart within one reading of the range;
those of the calendar are ranges of their own.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from broker.core.lang.moments import FORMS
from broker.core.temporal.aggregation import Class
from broker.store.history import PLACES
from broker.store.windows import Document, Pipeline, Selection, Series

Expression = Any

_VALUE = "$i.value"
_IS_NUMBER = {"$isNumber": _VALUE}
# What a value that is no number is: an array, a text, a typed value's text, or none of these.
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
# The number that a value counts for, null if it is none; a number itself comes first, for most values are.
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
_ANY_VALUE: Expression = "$i.json"
for _member in ("vocab", "languageMap", "objectList", "object", "valueList", "value"):
    _ANY_VALUE = {"$ifNull": [f"$i.{_member}", _ANY_VALUE]}
_IS_LINK = {"$in": ["$i.type", ["Relationship", "ListRelationship"]]}
_TARGETS = {"$and": [_IS_LINK, {"$isArray": _ANY_VALUE}]}


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of time (µs) to sum up: as one period, or in periods of `length` µs from `low` on."""

    low: int
    high: int | None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A series to sum up, known by a number in the results: what of it, and in which slices."""

    number: int
    series: Series
    selection: Selection
    slices: Sequence[Slice]


def summarize(task: Task, methods: Collection[str], most: int) -> Iterator[Pipeline]:
    """The pipelines of a task, with at most so many rows each."""
    sums = {name: one for method in methods for name, one in _SUMS.get(method, {}).items()}
    last = {"$max": _time(task.selection)}
    for one in task.slices:
        found = task.selection.within(one.low, one.high).stages(task.series)
        key = {"s": {"$literal": task.number}, "p": _start(task.selection, one), "d": "$i.datasetId"}
        grouped = {"_id": {**key, "c": _CLASS}, "n": {"$sum": 1}, "t": last, **sums}
        yield [*found, {"$group": grouped}, {"$limit": most}]
        if "distinctCount" in methods:
            yield [*found, *_distinct(key), {"$limit": most}]


def _distinct(key: Document) -> Pipeline:
    """Counts the values, of an array of targets each."""
    values = {"$cond": [_TARGETS, _ANY_VALUE, [_ANY_VALUE]]}
    each = {"_id": {**key, "r": _IS_LINK, "v": "$v"}}
    counted = {"_id": {name: f"$_id.{name}" for name in ("s", "p", "d", "r")}, "u": {"$sum": 1}}
    return [{"$set": {"v": values}}, {"$unwind": "$v"}, {"$group": each}, {"$group": counted}]


def _time(selection: Selection) -> Expression:
    return {"$floor": {"$divide": ["$_id.s", PLACES]}} if selection.by_write else "$_id.t"


def _start(selection: Selection, one: Slice) -> Expression:
    if one.length is None:
        return {"$literal": one.low}
    field, unit = ("$_id.s", PLACES) if selection.by_write else ("$_id.t", 1)
    passed = {"$mod": [{"$subtract": [field, one.low * unit]}, one.length * unit]}
    start = {"$subtract": [field, passed]}
    return start if unit == 1 else {"$divide": [start, unit]}


def extent(selection: Selection, series: Series, last_n: int | None) -> Iterator[Pipeline]:
    """{_id} of the first instance of a series (or of its last so many), and {_id} of the last one."""
    first, last = selection.both_ways
    beginning: Pipeline = [{"$sort": first.order}, {"$limit": 1}]
    if last_n is not None:
        ended = {"$group": {"_id": None, "end": {"$last": "$_id"}}}
        beginning = [{"$sort": last.order}, {"$limit": last_n}, ended, {"$replaceWith": {"_id": "$end"}}]
    for stages in (beginning, [{"$sort": last.order}, {"$limit": 1}]):
        yield [*selection.stages(series), *stages, {"$project": {"_id": 1}}]
