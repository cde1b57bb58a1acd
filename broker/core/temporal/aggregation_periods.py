"""The periods of an aggregation (clause 4.5.19.1): ISO 8601 durations, laid end to end from an anchor.

A duration is P[n]Y[n]M[n]DT[n]H[n]M[n]S or P[n]W, whose seconds may have a fraction. Days and weeks are of
24 hours, for instants are in UTC; months are those of the calendar: period n begins n times the duration
after the anchor, at the last day of a month that lacks the anchor's day.
"""

import re
from calendar import monthrange
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from broker.core import instant
from broker.core.errors import BadRequestData, TooManyResults

_NUMBER = "([0-9]{1,6})"
_FORM = re.compile(
    f"P(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}D)?"
    f"(?P<time>T(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:([0-9]{{1,9}}(?:[.,][0-9]{{1,6}})?)S)?)?"
    f"|P{_NUMBER}W"
)
_SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60 * _SECOND, 3600 * _SECOND, 86_400 * _SECOND
LAST_YEAR = 9999
END_OF_TIME = instant.micros("9999-12-31T23:59:59.999999")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time: months of the calendar, and microseconds. Without either: the whole of a range."""

    months: int = 0
    micros: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it stands for the whole time range of the query."""
        return not self.months and not self.micros


def parse(text: str, what: str = "aggrPeriodDuration") -> Duration:
    """The duration that a text says. BadRequestData, which names `what` it is of, if it is none."""
    found = _FORM.fullmatch(text)
    if not found or text == "P" or found["time"] == "T":
        raise BadRequestData(f"{what}: expected an ISO 8601 duration such as PT1H, P1M or P1Y")
    years, months, days, _, hours, minutes, seconds, weeks = found.groups(default="0")
    micros = int(Decimal(seconds.replace(",", ".")) * _SECOND)
    micros += int(minutes) * _MINUTE + int(hours) * _HOUR + (int(days) + 7 * int(weeks)) * _DAY
    return Duration(12 * int(years) + int(months), micros)


def calendar(anchor: int, duration: Duration, last: int, most: int) -> list[tuple[int, int]]:
    """The periods of a duration with months, from the anchor (µs) to the one that holds `last`.

    TooManyResults if there are more than `most`.
    """
    found = []
    start = anchor
    for n in range(1, most + 1):
        end = _later(anchor, duration, n)
        found.append((start, end))
        if end > last:
            return found
        start = end
    raise too_many(most)


def too_many(most: int) -> TooManyResults:
    """What is said of a duration that makes too many periods."""
    return TooManyResults(
        f"aggrPeriodDuration: makes more than {most} periods; ask for longer ones or a shorter range"
    )


@lru_cache(20_000)  # each method of each attribute says them again
def show(micros: int) -> str:
    """The beginning or end of a period as clients see it, without a fraction that is zero."""
    return instant.show(instant.floor(instant.of_micros(min(micros, END_OF_TIME))))


def _later(anchor: int, duration: Duration, n: int) -> int:
    """The anchor and n times the duration: months first."""
    text = instant.of_micros(anchor)
    months = int(text[:4]) * 12 + int(text[5:7]) - 1 + n * duration.months
    year, month = divmod(months, 12)
    if year > LAST_YEAR:
        return END_OF_TIME
    day = min(int(text[8:10]), monthrange(year, month + 1)[1])
    return instant.micros(f"{year:04}-{month + 1:02}-{day:02}{text[10:]}") + n * duration.micros
