"""Reads aggregated evolutions (4.5.19): plans periods, runs the pipelines of `summaries`, joins their rows.

Periods begin at the lower bound of the window, if there is one, else at the first instance of the entity. So
all attributes of an entity have the same periods.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from bson import Decimal128

from broker.core import Json
from broker.core.errors import TooManyResults
from broker.core.temporal import TemporalQuery
from broker.core.temporal.aggregation import Aggregate, Aggregation, Class, Period, Summary
from broker.core.temporal.aggregation_periods import calendar, too_many
from broker.store.history.records import PLACES
from broker.store.history.summaries import SeriesTask, Slice, ending, extent, summarize
from broker.store.history.windows import Document, Pipeline, Selection, Series, union

_TOGETHER = 100  # series, or pipelines, in one round trip
_PERIODS = 10_000  # the most rows of a series
_ROWS = 100_000  # the most rows of an answer
_MORE = 4  # factor of the limit for another read of a series with several instances at one time
_SECOND = 1_000_000

T = TypeVar("T")
Run = Callable[[Pipeline, int], Awaitable[list[Document]]]


async def aggregate(
    run: Run, query: TemporalQuery, selections: dict[Series, Selection]
) -> dict[Series, list[Aggregate]]:
    """The aggregates of each series that has instances. TooManyResults if there are too many.

    `run` executes a pipeline over `history`; its second argument is the maximal number of rows.
    """
    assert query.aggregation is not None
    low = query.window.bounds[0] if query.window else None
    if low is None or query.aggregation.duration.months or query.last_n is not None:
        extents = await _extents(run, query.last_n, selections)
        tasks = list(_tasks(query, selections, extents))
    else:
        slices = _slices(query.aggregation, low, low)
        tasks = [SeriesTask(n, series, selections[series], slices) for n, series in enumerate(selections)]
    rows: dict[int, list[Document]] = {}
    for row in await _rows(run, tasks, query.aggregation):
        rows.setdefault(row["_id"]["s"], []).append(row)
    ends = _ends(query, tasks, rows)
    return {task.series: _aggregates(rows[task.number], task, ends) for task in tasks if task.number in rows}


async def _extents(
    run: Run, last_n: int | None, selections: dict[Series, Selection]
) -> dict[Series, tuple[int, int]]:
    """(first, last) by series: the times (µs) of the first and last instance; with lastN, of the last n."""
    if last_n is not None:
        return await _endings(run, last_n, selections, last_n)
    times: dict[Series, list[int]] = {}
    for part in parts(selections.items(), _TOGETHER // 2):
        ends = (pipeline for series, selection in part for pipeline in extent(selection, series))
        for row in await run(union(ends), 2 * len(part)):
            key = row["_id"]
            by_write = selections[key["e"], key["a"]].by_write
            times.setdefault((key["e"], key["a"]), []).append(key["s"] // PLACES if by_write else key["t"])
    return {series: (min(many), max(many)) for series, many in times.items()}


async def _endings(
    run: Run, last_n: int, selections: dict[Series, Selection], limit: int
) -> dict[Series, tuple[int, int]]:
    """(first, last) of the last n times (µs) of each series that has instances.

    Reads `limit` instances at first, and more of series that have fewer than n times among those.
    """
    endings: dict[Series, tuple[int, int]] = {}
    short: dict[Series, Selection] = {}
    for part in parts(selections.items(), _TOGETHER):
        pipelines = (
            ending(selection, series, last_n, limit, n) for n, (series, selection) in enumerate(part)
        )
        for row in await run(union(pipelines), len(part)):
            series, selection = part[row["_id"]]
            unit = PLACES if selection.by_write else 1
            endings[series] = row["start"] // unit, row["end"] // unit
            if row["times"] < last_n and row["n"] == limit:
                short[series] = selection
    return endings | await _endings(run, last_n, short, _MORE * limit) if short else endings


def _tasks(
    query: TemporalQuery, selections: dict[Series, Selection], extents: dict[Series, tuple[int, int]]
) -> Iterator[SeriesTask]:
    """The tasks for the series that have instances, in the periods of their entities."""
    assert query.aggregation is not None
    low = query.window.bounds[0] if query.window else None
    spans: dict[str, tuple[int, int]] = {}
    for (entity, _), (first, last) in extents.items():
        start, end = spans.get(entity, (first, last))
        spans[entity] = min(first, start), max(last, end)
    slices = {
        entity: _slices(query.aggregation, first if low is None else low, last)
        for entity, (first, last) in spans.items()
    }
    for number, (series, (first, _)) in enumerate(extents.items()):
        yield SeriesTask(number, series, selections[series].within(first, None), slices[series[0]])


def _slices(aggregation: Aggregation, anchor: int, last: int) -> list[Slice]:
    duration = aggregation.duration
    if duration.months:
        return [Slice(*period) for period in calendar(anchor, duration, last, _PERIODS)]
    return [Slice(anchor, None, duration.micros or None)]


async def _rows(run: Run, tasks: Iterable[SeriesTask], aggregation: Aggregation) -> list[Document]:
    rows: list[Document] = []
    pipelines = (
        pipeline for task in tasks for pipeline in summarize(task, aggregation.methods, _PERIODS + 1)
    )
    for part in parts(pipelines, _TOGETHER):
        rows += await run([*union(part), {"$limit": _ROWS + 1}], _ROWS + 1)
        if len(rows) > _ROWS:
            raise TooManyResults(f"the answer would hold more than {_ROWS} results; select fewer entities")
    return rows


def _ends(
    query: TemporalQuery, tasks: Iterable[SeriesTask], rows: dict[int, list[Document]]
) -> dict[str, int]:
    """The end (µs) of the last period of each entity: the window's bound, or a second after the last time."""
    high = query.window.bounds[1] if query.window else None
    ends: dict[str, int] = {}
    for task in tasks:
        last = max((int(row["t"]) for row in rows.get(task.number, ()) if "t" in row), default=0)
        end = (last // _SECOND + 1) * _SECOND if high is None else high
        ends[task.series[0]] = max(end, ends.get(task.series[0], end))
    return ends


def _aggregates(rows: list[Document], task: SeriesTask, ends: dict[str, int]) -> list[Aggregate]:
    """The aggregates of one series: one for each datasetId, separately for Relationships and other kinds."""
    by_dataset: dict[tuple[bool, str | None], dict[int, Period]] = {}
    highs = {span.low: span.high for span in task.slices}
    length = task.slices[0].length
    for row in rows:
        key = row["_id"]
        start = int(key["p"])
        periods = by_dataset.setdefault((_is_relationship(key), key.get("d")), {})
        if start not in periods:
            end = start + length if length else highs[start] or ends[task.series[0]]
            periods[start] = Period(start, end)
        _put(periods[start], row)
        if len(periods) > _PERIODS:
            raise too_many(_PERIODS)
    return [
        Aggregate(is_relationship, dataset, [periods[start] for start in sorted(periods)])
        for (is_relationship, dataset), periods in by_dataset.items()
    ]


def _is_relationship(key: Document) -> bool:
    return bool(key["r"]) if "r" in key else key["c"] == Class.LINK


def _put(period: Period, row: Document) -> None:
    if "u" in row:
        period.distinct += row["u"]
        return
    of, summary = Class(row["_id"]["c"]), _summary(row)
    if of in period.summaries:
        period.summaries[of].add(summary)
    else:
        period.summaries[of] = summary


def _summary(row: Document) -> Summary:
    count = row["n"]
    deviation = _number(row.get("v") or 0.0)
    return Summary(
        count,
        float(_number(row.get("s", 0.0))),
        float(_number(row.get("q") or 0.0)),
        deviation * deviation * count,
        _number(row.get("lo")),
        _number(row.get("hi")),
    )


def _number(value: Json) -> Json:
    """The JSON form of a value: MongoDB has integers beyond 64 bits as decimals."""
    if not isinstance(value, Decimal128):
        return value
    number = value.to_decimal()
    return int(number) if number == number.to_integral_value() else float(number)


def parts(many: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items of an iterable in lists of at most `size`."""
    rest = iter(many)
    while part := list(islice(rest, size)):
        yield part
