"""Aggregation (clause 4.5.19): which methods there are, what of values they take, what they make of it.

The store sums up the instances of a series for each period and each Class of their values (`Summary`), where
the data is; summaries of parts of a period add up to that of the whole. Here is what becomes of them.

A method takes the values of the first Class among those it is eligible for that the series has in the range
at all: values of another Class are left out of it, and a period without one of its values has no result.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.temporal.aggregation_periods import Duration


class Class(StrEnum):
    """What values are to the methods (tables 4.5.19.1-1 to -3)."""

    NUMBER = "number"  # and booleans, as 1 and 0
    TIME = "time"  # of the day
    TEXT = "text"  # and dates and date-times
    SIZE = "size"  # of an array
    OTHER = "other"
    LINK = "link"  # of a Relationship


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
    """What an aggregated representation is to hold: the methods, in order, and the length of the periods."""

    methods: tuple[str, ...]
    duration: Duration


@dataclass(slots=True)
class Summary:
    """The values of one Class within one period: how many (at least one), and what the methods need of them.

    Numbers stand for themselves, times for their seconds of the day and arrays for their size; `least` and
    `most` are numbers or texts. `spread` is the sum of the squared distances from the mean.
    """

    count: int
    total: float = 0.0
    squares: float = 0.0
    spread: float = 0.0
    least: Json = None
    most: Json = None

    def add(self, other: "Summary") -> None:
        """Takes in the summary of other values of the same Class and period."""
        count = self.count + other.count
        apart = other.total / other.count - self.total / self.count
        self.spread += other.spread + apart * apart * self.count * other.count / count
        self.count = count
        self.total += other.total
        self.squares += other.squares
        self.least = min((one for one in (self.least, other.least) if one is not None), default=None)
        self.most = max((one for one in (self.most, other.most) if one is not None), default=None)


@dataclass(slots=True)
class Period:
    """One period of a series, from `start` to before `end` (µs): its summaries, and its distinct values."""

    start: int
    end: int
    summaries: dict[Class, Summary] = field(default_factory=dict)
    distinct: int = 0


@dataclass(slots=True)
class Aggregate:
    """The periods of one series: of one datasetId of an attribute, as a Property or as a Relationship."""

    is_relationship: bool
    dataset: str | None
    periods: list[Period]


def parse_methods(names: Iterable[str]) -> tuple[str, ...]:
    """The methods of these names, each once. BadRequestData if one is none, or there is none."""
    found = tuple(dict.fromkeys(name.strip() for name in names))
    if not found or not set(METHODS).issuperset(found):
        raise BadRequestData(f"aggrMethods: expected some of {', '.join(METHODS)}")
    return found


def takes(method: str, periods: list[Period]) -> bool:
    """Whether the method can take any of the values."""
    return _taken(method, periods) is not None


def results(method: str, periods: list[Period]) -> list[tuple[Json, Period]] | None:
    """What the method makes of each period that has values for it; None if it can't take any of them."""
    if (taken := _taken(method, periods)) is None:
        return None
    if method in COUNTS:
        return [(_count(method, period), period) for period in periods]
    having = [period for period in periods if taken in period.summaries]
    return [(_value(method, taken, period.summaries[taken]), period) for period in having]


def _taken(method: str, periods: list[Period]) -> Class | None:
    """The Class of the values that the method takes, if there are any."""
    found = (one for one in _ELIGIBLE[method] if any(one in period.summaries for period in periods))
    return next(found, None)


def _count(method: str, period: Period) -> int:
    return (
        period.distinct if method == "distinctCount" else sum(one.count for one in period.summaries.values())
    )


def _value(method: str, of: Class, summary: Summary) -> Json:
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
    return clock(average) if of is Class.TIME else average


def clock(seconds: float) -> str:
    """Seconds of the day as a Time."""
    micros = round(seconds * 1_000_000)
    minutes, micros = divmod(micros, 60_000_000)
    fraction = f".{micros % 1_000_000:06}".rstrip("0").rstrip(".")
    return f"{minutes // 60:02}:{minutes % 60:02}:{micros // 1_000_000:02}{fraction}Z"
