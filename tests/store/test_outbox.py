"""The outbox on a real MongoDB."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from broker.core import Entity
from broker.ports.changes import Entry, Settled, Tally
from broker.store.client import open_database
from broker.store.entries import stored
from broker.store.outbox import MongoOutbox
from broker.store.tenants import Tenant, Tenants
from broker.store.undelivered import Kept

ME, OTHER = "a" * 16, "b" * 16


class Store:
    """The outbox of a process, and the collections behind it."""

    def __init__(self, tenants: Tenants, tenant: Tenant) -> None:
        self.tenants, self.tenant = tenants, tenant
        # The outbox writes in a hurry; what it wrote is seen at once by who does not ask for the majority.
        self.entries = tenant.outbox.with_options(read_concern=ReadConcern("local"))
        self.outbox = MongoOutbox(tenants, ME, Kept(60, 4))

    async def add(self, stamp: int, of: str = "1", due: str = "a", by: str = ME) -> Entry:
        """An entry, committed."""
        one = entry(stamp, of, due, by)
        durably = self.tenant.outbox.with_options(write_concern=WriteConcern("majority"))
        await durably.insert_one(stored(one, by))
        return one

    async def left(self) -> dict[int, set[str]]:
        """What is not told, by stamp."""
        return {one["stamp"]: set(one["due"]) async for one in self.entries.find()}


def entry(stamp: int, of: str = "1", due: str = "a", by: str = ME) -> Entry:
    attrs = {"https://a.b/c": [{"type": "Property", "value": {"$x": 1}}]}
    entity: Entity = {"id": f"urn:x:{of}", "type": ["T"], "attrs": attrs}
    return Entry(f"{stamp:016x}{by}", "", stamp, entity, set(due), time=stamp)


@pytest.fixture
async def store(mongo_uri: str) -> AsyncIterator[Store]:
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
        tenants = Tenants(client, f"o{secrets.token_hex(4)}")
        yield Store(tenants, await tenants.obtain(""))


async def test_an_entry_comes_back_as_it_was(store: Store) -> None:
    one = await store.add(5, due="ab")
    [back] = await store.outbox.mine("", "", (), 10)
    assert (back.id, back.stamp, back.entity, back.due) == (one.id, 5, one.entity, {"a", "b"})
    assert not back.foreign, "this process made it"
    assert back.previous is None
    was = {"https://a.b/c": [{"type": "JsonProperty", "json": {"a.b": {"$x": 2}}, "attrs": {"a.b:c": []}}]}
    await store.entries.insert_one(stored(replace(one, id=f"6{ME}", previous=was), ME))
    [_, back] = await store.outbox.mine("", "", (), 10)
    assert back.previous == was


async def test_what_is_mine_comes_in_order_from_an_id_on(store: Store) -> None:
    entries = [await store.add(stamp, due="ab"[stamp % 2]) for stamp in range(9, 0, -1)][::-1]
    await store.add(3, by=OTHER)
    page = await store.outbox.mine("", entries[2].id, (), 3)
    assert [one.stamp for one in page] == [3, 4, 5]
    rest = await store.outbox.mine("", page[-1].id + "\0", (), 10)
    assert [one.stamp for one in rest] == [6, 7, 8, 9]
    only = await store.outbox.mine("", "", ["a", "x"], 10)
    assert [one.stamp for one in only] == [2, 4, 6, 8]


async def test_what_was_inherited_is_foreign(store: Store) -> None:
    one = await store.add(1, by=OTHER)
    durably = store.tenant.outbox.with_options(write_concern=WriteConcern("majority"))
    await durably.update_one({"_id": one.id}, {"$set": {"by": ME}})
    [back] = await store.outbox.mine("", "", (), 10)
    assert back.foreign


async def test_an_entry_waits_for_earlier_ones_of_others_due_to_the_same(store: Store) -> None:
    await store.add(5, "1", "a", by=OTHER)
    await store.add(2, "2", "b", by=OTHER)
    await store.add(1, "3", "a")
    asked = [entry(6), entry(4), entry(7, "1", "b"), entry(8, "2", "ab"), entry(9, "3")]
    assert await store.outbox.blocked("", asked) == {asked[0].id, asked[3].id}


async def test_what_was_told_goes_and_the_rest_stays(store: Store) -> None:
    one, two, three = [await store.add(stamp, due="ab") for stamp in (1, 2, 3)]
    tally = Tally(2, 1, "t2", "t1", "t2")
    await store.outbox.settle("", Settled(told={two.id: ["a"]}, finished=[one.id], tallies={"a": tally}))
    assert await store.left() == {2: {"b"}, 3: {"a", "b"}}
    await store.outbox.settle("", Settled(tallies={"a": Tally(1, 0, "t0", "t3")}, told={three.id: ["x"]}))
    tallies = store.tenant.tallies.with_options(read_concern=ReadConcern("local"))
    found = await tallies.find_one({"_id": "a"})
    assert found == {
        "_id": "a", "sent": 3, "failed": 1, "notification": "t2", "success": "t3", "failure": "t2",
    }  # fmt: skip


async def test_an_entry_whose_ends_come_apart_does_not_stay_for_ever(store: Store) -> None:
    """Two lanes have a copy each; neither of them sees that the other one is through."""
    one = await store.add(1, due="ab")
    await store.outbox.settle("", Settled(told={one.id: ["a"]}))
    await store.outbox.settle("", Settled(told={one.id: ["b"]}))
    assert await store.left() == {}
    two = await store.add(2, due="ab")
    await store.outbox.settle("", Settled(told={two.id: ["b", "a"]}))
    assert await store.left() == {}


async def test_settling_twice_does_no_harm(store: Store) -> None:
    one, two = await store.add(1), await store.add(2, due="ab")
    settled = Settled(told={two.id: ["a"]}, finished=[one.id])
    await store.outbox.settle("", settled)
    await store.outbox.settle("", settled)
    assert await store.left() == {2: {"b"}}


async def test_what_is_due_to_a_subscription_that_is_gone_is_forgotten(store: Store) -> None:
    for stamp, due in ((1, "a"), (2, "ab"), (3, "b")):
        await store.add(stamp, due=due)
    await store.add(4, due="a", by=OTHER)
    await store.outbox.forget("", "a")
    assert await store.left() == {2: {"b"}, 3: {"b"}, 4: {"a"}}
