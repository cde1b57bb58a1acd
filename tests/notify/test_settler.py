"""The settler: what was told is written down, in batches, whatever the database says."""

import asyncio

import pytest

from broker.core.errors import Unavailable
from broker.notify import settler as module
from broker.notify.backlog import Backlog
from broker.notify.settler import Settler
from tests.notify.some import Outbox, entry, until


async def test_what_comes_together_is_written_together() -> None:
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    for stamp in range(10):
        settler.told(outbox.add(entry(stamp)), "urn:s:a")
        settler.attempt("", "urn:s:a", f"t{stamp}", failed=stamp == 3)
    await settler.close()
    [settled] = outbox.settled
    assert len(settled.finished) == 10
    tally = settled.tallies["urn:s:a"]
    assert (tally.sent, tally.failed, tally.last_failure, tally.last_success) == (10, 1, "t3", "t9")
    assert outbox.entries == {}


async def test_an_entry_is_finished_when_all_are_told() -> None:
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    two = outbox.add(entry(1, due=("a", "b")))
    settler.told(two, "urn:s:a")
    await settler.close()
    assert outbox.entries[two.id].due == {"urn:s:b"}
    settler.told(two, "urn:s:b")
    await settler.close()
    assert outbox.entries == {}


async def test_both_told_in_one_batch_is_one_removal() -> None:
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    two = outbox.add(entry(1, due=("a", "b")))
    settler.told(two, "urn:s:a")
    settler.told(two, "urn:s:b", given_up="too old")
    await settler.close()
    [settled] = outbox.settled
    assert settled.finished == [two.id]
    assert settled.told == {}
    assert [(one.id, who, why) for one, who, why in settled.given_up] == [(two.id, "urn:s:b", "too old")]


async def test_while_the_database_is_away_nothing_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    outbox = Outbox()
    outbox.error = Unavailable("away")
    settler = Settler(outbox, Backlog(outbox, 1000))
    for stamp in range(3):
        settler.told(outbox.add(entry(stamp)), "urn:s:a")
        await asyncio.sleep(0.005)
    outbox.error = None
    await until(lambda: not outbox.entries)
    assert sorted(one for settled in outbox.settled for one in settled.finished) == [
        entry(stamp).id for stamp in range(3)
    ]


async def test_what_the_database_refuses_is_not_in_the_way_of_the_rest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    outbox = Outbox()
    outbox.error = ValueError("no")
    settler = Settler(outbox, Backlog(outbox, 1000))
    settler.told(outbox.add(entry(1)), "urn:s:a")
    await until(lambda: settler._writing is None)
    assert "refuses" in caplog.text
    outbox.error = None
    later = outbox.add(entry(2))
    settler.told(later, "urn:s:a")
    await until(lambda: later.id not in outbox.entries)


async def test_a_stop_does_not_wait_for_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAST", 0.01)
    outbox = Outbox()
    outbox.error = Unavailable("away")
    settler = Settler(outbox, Backlog(outbox, 1000))
    settler.told(outbox.add(entry(1)), "urn:s:a")
    async with asyncio.timeout(1):
        await settler.close()


async def test_tallies_are_written_a_few_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small batches of what was told; the counts go along with few of them, and none is forgotten."""
    monkeypatch.setattr(module, "_GATHER", 0.001)
    monkeypatch.setattr(module, "_TALLY", 0.1)
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    for stamp in range(50):
        settler.told(outbox.add(entry(stamp)), "urn:s:a")
        settler.attempt("", "urn:s:a", f"t{stamp}", failed=False)
        await asyncio.sleep(0.003)
    await until(lambda: settler._writing is None)
    assert outbox.entries == {}
    counted = [one.tallies["urn:s:a"].sent for one in outbox.settled if one.tallies]
    assert sum(counted) == 50
    assert len(counted) < len(outbox.settled)


async def test_who_asks_for_the_tallies_gets_them_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TALLY", 60)
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    for n in range(2):
        settler.attempt("", "urn:s:a", "t", failed=False)
        await settler.written()
        assert sum(one.tallies["urn:s:a"].sent for one in outbox.settled if one.tallies) == n + 1


async def test_what_was_told_is_known_to_who_reads_the_outbox_meanwhile() -> None:
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    first, second, third = (outbox.add(entry(stamp)) for stamp in (1, 2, 3))
    settler.told(first, "urn:s:a")
    with settler.watched() as told:
        settler.told(second, "urn:s:a")
        await until(lambda: settler._writing is None)
    settler.told(third, "urn:s:a")
    assert told == {(first.id, "urn:s:a"), (second.id, "urn:s:a")}
    await until(lambda: settler._writing is None)
    with settler.watched() as told:
        assert told == set(), "what is written down cannot be read any more"


async def test_what_others_wait_for_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TALLY", 60.0)
    outbox = Outbox()
    settler = Settler(outbox, Backlog(outbox, 1000))
    for _ in range(2):  # the second tally has to wait for its time
        settler.attempt("", "urn:s:a", "t", failed=False)
        await asyncio.sleep(0.01)
    settler.told(outbox.add(entry(1)), "urn:s:a")
    await asyncio.sleep(0.01)
    assert outbox.entries, "nobody is known to wait for it"
    contended = outbox.add(entry(2))
    contended.has_waited = True
    settler.told(contended, "urn:s:a")
    await until(lambda: not outbox.entries)
    await settler.close()
