"""The temporal query language: what is taken, and which instants a window spans."""

import pytest

from broker.core import instant
from broker.core.errors import BadRequestData
from broker.core.temporal.window import Window, parse, parse_last_n, time_of

NOON, LATER = "2026-07-01T12:00:00Z", "2026-07-01T13:00:00.5Z"
NOON_MICROS, LATER_MICROS = (instant.micros(text[:-1]) for text in (NOON, LATER))

pytestmark = pytest.mark.clause("4.11")


@pytest.mark.parametrize(
    ("timerel", "bounds"),
    [
        ("before", (None, NOON_MICROS)),
        ("after", (NOON_MICROS, None)),
        ("between", (NOON_MICROS, LATER_MICROS)),
    ],
)
def test_a_window_has_the_bounds_of_its_relation(timerel: str, bounds: tuple[int | None, int | None]) -> None:
    window = parse(timerel, NOON, LATER if timerel == "between" else None, None, required=True)
    assert window is not None
    assert window.bounds == bounds
    assert window.timeproperty == "observedAt"


def test_one_instant_has_many_spellings_and_one_window() -> None:
    spelt = ("12:00:00Z", "12:00:00.000Z", "12:00:00,0Z")
    windows = [parse("after", f"2026-07-01T{time}", None, None) for time in spelt]
    assert {one.bounds for one in windows if one} == {(NOON_MICROS, None)}


def test_without_parameters_there_is_no_window() -> None:
    assert parse(None, None, None, None) is None


def test_a_timeproperty_alone_is_a_window_without_bounds() -> None:
    window = parse(None, None, None, "deletedAt")
    assert window == Window(timeproperty="deletedAt")
    assert window.bounds == (None, None)


def test_an_end_only_counts_for_between() -> None:
    window = parse("after", NOON, LATER, "createdAt")
    assert window == Window("after", NOON[:-1], None, "createdAt")


@pytest.mark.parametrize(
    ("parameter", "asked"),
    [
        ("timerel", ("during", NOON, None, None)),
        ("timerel", ("", NOON, None, None)),
        ("timerel", (None, NOON, None, None)),
        ("timerel", (None, None, LATER, None)),
        ("timeAt", ("after", None, None, None)),
        ("timeAt", ("before", "", None, None)),
        ("timeAt", ("before", "2026-07-01", None, None)),
        ("timeAt", ("before", "2026-07-01T12:00:00+02:00", None, None)),
        ("endTimeAt", ("between", NOON, None, None)),
        ("endTimeAt", ("between", NOON, "soon", None)),
        ("endTimeAt", ("after", NOON, "soon", None)),
        ("timeproperty", ("after", NOON, None, "expiresAt")),
        ("timeproperty", (None, None, None, "")),
    ],
)
def test_what_is_wrong_is_named(parameter: str, asked: tuple[str | None, ...]) -> None:
    with pytest.raises(BadRequestData, match=f"^{parameter}: expected"):
        parse(*asked)


@pytest.mark.parametrize("timeproperty", [None, "modifiedAt"])
@pytest.mark.clause("5.7.4.4")
def test_a_query_has_to_have_a_window(timeproperty: str | None) -> None:
    with pytest.raises(BadRequestData, match=r"^timerel: expected"):
        parse(None, None, None, timeproperty, required=True)


def test_last_n_is_a_positive_integer() -> None:
    assert parse_last_n(None) is None
    assert parse_last_n("100") == 100
    for text in ("", "0", "-1", "1.5", "+3", "٣", "1e3", "9" * 5000):
        with pytest.raises(BadRequestData, match=r"^lastN: expected"):
            parse_last_n(text)


def test_the_time_of_an_instance_is_the_one_asked_for_or_the_one_that_it_has() -> None:
    observed = {"type": "Property", "value": 1, "observedAt": "a", "modifiedAt": "b"}
    assert time_of(observed, None) == "a"
    assert time_of(observed, Window(timeproperty="modifiedAt")) == "b"
    assert time_of({"type": "Property", "value": 1, "modifiedAt": "b"}, None) == "b"
    assert time_of({"type": "Property", "value": "urn:ngsi-ld:null", "deletedAt": "c"}, None) == "c"
