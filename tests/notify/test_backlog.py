"""The backlog: counted without asking for each write, and refused where it is too long."""

import pytest

from broker.core.errors import Unavailable
from broker.notify import backlog as module
from broker.notify.backlog import Backlog
from tests.notify.some import OTHER, Outbox, entry


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def test_what_this_process_does_is_known_at_once(outbox: Outbox) -> None:
    backlog = Backlog(outbox, 3)
    for _ in range(3):
        backlog.admit("")
        backlog.added("")
    with pytest.raises(Unavailable, match="3 changes wait"):
        backlog.admit("")
    backlog.admit("another")
    backlog.removed("")
    backlog.admit("")
    assert outbox.asked == 0


async def test_what_others_do_is_known_by_counting(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PERIOD", 0)
    monkeypatch.setattr(module, "_SHARE", 0)
    backlog = Backlog(outbox, 3)
    entries = [outbox.add(entry(n, by=OTHER))[0] for n in range(3)]
    backlog.added("")
    await backlog.count()
    with pytest.raises(Unavailable):
        backlog.admit("")
    outbox.shelf.remove(entries[0])
    await backlog.count()
    backlog.admit("")


async def test_a_count_that_fails_forgets_nothing(outbox: Outbox) -> None:
    backlog = Backlog(outbox, 2)
    backlog.added("")
    backlog.added("")
    outbox.error = Unavailable("away")
    with pytest.raises(Unavailable, match="away"):
        await backlog.count()
    with pytest.raises(Unavailable, match="2 changes wait"):
        backlog.admit("")


async def test_counts_are_not_made_too_often(outbox: Outbox) -> None:
    backlog = Backlog(outbox, 2)
    backlog.added("")
    await backlog.count()
    outbox.add(entry(1))
    outbox.add(entry(2))
    backlog.added("")
    await backlog.count()
    backlog.admit("")
