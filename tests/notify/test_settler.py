"""The settler: what is over is written down, in batches, whatever the database says, and never forgotten."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from broker.core.delivery.effects import Settle
from broker.core.errors import Unavailable
from broker.notify import insist
from broker.notify import settler as module
from broker.notify.backlog import Backlog
from broker.notify.settler import Settler
from broker.ports.changes import Entry
from tests.notify.some import Outbox, entry, until


class StreamTable:
    """A settler, its outbox, and what it said that it had written."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.done: list[Settle] = []
        self.settler = Settler("", self.outbox, Backlog(self.outbox, 1000), self.note)

    def note(self, effects: Sequence[Settle]) -> None:
        """These are written."""
        self.done += effects

    def over(self, one: Entry, who: str = "a", reason: str | None = None) -> None:
        """An entry is over for a subscription."""
        name = f"urn:s:{who}"
        one.subscriptions.discard(name)
        self.settler.settle(Settle(one, name, None, reason, not one.subscriptions))

    def add(self, rev: int, due: Sequence[str] = ("a",)) -> Entry:
        """An entry that is pending."""
        return self.outbox.add(entry(rev, due=due))[0]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is pending any more."""
        return not self.outbox.entries


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> StreamTable:
    monkeypatch.setattr(insist, "_FIRST", 0.001)
    monkeypatch.setattr(insist, "_LONGEST", 0.002)
    return StreamTable()


async def test_what_comes_together_is_written_together(book: StreamTable) -> None:
    for rev in range(10):
        book.over(book.add(rev))
        book.settler.attempt("urn:s:a", f"t{rev}", failed=rev == 3)
    await book.settler.close()
    [settled] = book.outbox.settled
    assert len(settled.finished["urn:x:1"]) == 10
    tally = settled.tallies["urn:s:a"]
    assert (tally.sent, tally.failed, tally.last_failure, tally.last_success) == (10, 1, "t3", "t9")
    assert book.is_empty
    assert len(book.done) == 10


async def test_an_entry_is_finished_when_all_have_it(book: StreamTable) -> None:
    two = book.add(1, ("a", "b"))
    book.over(two)
    await book.settler.close()
    [left] = book.outbox.entries.values()
    assert left.subscriptions == {"urn:s:b"}
    book.over(two, "b", reason="too old")
    await book.settler.close()
    assert book.is_empty
    [dead] = book.outbox.settled[-1].dead_letters
    assert (dead[0].id, dead[1:]) == (two.id, ("urn:s:b", "too old"))


async def test_copies_of_an_entry_end_it_together(book: StreamTable) -> None:
    """Each of them is due to somebody still, as far as it knows."""
    first = book.add(1, ("a", "b"))
    book.over(first, "a")
    book.over(entry(1, due=("a", "b")), "b")
    await book.settler.close()
    assert book.is_empty


def away() -> Exception:
    return Unavailable("away")


def refused() -> Exception:
    return ValueError("no")


@pytest.mark.parametrize("make_error", [away, refused])
@pytest.mark.parametrize("member", ["error", "lost"])
async def test_nothing_is_forgotten(
    book: StreamTable, member: str, make_error: Callable[[], Exception]
) -> None:
    """However often it is refused, or the answer is lost."""
    setattr(book.outbox, member, make_error())
    for rev in range(3):
        book.over(book.add(rev))
        await asyncio.sleep(0.02)
    assert book.done == [], "it is not known to be written"
    setattr(book.outbox, member, None)
    await until(lambda: len(book.done) == 3)
    assert book.is_empty


async def test_a_stop_does_not_wait_for_a_database_that_is_away(
    book: StreamTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LAST", 0.01)
    book.outbox.error = Unavailable("away")
    book.over(book.add(1))
    async with asyncio.timeout(1):
        await book.settler.close()
    assert book.done == []


async def test_tallies_are_written_a_few_times_a_second(
    book: StreamTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many small batches of what is over; the counts go along with few of them, and none is forgotten."""
    monkeypatch.setattr(module, "_GATHER", 0.001)
    monkeypatch.setattr(module, "_TALLY", 0.1)
    for rev in range(50):
        book.over(book.add(rev))
        book.settler.attempt("urn:s:a", f"t{rev}", failed=False)
        await asyncio.sleep(0.003)
    await until(lambda: book.settler._writing is None)
    assert book.is_empty
    counted = [one.tallies["urn:s:a"].sent for one in book.outbox.settled if one.tallies]
    assert sum(counted) == 50
    assert len(counted) < len(book.outbox.settled)


async def test_who_asks_for_the_tallies_gets_them_at_once(
    book: StreamTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TALLY", 60)
    for n in range(2):
        book.settler.attempt("urn:s:a", "t", failed=False)
        await book.settler.written()
        assert sum(one.tallies["urn:s:a"].sent for one in book.outbox.settled if one.tallies) == n + 1
