"""Aggregation (clause 4.5.19): its methods, and their results.

The store summarizes the instances of a series by period and by Class of their values (`Summary`), in the
database. Summaries of parts of a period can be added. This module computes the results from summaries.

Each method is eligible for certain Classes of values. In a series it uses the first of these Classes that
occurs in the range. It ignores values of other Classes, and a period without values of its Class has no
result.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.temporal.aggregation_periods import Duration


class Class(StrEnum):
    """The classes of values that methods distinguish (tables 4.5.19.1-1 to -3)."""

    NUMBER = "number"  # also booleans, as 1 and 0
    TIME = "time"  # of the day
    TEXT = "text"  # also dates and date-times
    SIZE = "size"  # of arrays
    OTHER = "other"
    LINK = "link"  # of Relationships


COUNTS = ("totalCount", "distinctCount")
_ELIGIBLE = {
    "avg": (Class.NUMBER, Class.TIME, Class.SIZE),
    "max": (Class.NUMBER, Class.TIME, Class.TEXT, Class.SIZE),
    "min": (Class.NUMBER, Class.TIME, Class.TEXT, Class.SIZE),
    "stddev": (Class.NUMBER,),
    "sum": (Class.NUMBER, Class.SIZE),
    "sumsq": (Class.NUMBER,),
    **dict.fromkeys(COUNTS, tuple(Class)),
}
METHODS = tuple(_ELIGIBLE)


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The methods of an aggregated representation, in order, and the duration of its periods."""

    methods: tuple[str, ...]
    duration: Duration


@dataclass(slots=True)
class Summary:
    """A summary of the values of one Class in one period: all that the methods need.

    `count` (1 or more), `total` (sum), `squares` (sum of squares), `spread` (sum of the squared distances
    from the mean), `least` and `most` (numbers or texts). Times count as seconds of the day, arrays as their
    size.
    """

    count: int
    total: float = 0.0
    squares: float = 0.0
    spread: float = 0.0
    least: Json = None
    most: Json = None

    def add(self, other: "Summary") -> None:
        """Adds the summary of other values of the same Class and period."""
        count = self.count + other.count
        distance = other.total / other.count - self.total / self.count
        self.spread += other.spread + distance * distance * self.count * other.count / count
        self.count = count
        self.total += other.total
        self.squares += other.squares
        self.least = min((value for value in (self.least, other.least) if value is not None), default=None)
        self.most = max((value for value in (self.most, other.most) if value is not None), default=None)


@dataclass(slots=True)
class Period:
    """One period of a series (µs, `end` excluded): its summaries, and its number of distinct values."""

    start: int
    end: int
    summaries: dict[Class, Summary] = field(default_factory=dict)
    distinct: int = 0


@dataclass(slots=True)
class Aggregate:
    """The periods of one series: of one datasetId of an attribute, as Property or as Relationship."""

    is_relationship: bool
    dataset: str | None
    periods: list[Period]


def parse_methods(names: Iterable[str]) -> tuple[str, ...]:
    """The methods of these names, each once. BadRequestData if a name is unknown, or there is none."""
    methods = tuple(dict.fromkeys(name.strip() for name in names))
    if not methods or not set(METHODS).issuperset(methods):
        raise BadRequestData(f"aggrMethods: expected some of {', '.join(METHODS)}")
    return methods


def takes(method: str, periods: list[Period]) -> bool:
    """Whether the method is eligible for any of the values."""
    return _taken(method, periods) is not None


def results(method: str, periods: list[Period]) -> list[tuple[Json, Period]] | None:
    """(result, period) for each period with values for the method; None if it is eligible for no value."""
    if (used := _taken(method, periods)) is None:
        return None
    if method in COUNTS:
        return [(_count(method, period), period) for period in periods]
    with_values = [period for period in periods if used in period.summaries]
    return [(_value(method, used, period.summaries[used]), period) for period in with_values]


def _taken(method: str, periods: list[Period]) -> Class | None:
    """The Class of the values that the method uses; None if it is eligible for no value."""
    used = (
        value_class
        for value_class in _ELIGIBLE[method]
        if any(value_class in period.summaries for period in periods)
    )
    return next(used, None)


def _count(method: str, period: Period) -> int:
    return (
        period.distinct
        if method == "distinctCount"
        else sum(summary.count for summary in period.summaries.values())
    )


def _value(method: str, value_class: Class, summary: Summary) -> Json:
    match method:
        case "sum":
            return summary.total
        case "sumsq":
            return summary.squares
        case "min":
            return summary.least
        case "max":
            return summary.most
        case "stddev":
            return math.sqrt(summary.spread / summary.count)
    average = summary.total / summary.count
    return clock(average) if value_class is Class.TIME else average


def clock(seconds: float) -> str:
    """Seconds of the day as a Time (4.6.3)."""
    micros = round(seconds * 1_000_000)
    minutes, micros = divmod(micros, 60_000_000)
    fraction = f".{micros % 1_000_000:06}".rstrip("0").rstrip(".")
    return f"{minutes // 60:02}:{minutes % 60:02}:{micros // 1_000_000:02}{fraction}Z"
