"""For how long scopes are valid."""

import pytest

from broker.core import Instance, instant
from broker.core.lang import scope
from broker.core.temporal.validity import Change, Span, valid

pytestmark = [pytest.mark.clause("4.18"), pytest.mark.clause("5.7.4.4")]

CAME = "2026-07-01T12:00:00"
NOON = instant.micros(CAME)
ALWAYS: Span = (None, None)


def change(second: int, *scopes: str, written: int | None = None) -> Change:
    """Scopes that were set at this second after the entity came, and written then or at another one."""
    time, stamp = NOON + second * 1_000_000, NOON + (second if written is None else written) * 1_000_000
    one: Instance = {"type": "Property", "value": [*scopes], "createdAt": instant.of_micros(stamp)}
    return time, one


def spans(changes: list[Change], text: str, window: Span = ALWAYS, came: str | None = CAME) -> list[Span]:
    """The spans, in seconds after the entity came."""
    return [
        (_seconds(one.span[0]), _seconds(one.span[1]))
        for one in valid(changes, scope.parse(text), window, came)
    ]


def _seconds(time: int | None) -> int | None:
    return None if time is None else (time - NOON) // 1_000_000


def test_what_an_entity_came_with_counts_before_it_came() -> None:
    changes = [change(0, "/A"), change(5, "/B"), change(9, "/A")]
    assert spans(changes, "/A") == [(None, 5), (9, None)]
    assert spans(changes, "/B") == [(5, 9)]
    assert spans(changes, "/A", (None, NOON - 1)) == [(None, 5)], "the window ends before it came"
    assert spans(changes, "/A", (NOON + 5_000_000, NOON + 6_000_000)) == []


@pytest.mark.parametrize(
    ("first", "came"),
    [
        (change(1, "/A"), CAME),  # it was set later than the entity came
        (change(-5, "/A", written=0), CAME),  # it says when it was set
        (change(0, "/A"), None),
        ((NOON, {"type": "Property", "value": ["/A"]}), CAME),
    ],
)
def test_what_was_set_at_a_time_counts_from_then_on(first: Change, came: str | None) -> None:
    since = _seconds(first[0])
    assert spans([first, change(5, "/B")], "/A", came=came) == [(since, 5)]
    assert spans([first], "/A", (None, first[0]), came) == []


def test_scopes_of_history_that_was_there_before_the_entity_count_as_well() -> None:
    assert spans([change(-9, "/A"), change(0, "/B")], "/A") == [(None, 0)]


def test_an_entity_that_had_no_scopes_had_none() -> None:
    assert spans([], "/#") == []
    assert spans([change(0), change(5, "/A")], "/#") == [(5, None)]
