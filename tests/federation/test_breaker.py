"""Circuits and cooldowns (6.3.17, 5.2.34), at times that the test gives."""

import pytest

from broker.core.federation.source import Source
from broker.federation import breaker
from broker.federation.breaker import Attempt, Breaker, Cooldowns, Outcome

pytestmark = pytest.mark.clause("6.3.17")

KEY, OTHER = ("http://a", ""), ("http://a", "t")


def tried(circuits: Breaker, outcome: Outcome, now: float, key: breaker.Key = KEY) -> bool:
    """Whether a request at this moment was let through; it then has this outcome."""
    if (attempt := circuits.admit(key, now)) is not None:
        circuits.settle(attempt, outcome, now)
    return attempt is not None


def opened(now: float = 0.0) -> Breaker:
    """A breaker whose circuit was opened at this moment."""
    circuits = Breaker()
    assert all(tried(circuits, Outcome.SILENT, now) for _ in range(3))
    return circuits


def test_three_silences_in_a_row_open_a_circuit_for_a_second() -> None:
    circuits = opened()
    assert not tried(circuits, Outcome.ANSWERED, 0.99)
    assert tried(circuits, Outcome.ANSWERED, 1.0)


def test_an_answer_between_them_counts_from_anew() -> None:
    circuits = Breaker()
    for outcome in (Outcome.SILENT, Outcome.SILENT, Outcome.ANSWERED, Outcome.SILENT, Outcome.SILENT):
        assert tried(circuits, outcome, 0)
    assert tried(circuits, Outcome.SILENT, 0)
    assert not tried(circuits, Outcome.SILENT, 0)


def test_refused_connections_neither_count_nor_close() -> None:
    circuits = Breaker()
    for outcome in (Outcome.SILENT, Outcome.UNKNOWN, Outcome.SILENT, Outcome.UNKNOWN, Outcome.SILENT):
        assert tried(circuits, outcome, 0)
    assert not tried(circuits, Outcome.SILENT, 0)


def test_tenants_have_their_own_circuits() -> None:
    assert tried(opened(), Outcome.ANSWERED, 0, OTHER)


def test_one_probe_at_a_time() -> None:
    circuits = opened()
    probe = circuits.admit(KEY, 1.0)
    assert probe == Attempt(KEY, is_probe=True)
    assert circuits.admit(KEY, 5.0) is None
    circuits.settle(probe, Outcome.ANSWERED, 5.0)
    assert [circuits.admit(KEY, 5.0) for _ in range(2)] == [Attempt(KEY, is_probe=False)] * 2


def test_pauses_double_up_to_half_a_minute() -> None:
    circuits, now, pauses = opened(), 0.0, []
    for _ in range(7):
        pause = next(p for p in (1, 2, 4, 8, 16, 30, 60) if circuits.admit(KEY, now + p) is not None)
        now += pause
        circuits.settle(Attempt(KEY, is_probe=True), Outcome.SILENT, now)
        pauses.append(pause)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_probe_without_outcome_is_followed_by_another() -> None:
    circuits = opened()
    assert tried(circuits, Outcome.UNKNOWN, 1.0)
    assert circuits.admit(KEY, 1.0) == Attempt(KEY, is_probe=True)


def test_late_silences_of_earlier_requests_do_not_prolong_it() -> None:
    circuits = Breaker()
    attempts = [circuits.admit(KEY, 0) for _ in range(8)]
    for attempt in attempts:
        assert attempt is not None
        circuits.settle(attempt, Outcome.SILENT, 0)
    assert tried(circuits, Outcome.ANSWERED, 1.0)


def test_an_answer_to_an_earlier_request_closes_it() -> None:
    circuits = Breaker()
    early = circuits.admit(KEY, 0)
    for _ in range(3):
        tried(circuits, Outcome.SILENT, 0)
    assert early is not None
    circuits.settle(early, Outcome.ANSWERED, 0.1)
    assert tried(circuits, Outcome.ANSWERED, 0.1)


def test_circuits_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "_MOST", 3)
    circuits = opened()
    for number in range(10):
        tried(circuits, Outcome.SILENT, 0.5, (f"http://{number}", ""))
    assert not tried(circuits, Outcome.SILENT, 0.5)  # an open one is kept
    assert len(circuits._circuits) <= 4


@pytest.mark.clause("5.2.34")
def test_cooldowns() -> None:
    cooldowns, one, other = Cooldowns(), Source("urn:r:1", "http://a"), Source("urn:r:2", "http://a")
    assert not cooldowns.is_cooling(one, 0)
    cooldowns.failed(one, 4, 0)
    assert cooldowns.is_cooling(one, 3.9)
    assert not cooldowns.is_cooling(other, 3.9)
    assert not cooldowns.is_cooling(one, 4)


@pytest.mark.clause("5.2.34")
def test_cooldowns_are_of_one_registration_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "_MOST", 3)
    cooldowns = Cooldowns()
    of_tenants = [Source("urn:r:1", "http://a") for _ in range(10)]  # ids are unique in one tenant only
    for number, source in enumerate(of_tenants):
        cooldowns.failed(source, 1, number)
        assert not any(cooldowns.is_cooling(each, number + 0.5) for each in of_tenants[number + 1 :])
    assert cooldowns.is_cooling(of_tenants[9], 9.5)
    assert len(cooldowns._cooling) <= 3
