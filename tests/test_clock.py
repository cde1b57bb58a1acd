"""The clock of a process: what each of its times is for."""

from hypothesis import given
from hypothesis import strategies as st

from broker.clock import Clock
from broker.core.throttling import is_throttled
from tests.clocks import SetClock

HOUR = 3_600_000_000


@given(st.lists(st.tuples(st.integers(-10, 10), st.integers(0, 2 * HOUR)), min_size=1))
def test_revisions_rise_and_times_are_never_raised_by_what_is_known(steps: list[tuple[int, int]]) -> None:
    """Small steps of the clock, back and forth, while entities come along that others wrote at any time."""
    at = [HOUR]
    clock = SetClock(lambda: at[0])
    last = 0
    for step, known in steps:
        at[0] += step
        before = max(last, at[0] - 1)
        stamp = clock.stamp(known)
        assert stamp.rev > known
        assert stamp.rev >= stamp.now
        assert last < stamp.now <= before + 1
        last = stamp.now


def test_a_clock_that_is_put_back_is_followed() -> None:
    at = [2 * HOUR]
    clock = SetClock(lambda: at[0])
    assert clock.now() == 2 * HOUR
    at[0] -= HOUR
    assert clock.now() == HOUR
    assert clock.now() == HOUR + 1, "and two times are never one"


def test_a_wrong_clock_is_told_by_the_databases() -> None:
    right, wrong, vague = Clock(), Clock(offset=3600), Clock(offset=4)
    for one in (right, wrong, vague):
        one.set_server(Clock().server() - one.monotonic())
    assert [one.is_off() for one in (right, wrong, vague)] == [False, True, False]
    assert round(wrong.skew()) == 3600
    assert wrong.now() - right.now() > HOUR - 1_000_000, "its own time it keeps"
    assert abs(wrong.shared() - right.shared()) < 1_000_000, "what expires for all goes by the database's"
    assert abs(vague.shared() - right.shared()) > 3_000_000
    assert abs(wrong.server() - right.server()) < 1_000_000


def test_stamps_are_never_alike() -> None:
    """Two entities may be ahead of time by the same revision, and a clock may say the same time again."""
    at = [HOUR]
    clock = SetClock(lambda: at[0])
    ahead = [clock.stamp(2 * HOUR), clock.stamp(2 * HOUR)]
    assert ahead[0].rev == ahead[1].rev
    at[0] = 3 * HOUR
    first = clock.stamp()
    at[0] = HOUR
    clock.now()
    at[0] = 3 * HOUR
    again = clock.stamp()
    assert (first.rev, first.now) == (again.rev, again.now)
    assert len({one.number for one in (*ahead, first, again)}) == 4


def test_a_last_time_in_the_future_counts_as_never() -> None:
    assert not is_throttled(None, HOUR, 10_000_000)
    assert is_throttled(HOUR, HOUR + 9_999_999, 10_000_000)
    assert not is_throttled(HOUR, HOUR + 10_000_000, 10_000_000)
    assert is_throttled(HOUR + 1000, HOUR, 10_000_000), "two processes know the server's time a little apart"
    assert not is_throttled(2 * HOUR, HOUR, 10_000_000)
