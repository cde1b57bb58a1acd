"""Notifications that were given up, on a real MongoDB."""

import asyncio
from collections.abc import Sequence

import pytest

from broker.core import instant
from broker.core.change import Change
from broker.ports.changes import Entry, Settled, Triggered
from broker.store.pending.dead_letters import MongoDeadLetters
from broker.store.pending.reaper import Reaper
from tests.clocks import SetClock
from tests.store.pending.test_outbox import ME, World, entry, world

__all__ = ["world"]


class Sink:
    """Who is told of what is due again."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.entries: list[Entry] = []
        self.whole: list[bool] = []

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        self.epochs.append(epoch)

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        return []

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        self.entries.append(entry)
        self.whole.append(is_whole)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def dead_letters(world: World, sink: Sink) -> MongoDeadLetters:
    client = world.tenant.outbox.database.client
    return MongoDeadLetters(client, world.tenants, sink, SetClock(lambda: 1000), ME)


async def give_up(world: World, *stamps: int, who: str = "a") -> None:
    """Entries that were given up for a subscription."""
    entries = [entry(stamp) for stamp in stamps]
    await world.outbox.settle("", Settled(dead_letters=[(one, who, f"reason {one.rev}") for one in entries]))


async def test_they_are_shown_in_order_page_by_page(world: World, dead_letters: MongoDeadLetters) -> None:
    await give_up(world, 3, 1, 2)
    await give_up(world, 9, who="ab")
    assert await dead_letters.count("", "a") == 3
    assert [one.reason for one in await dead_letters.find("", "a", 2, 0)] == ["reason 1", "reason 2"]
    [last] = await dead_letters.find("", "a", 2, 2)
    assert (last.id, last.entity) == (f"{3:016x}{ME}", "urn:x:1")
    assert last.changed_at == instant.of_micros(30)
    assert last.given_up_at > "2026"


async def test_what_is_settled_twice_is_kept_once(world: World, dead_letters: MongoDeadLetters) -> None:
    await give_up(world, 1)
    await give_up(world, 1)
    assert await dead_letters.count("", "a") == 1


async def test_no_more_are_kept_than_so_many(world: World, dead_letters: MongoDeadLetters) -> None:
    """The store of these tests keeps four; MongoDB removes those that are too old."""
    for stamp in range(1, 7):
        await give_up(world, stamp)
    assert [one.reason for one in await dead_letters.find("", "a", 9, 0)] == [
        f"reason {n}" for n in (3, 4, 5, 6)
    ]
    [index] = [one async for one in await world.tenant.undelivered.list_indexes() if one["name"] != "_id_"]
    assert (dict(index["key"]), index["expireAfterSeconds"]) == ({"expires": 1}, 0)


async def test_a_replay_makes_them_due_as_new(
    world: World, dead_letters: MongoDeadLetters, sink: Sink
) -> None:
    await give_up(world, 1, 2)
    await give_up(world, 3, who="b")
    assert await dead_letters.replay("", "a", None) == 2
    assert sink.epochs == [0], "they are told to who knows the subscriptions"
    assert [one.rev for one in sink.entries] == [1000, 1001]
    assert [one.at for one in sink.entries] == [1000, 1000]
    told = [(one.entity, one.previous) for one in sink.entries]
    assert told == [(one.entity, one.previous) for one in (entry(1), entry(2))]
    assert all(one.subscriptions == {"a"} and one.by == ME for one in sink.entries)
    assert sink.whole == [False, False], "there may be others before them"
    loaded = (await world.load("urn:x:1", subscriptions="a"))["urn:x:1"].entries
    assert loaded == sink.entries
    assert await world.outbox.survey("", "", 9) == [("urn:x:1", {"a"})]
    assert await dead_letters.count("", "a") == 0
    assert await dead_letters.count("", "b") == 1


async def test_one_alone(world: World, dead_letters: MongoDeadLetters, sink: Sink) -> None:
    await give_up(world, 1, 2, 3)
    first, second, third = await dead_letters.find("", "a", 9, 0)
    assert await dead_letters.replay("", "a", second.id) == 1
    assert await dead_letters.replay("", "a", second.id) == 0
    assert await dead_letters.delete("", "a", first.id) == 1
    assert await dead_letters.delete("", "b", third.id) == 0
    assert [one.id for one in await dead_letters.find("", "a", 9, 0)] == [third.id]
    assert len(sink.entries) == 1
    assert await dead_letters.delete("", "a", None) == 1


async def test_what_is_replayed_comes_after_all_that_the_entity_has_had_since(
    world: World, dead_letters: MongoDeadLetters, sink: Sink
) -> None:
    """Whatever the clock says, and whether its document is there: others learn from it where to look."""
    await world.hold("urn:x:1", entry(5000, due="a"))
    await world.tenant.entities.update_one({"_id": "urn:x:1"}, {"$set": {"rev": 5000}})
    await give_up(world, 1, 2)
    await give_up(world, 3, who="b")
    assert await dead_letters.replay("", "a", None) == 2
    loaded = (await world.load("urn:x:1", subscriptions="a"))["urn:x:1"].entries
    assert [one.rev for one in loaded] == [5000, *(one.rev for one in sink.entries)]
    document = await world.tenant.entities.find_one({"_id": "urn:x:1"})
    assert document is not None
    assert (document["ov"], document["rev"] >= loaded[-1].rev, "gone" in document) == (True, True, False)


async def test_what_is_replayed_of_an_entity_without_a_document_is_found_and_leaves_nothing_behind(
    world: World, dead_letters: MongoDeadLetters, sink: Sink
) -> None:
    await give_up(world, 1)
    assert await dead_letters.replay("", "a", None) == 1
    await Reaper(world.tenants).reap("")
    assert [one.rev for one in (await world.load("urn:x:1", subscriptions="a"))["urn:x:1"].entries] == [1000]
    await world.outbox.settle("", Settled({"urn:x:1": [sink.entries[0].id]}))
    await Reaper(world.tenants).reap("")
    assert await world.tenant.entities.find_one({"_id": "urn:x:1"}) is None


async def test_the_reaper_never_hides_what_is_replayed(
    world: World, dead_letters: MongoDeadLetters, sink: Sink
) -> None:
    """It comes by all the time, and must not look between the mark on a document and what it is for."""
    reaper, done = Reaper(world.tenants), False
    await world.hold("urn:x:1", type=["T"])

    async def reap() -> None:
        while not done:
            await reaper.reap("")

    reaping = asyncio.create_task(reap())
    for rev in range(1, 40):
        await give_up(world, rev)
        assert await dead_letters.replay("", "a", None) == 1
        loaded = (await world.load("urn:x:1", subscriptions="a"))["urn:x:1"].entries
        assert [one.id for one in loaded] == [sink.entries[-1].id]
        await world.outbox.settle("", Settled({"urn:x:1": [sink.entries[-1].id]}))
    done = True
    await reaping


async def test_two_who_replay_at_once_make_one_of_each_due(
    world: World, dead_letters: MongoDeadLetters, sink: Sink
) -> None:
    await give_up(world, *range(1, 5))
    other = MongoDeadLetters(
        world.tenant.outbox.database.client, world.tenants, sink, SetClock(lambda: 2000), "b" * 16
    )
    counts = await asyncio.gather(*(one.replay("", "a", None) for one in (dead_letters, other)))
    assert sum(counts) == len(sink.entries) == await world.outbox.count("") == 4
