"""Durations and the periods they make."""

import pytest

from broker.core import instant
from broker.core.errors import BadRequestData, TooManyResults
from broker.core.temporal.aggregation_periods import Duration, calendar, parse, show

HOUR = 3600 * 1_000_000


@pytest.mark.clause("4.5.19.1")
@pytest.mark.parametrize(
    ("text", "months", "micros"),
    [
        ("PT1H", 0, HOUR),
        ("P1D", 0, 24 * HOUR),
        ("P2W", 0, 14 * 24 * HOUR),
        ("P3Y6M4DT12H30M5S", 42, (4 * 24 + 12) * HOUR + 1805 * 1_000_000),
        ("P1Y", 12, 0),
        ("PT1M", 0, HOUR // 60),
        ("P1M", 1, 0),
        ("PT0.5S", 0, 500_000),
        ("PT0S", 0, 0),
        ("P0D", 0, 0),
    ],
)
def test_durations(text: str, months: int, micros: int) -> None:
    assert parse(text) == Duration(months, micros)
    assert parse(text).is_whole == (not months and not micros)


@pytest.mark.clause("4.5.19.1")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "P",
        "PT",
        "P1DT",
        "1H",
        "PT1X",
        "P1H",
        "PT1D",
        "P-1D",
        "P1W1D",
        "P1.5D",
        "pt1h",
        "P1M1Y",
        "P99999999D",
    ],
)
def test_what_is_no_duration_is_said(text: str) -> None:
    with pytest.raises(BadRequestData, match="aggrPeriodDuration"):
        parse(text)


def test_months_are_those_of_the_calendar() -> None:
    anchor, last = instant.micros("2024-01-31T06:00:00.5"), instant.micros("2024-04-30T06:00:00")
    periods = [(show(start), show(end)) for start, end in calendar(anchor, parse("P1M"), last, 10)]
    assert periods == [
        ("2024-01-31T06:00:00.5Z", "2024-02-29T06:00:00.5Z"),
        ("2024-02-29T06:00:00.5Z", "2024-03-31T06:00:00.5Z"),
        ("2024-03-31T06:00:00.5Z", "2024-04-30T06:00:00.5Z"),
    ]


def test_the_calendar_ends() -> None:
    anchor = instant.micros("9999-06-01T00:00:00")
    [(_, end)] = calendar(anchor, parse("P100Y"), anchor, 10)
    assert show(end) == "9999-12-31T23:59:59.999999Z"
    assert show(end + HOUR) == show(end)


def test_too_many_periods_are_refused() -> None:
    with pytest.raises(TooManyResults):
        calendar(0, parse("P1M"), instant.micros("2026-01-01T00:00:00"), 100)
