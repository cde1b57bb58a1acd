"""Notifications that were given up, on a real MongoDB."""

from collections.abc import Sequence

import pytest

from broker.core import instant
from broker.core.change import Change
from broker.ports.changes import Due, Entry, Settled
from broker.store.pending.undelivered import MongoUndelivered
from tests.clocks import SetClock
from tests.store.test_outbox import ME, Store, entry, store

__all__ = ["store"]


class Sink:
    """Who is told of what is due again."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.entries: list[Entry] = []

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        self.epochs.append(epoch)

    def due(self, tenant: str, change: Change) -> list[Due]:
        return []

    def committed(self, entries: Sequence[Entry]) -> None:
        self.entries += entries


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def undelivered(store: Store, sink: Sink) -> MongoUndelivered:
    return MongoUndelivered(store.tenants, sink, SetClock(lambda: 1000), ME)


async def give_up(store: Store, *stamps: int, who: str = "a") -> None:
    """Entries that were given up for a subscription."""
    entries = [entry(stamp) for stamp in stamps]
    await store.outbox.settle("", Settled(given_up=[(one, who, f"reason {one.stamp}") for one in entries]))


async def test_they_are_shown_in_order_page_by_page(store: Store, undelivered: MongoUndelivered) -> None:
    await give_up(store, 3, 1, 2)
    await give_up(store, 9, who="ab")
    assert await undelivered.count("", "a") == 3
    assert [one.reason for one in await undelivered.find("", "a", 2, 0)] == ["reason 1", "reason 2"]
    [last] = await undelivered.find("", "a", 2, 2)
    assert (last.id, last.entity) == (f"{3:016x}{ME}", "urn:x:1")
    assert last.changed_at == instant.of_micros(3)
    assert last.given_up_at > "2026"


async def test_what_is_settled_twice_is_kept_once(store: Store, undelivered: MongoUndelivered) -> None:
    await give_up(store, 1)
    await give_up(store, 1)
    assert await undelivered.count("", "a") == 1


async def test_no_more_are_kept_than_so_many(store: Store, undelivered: MongoUndelivered) -> None:
    """The store of these tests keeps four; MongoDB removes those that are too old."""
    for stamp in range(1, 7):
        await give_up(store, stamp)
    assert [one.reason for one in await undelivered.find("", "a", 9, 0)] == [
        f"reason {n}" for n in (3, 4, 5, 6)
    ]
    [index] = [one async for one in await store.tenant.undelivered.list_indexes() if one["name"] != "_id_"]
    assert (dict(index["key"]), index["expireAfterSeconds"]) == ({"expires": 1}, 0)


async def test_a_replay_makes_them_due_as_new(
    store: Store, undelivered: MongoUndelivered, sink: Sink
) -> None:
    await give_up(store, 1, 2)
    await give_up(store, 3, who="b")
    assert await undelivered.replay("", "a", None) == 2
    assert sink.epochs == [0], "they are told to who knows the subscriptions"
    assert [one.stamp for one in sink.entries] == [1000, 1001]
    assert all(one.foreign and one.due == {"a"} and one.entity == entry(1).entity for one in sink.entries)
    assert await store.left() == {1000: {"a"}, 1001: {"a"}}
    assert [one.id for one in await store.outbox.mine("", "", (), 9)] == [one.id for one in sink.entries]
    assert await undelivered.count("", "a") == 0
    assert await undelivered.count("", "b") == 1


async def test_one_alone(store: Store, undelivered: MongoUndelivered, sink: Sink) -> None:
    await give_up(store, 1, 2, 3)
    first, second, third = await undelivered.find("", "a", 9, 0)
    assert await undelivered.replay("", "a", second.id) == 1
    assert await undelivered.replay("", "a", second.id) == 0
    assert await undelivered.delete("", "a", first.id) == 1
    assert await undelivered.delete("", "b", third.id) == 0
    assert [one.id for one in await undelivered.find("", "a", 9, 0)] == [third.id]
    assert len(sink.entries) == 1
    assert await undelivered.delete("", "a", None) == 1
