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
