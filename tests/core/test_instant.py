"""Instants: texts that sort as the moments do."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import instant

moments = st.datetimes()


@st.composite
def written(draw: st.DrawFn) -> tuple[datetime, str]:
    """A moment, and one of the texts that a client may write it as."""
    moment = draw(moments)
    digits = f"{moment.microsecond:06}"
    least = len(digits.rstrip("0"))
    places = draw(st.integers(least, 6))
    base = moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return moment, base + (draw(st.sampled_from(".,")) + digits[:places] if places else "") + "Z"


@pytest.mark.clause("4.6.3")
@pytest.mark.parametrize(
    ("text", "internal"),
    [
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00"),
        ("2026-07-01T12:00:00.5Z", "2026-07-01T12:00:00.5"),
        ("2026-07-01T12:00:00,250000Z", "2026-07-01T12:00:00.250000"),
        ("2024-02-29T23:59:59.999999Z", "2024-02-29T23:59:59.999999"),
    ],
)
def test_an_instant_keeps_the_digits_it_came_with(text: str, internal: str) -> None:
    assert instant.parse(text) == internal
    assert instant.show(internal) == text.replace(",", ".")


@pytest.mark.clause("4.6.3")
@pytest.mark.parametrize(
    "text",
    [
        "2026-07-01T12:00:00",
        "2026-07-01T12:00:00+00:00",
        "2026-07-01T12:00:00.Z",
        "2026-07-01T12:00:00.1234567Z",
        "2026-07-01T12:00Z",
        "2026-07-01",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-07-01T24:00:00Z",
        "2026-07-01T12:00:60Z",
        "2026-07-01 12:00:00Z",
        "2026-07-01t12:00:00z",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-07-01T12:00:00Z",
        "2026-07-01T12:00:00Z\n",
        "",
        None,
        20260701,
        ["2026-07-01T12:00:00Z"],
    ],
)
def test_other_texts_are_no_instants(text: object) -> None:
    assert instant.parse(text) is None


@given(written())
def test_every_way_to_write_a_moment_is_read_as_that_moment(pair: tuple[datetime, str]) -> None:
    moment, text = pair
    internal = instant.parse(text)
    assert internal is not None
    assert instant.of_micros(instant.micros(internal)) == moment.isoformat(timespec="microseconds")
    assert instant.floor(internal) <= internal <= instant.ceiling(internal)


@given(written(), written())
def test_floors_and_ceilings_sort_as_moments_do(a: tuple[datetime, str], b: tuple[datetime, str]) -> None:
    (first, one), (second, other) = a, b
    left, right = instant.parse(one), instant.parse(other)
    assert left is not None
    assert right is not None
    assert (instant.floor(left) < instant.floor(right)) is (first < second)
    assert (instant.ceiling(left) < instant.ceiling(right)) is (first < second)
    assert (instant.floor(left) <= instant.ceiling(right)) is (first <= second)


@given(st.integers(instant.micros("0001-01-01T00:00:00"), instant.micros("9999-12-31T23:59:59.999999")))
def test_microseconds_come_back(micros: int) -> None:
    text = instant.of_micros(micros)
    assert instant.micros(text) == micros
    assert instant.ceiling(text) == text


def test_microseconds_count_from_1970() -> None:
    assert instant.micros("1970-01-01T00:00:00") == 0
    now = datetime(2026, 7, 1, 12, 0, 0, 1, tzinfo=UTC)
    assert instant.of_micros(round(now.timestamp()) * 1_000_000 + 1) == "2026-07-01T12:00:00.000001"
