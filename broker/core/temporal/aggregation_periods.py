"""The periods of an aggregation (clause 4.5.19.1): consecutive ISO 8601 durations from an anchor.

A duration is P[n]Y[n]M[n]DT[n]H[n]M[n]S or P[n]W; its seconds may have a fraction. Instants are in UTC, so a
day has 24 hours. Months are calendar months. Period n begins n durations after the anchor; in a month without
the day of the anchor it begins at the last day.
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
    """A duration: calendar months, and microseconds. If both are 0: the whole time range of the query."""

    months: int = 0
    micros: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it means the whole time range of the query."""
        return not self.months and not self.micros


def parse(text: str, what: str = "aggrPeriodDuration") -> Duration:
    """The duration in a text. BadRequestData, which names `what`, if it is not valid."""
    match = _FORM.fullmatch(text)
    if not match or text == "P" or match["time"] == "T":
        raise BadRequestData(f"{what}: expected an ISO 8601 duration such as PT1H, P1M or P1Y")
    years, months, days, _, hours, minutes, seconds, weeks = match.groups(default="0")
    micros = int(Decimal(seconds.replace(",", ".")) * _SECOND)
    micros += int(minutes) * _MINUTE + int(hours) * _HOUR + (int(days) + 7 * int(weeks)) * _DAY
    return Duration(12 * int(years) + int(months), micros)


def calendar(anchor: int, duration: Duration, last: int, most: int) -> list[tuple[int, int]]:
    """(start, end) in µs of each period of a duration with months, from the anchor to that with `last`.

    TooManyResults if there are more than `most`.
    """
    periods = []
    start = anchor
    for n in range(1, most + 1):
        end = _later(anchor, duration, n)
        periods.append((start, end))
        if end > last:
            return periods
        start = end
    raise too_many(most)


def too_many(most: int) -> TooManyResults:
    """The error for a duration that makes too many periods."""
    return TooManyResults(
        f"aggrPeriodDuration: makes more than {most} periods; ask for longer ones or a shorter range"
    )


@lru_cache(20_000)  # each method of each attribute shows the same periods
def show(micros: int) -> str:
    """The start or end of a period (µs) as clients see it, without trailing zeros."""
    return instant.show(instant.floor(instant.of_micros(min(micros, END_OF_TIME))))


def _later(anchor: int, duration: Duration, n: int) -> int:
    """The anchor plus n durations (µs): months are added first."""
    text = instant.of_micros(anchor)
    months = int(text[:4]) * 12 + int(text[5:7]) - 1 + n * duration.months
    year, month = divmod(months, 12)
    if year > LAST_YEAR:
        return END_OF_TIME
    day = min(int(text[8:10]), monthrange(year, month + 1)[1])
    return instant.micros(f"{year:04}-{month + 1:02}-{day:02}{text[10:]}") + n * duration.micros
