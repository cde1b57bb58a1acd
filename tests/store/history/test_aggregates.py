"""Aggregation in a real MongoDB, beside a plain model that reads the tables of 4.5.19.1 value by value."""

import math
import statistics
from calendar import monthrange
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.core import Json, instant
from broker.core.query import Query
from broker.core.temporal import TemporalQuery, Window
from broker.core.temporal.aggregation import METHODS, Aggregate, Aggregation, results
from broker.core.temporal.aggregation_periods import Duration, parse
from tests.store.histories import BASE, Model, Store, Written, numbers, open_store

EPOCH = datetime(1970, 1, 1)
DURATIONS = ("PT0S", "PT7S", "PT1M", "P1D", "P1W", "P1M", "P2M", "P1Y", "P1M1DT5S", "PT0.5S")
Results = dict[tuple[bool, str | None], dict[str, list[tuple[Json, int]]]]


@pytest.fixture(scope="module")
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with open_store(mongo_uri, "aggregates", 4) as store:
        yield store


@settings(max_examples=12)
@given(st.integers(0, 2**32))
@pytest.mark.clause("4.5.19.1")
async def test_aggregates_are_what_the_model_says(store: Store, seed: int) -> None:
    r = Random(seed)
    model = _some_values(r)
    await store.write(model, r)
    [entity] = model.entities
    for _ in range(12):
        query = _some_query(r)
        found = await store.temporal.evolution("", entity, query)
        expected = _expected(model, query)
        methods = query.aggregation.methods if query.aggregation else ()
        told = {name: _results(many, methods) for name, many in (found.aggregates if found else {}).items()}
        assert told == expected


def _some_values(r: Random) -> Model:
    """One entity with a few series of few values, over seconds or over years."""
    number = next(numbers)
    model = Model(f"https://ex.org/T{number}")
    entity = f"urn:x:{number}"
    model.entities[entity] = names = [f"https://ex.org/a{n}" for n in range(r.randint(1, 3))]
    reach = r.choice((30, 3600, 86_400 * 40, 86_400 * 1500))
    for name in names:
        kinds = r.sample(range(len(KINDS)), r.choice((1, 1, 2)))
        for stamp in r.sample(range(200), r.randint(0, 25)):
            member, value = KINDS[r.choice(kinds)](r)
            kind = {"object": "Relationship", "vocab": "VocabProperty", "valueList": "ListProperty"}
            time = instant.of_micros(BASE + r.randrange(reach * 1_000_000))
            one = {"type": kind.get(member, "Property"), member: value, "observedAt": instant.floor(time)}
            if r.random() < 0.2:
                one["datasetId"] = "urn:d:1"
            model.written.append(Written(entity, name, one, BASE + stamp * 1_000_000, value))
    return model


KINDS = (
    lambda r: ("value", r.choice((r.randint(-5, 5), r.random() * 100, 2**70))),
    lambda r: ("value", r.random() < 0.5),
    lambda r: ("value", r.choice(("a", "b", "2026-07-01", "Ä", ""))),
    lambda r: ("value", f"{r.randint(0, 23):02}:00:{r.choice(('00', '07.5', '59,25'))}Z"),
    lambda r: ("value", {"@type": "DateTime", "@value": f"2026-07-0{r.randint(1, 9)}T00:00:00Z"}),
    lambda r: ("value", {"a": r.randint(0, 2)}),
    lambda r: ("value", [1] * r.randint(0, 4)),
    lambda r: ("valueList", [{"b": 1}] * r.randint(1, 3)),
    lambda r: ("object", r.choice(("urn:y:1", "urn:y:2", ["urn:y:2", "urn:y:3"]))),
    lambda r: ("vocab", r.choice(("https://ex.org/A", "https://ex.org/B"))),
)


def _some_query(r: Random) -> TemporalQuery:
    methods = tuple(r.sample(METHODS, r.randint(1, len(METHODS))))
    duration = parse(r.choice(DURATIONS[4:] if r.random() < 0.7 else DURATIONS[:1]))
    if not duration.months and duration.micros < 10_000_000:
        duration = parse("P1D")
    timerel = r.choice((None, "before", "after", "between"))
    name = r.choice(("observedAt", "observedAt", "createdAt"))
    start = instant.of_micros(BASE + r.randint(-5, 60) * 1_000_000)
    end = instant.of_micros(BASE + r.choice((30, 100, 86_400 * 40, 86_400 * 1000)) * 1_000_000)
    window = Window(timerel, end if timerel == "before" else start, end, name) if timerel else None
    datasets = r.choice(((), (), (None,), ("urn:d:1",), (None, "urn:d:2")))
    last_n = r.choice((None, None, 1, 5))
    return TemporalQuery(Query(), window, last_n, False, datasets, Aggregation(methods, duration))


def _expected(model: Model, query: TemporalQuery) -> dict[str, Results]:
    """What each method makes of the values of each period, by attribute and then by kind and dataset."""
    chosen = {name: _chosen(model, name, query) for names in model.entities.values() for name in names}
    times = [time for many in chosen.values() for time, _ in many]
    if not times:
        return {}
    assert query.aggregation is not None
    low, high = query.window.bounds if query.window else (None, None)
    anchor = min(times) if low is None else low
    return {
        name: _by_series(many, query.aggregation, anchor, max(times) if high is None else high)
        for name, many in chosen.items()
        if many
    }


def _chosen(model: Model, name: str, query: TemporalQuery) -> list[tuple[int, Written]]:
    low, high = query.window.bounds if query.window else (None, None)
    many = []
    for one in model.written:
        time = one.of(query.window.timeproperty) if query.window else one.time
        fits = not query.datasets or one.instance.get("datasetId") in query.datasets
        if one.name != name or time is None or not fits:
            continue
        if (low is None or low <= time) and (high is None or time < high):
            many.append((time, one))
    many.sort(key=lambda x: (x[0], x[1].stamp))
    if query.last_n is not None and many:
        edge = sorted({time for time, _ in many})[-query.last_n :][0]
        many = [x for x in many if x[0] >= edge]
    return many


def _by_series(many: list[tuple[int, Written]], asked: Aggregation, anchor: int, end: int) -> Results:
    split: dict[tuple[bool, str | None], list[tuple[int, Written]]] = defaultdict(list)
    for time, one in many:
        split[one.instance["type"] == "Relationship", one.instance.get("datasetId")].append((time, one))
    found: Results = {}
    for key, part in split.items():
        found[key] = {}
        for method in asked.methods:
            eligible = _eligible(method, [_class(one.instance) for _, one in part])
            if eligible is None:
                found[key][method] = []
                continue
            periods: dict[int, list[Any]] = defaultdict(list)
            for time, one in part:
                if _class(one.instance) in eligible:
                    periods[_start(anchor, asked.duration, time)].append(one.instance)
            found[key][method] = [(_apply(method, periods[p]), p) for p in sorted(periods)]
    return found


def _class(one: dict[str, Any]) -> str:
    if one["type"] in ("Relationship", "VocabProperty"):
        return "counted"
    value = one.get("valueList", one.get("value"))
    value = value.get("@value", value) if isinstance(value, dict) else value
    if isinstance(value, str):
        return "time" if value.endswith("Z") and len(value) < 14 else "text"
    return {int: "number", float: "number", bool: "number", list: "array"}.get(type(value), "counted")


def _eligible(method: str, classes: list[str]) -> tuple[str, ...] | None:
    if method in ("totalCount", "distinctCount"):
        return ("number", "time", "text", "array", "counted")
    able = {"avg": ("number", "time", "array"), "sum": ("number", "array"), "stddev": ("number",)}
    order = able.get(method, ("number",) if method == "sumsq" else ("number", "time", "text", "array"))
    return next(((one,) for one in order if one in classes), None)


def _start(anchor: int, duration: Duration, time: int) -> int:
    if duration.is_whole:
        return anchor
    if not duration.months:
        return anchor + (time - anchor) // duration.micros * duration.micros
    n = 0
    while _later(anchor, duration, n + 1) <= time:
        n += 1
    return _later(anchor, duration, n)


def _later(anchor: int, duration: Duration, n: int) -> int:
    begin = EPOCH + timedelta(microseconds=anchor)
    month = begin.month - 1 + n * duration.months
    year, month = begin.year + month // 12, month % 12 + 1
    moved = begin.replace(year=year, month=month, day=min(begin.day, monthrange(year, month)[1]))
    return (moved - EPOCH) // timedelta(microseconds=1) + n * duration.micros


def _apply(method: str, many: list[dict[str, Any]]) -> Json:
    if method == "totalCount":
        return len(many)
    if method == "distinctCount":
        return len({repr(_plain(value)) for one in many for value in _targets(one)})
    values = [_comparable(one) for one in many]
    if method in ("min", "max"):
        return {"min": min, "max": max}[method](values)
    figures = [_seconds(one) if isinstance(one, str) else float(one) for one in values]
    if method == "avg":
        mean = math.fsum(figures) / len(figures)
        return _figure(mean) if not isinstance(values[0], str) else ("time", round(mean, 3))
    if method == "stddev":
        return _figure(statistics.pstdev(figures))
    return _figure(math.fsum(one * one if method == "sumsq" else one for one in figures))


def _plain(value: Json) -> Json:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _targets(one: dict[str, Any]) -> list[Any]:
    value = one.get("value", one.get("vocab", one.get("valueList", one.get("object"))))
    return value if one["type"] == "Relationship" and isinstance(value, list) else [value]


def _comparable(one: dict[str, Any]) -> Any:
    value = one.get("valueList", one.get("value"))
    if isinstance(value, list):
        return len(value)
    return value["@value"] if isinstance(value, dict) else value


def _seconds(text: str) -> float:
    hours, minutes, seconds = text.rstrip("Z").replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _figure(value: float) -> float:
    return round(value, 3) if abs(value) < 1e12 else float(f"{value:.6g}")


def _results(many: list[Aggregate], methods: tuple[str, ...]) -> Results:
    """What was found in the form of the model."""
    return {
        (one.is_relationship, one.dataset): {method: _of(method, one) for method in methods} for one in many
    }


def _of(method: str, one: Aggregate) -> list[tuple[Json, int]]:
    return [(_told(method, value), period.start) for value, period in results(method, one.periods) or ()]


def _told(method: str, value: Json) -> Json:
    if method == "avg" and isinstance(value, str):
        return ("time", round(_seconds(value), 3))
    if method in ("avg", "sum", "sumsq", "stddev"):
        return _figure(value)
    return value
