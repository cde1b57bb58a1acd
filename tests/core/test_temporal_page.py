"""Temporal pagination: whoever goes on from where an answer ended gets everything, and nothing is hidden."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Instance, instant
from broker.core.query import Query
from broker.core.temporal import Evolution, TemporalQuery, Window
from broker.core.temporal.page import Part, fit, latest, paged, times

pytestmark = pytest.mark.clause("6.3.10")

START = instant.micros("2026-07-01T12:00:00")
MOST = 4
Times = dict[str, list[int]]


def at(second: int) -> str:
    return instant.of_micros(START + second * 500_000).rstrip("0").rstrip(".")


def instance(second: int, number: int = 0) -> Instance:
    return {"type": "Property", "value": number, "observedAt": at(second)}


@dataclass
class Store:
    """Attributes by name, each the seconds at which it was observed."""

    times: Times

    def answer(self, query: TemporalQuery) -> Evolution:
        """What a store finds, from a plain reading of the clauses."""
        found = Evolution("urn:x:1", ["T"], at(0), {})
        low, high = (Window() if query.window is None else query.window).bounds
        for name, seconds in self.times.items():
            many = [instance(second, number) for number, second in enumerate(sorted(seconds))]
            many = [one for one in many if _is_between(one, low, high)]
            many = many if query.last_n is None else latest(many[::-1], query.last_n, query.window)
            kept, is_cut = fit(many, MOST, query)
            if kept:
                found.attrs[name] = kept
            if is_cut:
                found.truncated.add(name)
        return found


def _is_between(one: Instance, low: int | None, high: int | None) -> bool:
    time = instant.micros(one["observedAt"])
    return (low is None or low <= time) and (high is None or time < high)


def _seen(evolution: Evolution) -> set[tuple[str, int, str]]:
    return {(name, one["value"], one["observedAt"]) for name, many in evolution.attrs.items() for one in many}


def _everything(store: Store) -> set[tuple[str, int, str]]:
    return {(k, n, at(second)) for k, many in store.times.items() for n, second in enumerate(sorted(many))}


# At most MOST instances of one time: nobody could go on from a time that does not fit in an answer.
seconds = st.lists(st.integers(0, 30), max_size=25).map(
    lambda many: [one for n, one in enumerate(many) if many[:n].count(one) < MOST - 1]
)
stores = st.dictionaries(st.sampled_from(["a", "b", "c"]), seconds, max_size=3).map(Store)


@given(stores)
def test_going_on_forwards_finds_everything(store: Store) -> None:
    since, found, part = at(0), set[tuple[str, int, str]](), None
    for _ in range(100):
        query = TemporalQuery(Query(), Window("after", since))
        [evolution], part = paged([store.answer(query)], query)
        found |= _seen(evolution)
        if part is None:
            break
        assert (part.start, part.size) == (instant.show(since), "*")
        since = part.end[:-1]
    assert found == _everything(store)


@given(stores)
def test_going_on_backwards_finds_everything(store: Store) -> None:
    until, found, part = at(100), set[tuple[str, int, str]](), None
    for _ in range(100):
        query = TemporalQuery(Query(), Window("before", until), last_n=1000)
        [evolution], part = paged([store.answer(query)], query)
        found |= _seen(evolution)
        if part is None:
            break
        assert (part.start, part.size) == (instant.show(until), "1000")
        until = part.end[:-1]
    assert found == _everything(store)


@given(stores, stores, st.none() | st.integers(1, 40))
def test_an_answer_hides_nothing_of_the_time_that_it_covers(a: Store, b: Store, last_n: int | None) -> None:
    query = TemporalQuery(Query(), Window("between", at(2), at(28)), last_n)
    found, part = paged([a.answer(query), b.answer(query)], query)
    for store, evolution in zip((a, b), found, strict=True):
        for name, many in evolution.attrs.items():
            assert len(many) <= MOST
            assert (name in evolution.emptied) == (not many)
            wanted = [at(second) for second in sorted(store.times[name]) if 2 <= second < 28]
            if last_n:
                wanted = [time for time in wanted[::-1] if time in sorted(set(wanted))[-last_n:]]
            assert [one["observedAt"] for one in many] == wanted[: len(many)]
            assert all(part is not None and _is_outside(time, part, query) for time in wanted[len(many) :])


def _is_outside(time: str, part: Part, query: TemporalQuery) -> bool:
    """Forwards, the very end belongs to what comes next, too."""
    end = part.end[:-1]
    return instant.floor(time) < end if query.is_backwards else instant.floor(time) >= end


SERIES = [instance(n // 3, n) | ({} if n % 3 == 0 else {"datasetId": f"urn:d:{n % 3}"}) for n in range(9)]


@pytest.mark.clause("5.7.4.4")
@given(st.permutations(SERIES), st.integers(1, 4))
def test_the_last_times_are_the_same_whatever_was_written_first(many: list[Instance], last_n: int) -> None:
    newest_first = sorted(many, key=lambda one: str(one["observedAt"]), reverse=True)
    found = latest(newest_first, last_n, Window())
    last = [one for n in (2, 1, 0) for one in SERIES[3 * n : 3 * n + 3]]
    assert found == last[: 3 * last_n]
    assert times(found, Window()) == min(last_n, 3)


def test_of_one_series_the_newest_of_one_time_comes_first() -> None:
    many = [instance(2, 2), instance(2, 1), instance(1, 0)]
    assert latest(many, 1, None) == many[:2]
    assert latest(many, 2, None) == many
    assert latest([], 2, None) == []


def test_instances_of_one_time_are_not_parted_backwards() -> None:
    many = [instance(3), instance(2), instance(2, 1), instance(1)]
    backwards, forwards = TemporalQuery(Query(), None, 9), TemporalQuery(Query())
    assert fit(many, 2, backwards) == (many[:1], True)
    assert fit(many, 3, backwards) == (many[:3], True)
    assert fit(many, 4, backwards) == (many, False)
    assert fit(many[1:], 1, backwards) == (many[1:2], True), "unless nothing would be left"
    assert fit(many[::-1], 2, forwards) == (many[:1:-1], True), "who goes on gets both, for after includes"


@pytest.mark.parametrize(
    ("window", "last_n", "part"),
    [
        (None, None, Part(at(1) + "Z", at(4) + "Z", "*")),
        (Window("before", at(40)), None, Part(at(1) + "Z", at(4) + "Z", "*")),
        (Window("after", at(0)), None, Part(at(0) + "Z", at(4) + "Z", "*")),
        (Window("between", at(0), at(50)), None, Part(at(0) + "Z", at(4) + "Z", "*")),
        (None, 9, Part(at(12) + "Z", at(9) + "Z", "9")),
        (Window("before", at(40)), 9, Part(at(40) + "Z", at(9) + "Z", "9")),
        (Window("after", at(0)), 9, Part(at(12) + "Z", at(9) + "Z", "9")),
        (Window("between", at(0), at(50)), 9, Part(at(50) + "Z", at(9) + "Z", "9")),
    ],
)
def test_the_range_follows_the_relation_and_the_direction(
    window: Window | None, last_n: int | None, part: Part
) -> None:
    query = TemporalQuery(Query(), window, last_n)
    assert paged([Store({"a": list(range(1, 13)), "b": [2, 11]}).answer(query)], query)[1] == part


def test_an_attribute_that_begins_where_the_answer_ends_is_empty() -> None:
    query = TemporalQuery(Query(), Window("after", at(0)))
    [evolution], _ = paged([Store({"a": list(range(10)), "b": [20, 21]}).answer(query)], query)
    assert evolution.attrs["b"] == []
    assert evolution.emptied == {"b": "Property"}
