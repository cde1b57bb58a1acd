"""What is pending, on a real MongoDB: in documents and in the outbox; read, settled, adopted, forgotten."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from broker.core.delivery.entry import Entry
from broker.ports.changes import Settled, Tally
from broker.ports.delivery import Pending, PendingRequest
from broker.store.pending import entries, outbox
from broker.store.pending.dead_letters import DeadLetterLimits
from broker.store.pending.outbox import MongoOutbox
from broker.store.pending.reaper import Reaper
from broker.store.wire.tenants import Tenant, Tenants

ME, OTHER = "a" * 16, "b" * 16
EVERYBODY = frozenset("stu")
N = "https://ex.org/n"


class World:
    """A tenant with entries, and the outbox of one process over it."""

    def __init__(self, tenants: Tenants, tenant: Tenant) -> None:
        self.tenants, self.tenant = tenants, tenant
        self.outbox = MongoOutbox(tenants, ME, DeadLetterLimits(60, 4))

    async def hold(self, entity: str, *its: Entry, **members: Any) -> None:
        """Puts entries into the document of an entity."""
        push = {"$push": {"o": {"$each": [entries.held(one) for one in its]}}, "$set": {"rev": 1, **members}}
        await self.tenant.entities.update_one({"_id": entity}, push, upsert=True)

    async def put_apart(self, *its: Entry) -> None:
        """Puts entries into the outbox."""
        await self.tenant.outbox.insert_many([entries.apart(one) for one in its])
        for one in its:
            mark = {"$set": {"ov": True}, "$setOnInsert": {"rev": 1, "gone": 1}}
            await self.tenant.entities.update_one({"_id": one.entity_id}, mark, upsert=True)

    async def load(
        self, *names: str, subscriptions: Iterable[str] = EVERYBODY, after: int = 0, limit: int = 100
    ) -> dict[str, Pending]:
        """What is pending of entities for subscriptions."""
        wanted = PendingRequest(frozenset(subscriptions), after, limit)
        return await self.outbox.load("", dict.fromkeys(names, wanted))

    async def pending(self, entity: str) -> list[tuple[int, list[str]]]:
        """The revisions of pending entries of an entity, and to whom they are due."""
        found = (await self.load(entity))[entity]
        assert found.is_whole
        return [(one.rev, sorted(one.subscriptions)) for one in found.entries]


@pytest.fixture
async def world(mongo_uri: str) -> AsyncIterator[World]:
    """An empty one."""
    async with AsyncMongoClient[dict[str, Any]](mongo_uri, serverMonitoringMode="poll") as client:
        tenants = Tenants(client, f"o{secrets.token_hex(4)}")
        yield World(tenants, await tenants.obtain(""))


def entry(rev: int, entity: str = "urn:x:1", due: Sequence[str] = ("s",), by: str = ME) -> Entry:
    state = {"id": entity, "type": ["T"], "attrs": {N: [{"type": "Property", "value": rev}]}}
    was = {N: [{"type": "Property", "value": rev - 1}]}
    return Entry(f"{rev:016x}{by}", "", entity, rev, rev * 10, by, set(due), state, was)


async def test_entries_come_back_as_they_were_in_order_wherever_they_lie(world: World) -> None:
    await world.put_apart(entry(2, by=OTHER), entry(1))
    await world.hold("urn:x:1", entry(3), entry(4))
    await world.hold("urn:x:2", entry(1, "urn:x:2"))
    found = await world.load("urn:x:1", "urn:x:2", "urn:x:none")
    expected = [entry(1), entry(2, by=OTHER), entry(3), entry(4)]
    assert found == {
        "urn:x:1": Pending(expected),
        "urn:x:2": Pending([entry(1, "urn:x:2")]),
        "urn:x:none": Pending([]),
    }


async def test_only_what_is_wanted_is_loaded(world: World) -> None:
    """Of these subscriptions, and what came after what is known."""
    await world.put_apart(entry(1, due="s"), entry(2, due="t"), entry(3, due="st"))
    await world.hold("urn:x:1", entry(4, due="t"), entry(5, due="s"), entry(6, due="u"))
    loaded = [
        [one.rev for one in (await world.load("urn:x:1", subscriptions=who, after=after))["urn:x:1"].entries]
        for who, after in (("s", 0), ("s", 1), ("st", 3), ("su", 4), ("st", 6), ("", 0))
    ]
    assert loaded == [[1, 3, 5], [3, 5], [4, 5], [5, 6], [], []]
    each = {"urn:x:1": PendingRequest({"s"}, 4, 9), "urn:x:2": PendingRequest({"t"}, 0, 9)}
    await world.hold("urn:x:2", entry(1, "urn:x:2", "t"), entry(5, "urn:x:2", "s"))
    found = await world.outbox.load("", each)
    assert {name: [one.rev for one in its.entries] for name, its in found.items()} == {
        "urn:x:1": [5],
        "urn:x:2": [1],
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 7])
async def test_no_more_is_loaded_than_so_much_and_the_rest_follows(world: World, limit: int) -> None:
    await world.put_apart(*(entry(rev) for rev in (1, 2, 3)))
    await world.hold("urn:x:1", *(entry(rev) for rev in (4, 5, 6)))
    known: list[int] = []
    while True:
        found = (await world.load("urn:x:1", after=max(known, default=0), limit=limit))["urn:x:1"]
        known += [one.rev for one in found.entries]
        assert len(found.entries) <= limit
        assert found.is_whole is (len(known) == 6)
        if found.is_whole:
            break
    assert known == [1, 2, 3, 4, 5, 6]


async def test_nothing_is_missing_while_entries_move_out_of_their_document(world: World) -> None:
    """Whatever a load shows, it shows all that was there when it began."""
    await world.hold("urn:x:1", *(entry(rev) for rev in range(1, 9)))
    document = await world.tenant.entities.find_one({"_id": "urn:x:1"})
    assert document is not None
    moving = asyncio.create_task(_move(world, document["o"]))
    loads = 0
    while not moving.done() or not loads:
        found = (await world.load("urn:x:1"))["urn:x:1"]
        assert [one.rev for one in found.entries] == [1, 2, 3, 4, 5, 6, 7, 8]
        loads += 1
    await moving


async def _move(world: World, held: list[dict[str, Any]]) -> None:
    """One entry after another, as transactions do."""
    async with world.tenant.entities.database.client.start_session() as session:
        for one in held:
            async with await session.start_transaction():
                pull = {"$pull": {"o": {"id": one["id"]}}, "$set": {"ov": True}, "$inc": {"rev": 1}}
                await world.tenant.entities.update_one({"_id": "urn:x:1"}, pull, session=session)
                await world.tenant.outbox.insert_one(entries.moved(one, "urn:x:1"), session=session)
            await asyncio.sleep(random.uniform(0, 0.01))


async def test_what_was_seen_in_both_places_is_one(world: World) -> None:
    await world.hold("urn:x:1", entry(1))
    await world.put_apart(entry(1), entry(2))
    assert await world.pending("urn:x:1") == [(1, ["s"]), (2, ["s"])]


async def test_pages_are_of_what_this_process_has_for_these_subscriptions(world: World) -> None:
    for n in range(5):
        await world.hold(f"urn:x:{n}", entry(1, f"urn:x:{n}", ["s", "t"] if n % 2 else ["t"]))
    await world.hold("urn:x:other", entry(1, "urn:x:other", by=OTHER))
    await world.put_apart(entry(1, "urn:x:9", ["s"]), entry(2, "urn:x:9", ["s"]))
    assert await world.outbox.page("", "", {"s"}, 10) == ["urn:x:1", "urn:x:3", "urn:x:9"]
    assert await world.outbox.page("", "urn:x:1", {"s"}, 1) == ["urn:x:3"]
    assert await world.outbox.page("", "urn:x:2", {"s", "t"}, 10) == ["urn:x:3", "urn:x:4", "urn:x:9"]
    assert await world.outbox.page("", "", {"nobody"}, 10) == []
    for after in ("", "urn:x:1", "urn:x:3", "urn:x:8"):
        pages = await world.outbox.page("", after, {"s", "t"}, 2)
        assert pages == [one for one in [*(f"urn:x:{n}" for n in range(5)), "urn:x:9"] if one > after][:2]


async def test_an_entry_of_this_process_due_to_others_puts_no_entity_on_a_page(world: World) -> None:
    """Nor one that is due to these subscriptions, but delivered by another process."""
    await world.hold("urn:x:1", entry(1, due="t"), entry(2, due="s", by=OTHER))
    assert await world.outbox.page("", "", {"s"}, 10) == []


async def test_a_survey_says_all_that_this_process_has_for_whom(world: World) -> None:
    await world.hold("urn:x:2", entry(3, "urn:x:2", "s"), entry(4, "urn:x:2", "t", by=OTHER))
    await world.put_apart(entry(1, "urn:x:2", "u"), entry(5, "urn:x:1", "st"), entry(1, "urn:x:3", by=OTHER))
    await world.hold("urn:x:4", entry(2, "urn:x:4", "t"))
    expected = [("urn:x:1", {"s", "t"}), ("urn:x:2", {"s", "u"}), ("urn:x:4", {"t"})]
    assert await world.outbox.survey("", "", 10) == expected
    assert await world.outbox.survey("", "", 2) == expected[:2]
    assert await world.outbox.survey("", "urn:x:1", 1) == expected[1:2]
    assert await world.outbox.survey("", "urn:x:4", 10) == []


async def test_what_is_over_goes_for_one_subscription_or_for_all(world: World) -> None:
    await world.hold("urn:x:1", entry(3, due="st"), entry(4, due="st"))
    await world.put_apart(entry(1, due="st"), entry(2, due="st"))
    await world.hold("urn:x:1", ov=True)
    first, second = entry(1).id, entry(2).id
    third, fourth = entry(3).id, entry(4).id
    partly = {"urn:x:1": {second: ["s"], fourth: ["t"]}}
    settled = Settled({"urn:x:1": [first, third]}, partly, {"s": Tally(2, 1, "a", "b", "c")})
    for _ in range(2):  # it may be done again
        await world.outbox.settle("", settled)
        assert await world.pending("urn:x:1") == [(2, ["t"]), (4, ["s"])]
    await world.outbox.settle("", Settled({}, {"urn:x:1": {second: ["t"], fourth: ["s"]}}))
    assert await world.pending("urn:x:1") == []
    assert await world.outbox.count("") == 0
    tally = await world.tenant.tallies.find_one({"_id": "s"})
    assert tally == {"_id": "s", "sent": 4, "failed": 2, "notification": "a", "success": "b", "failure": "c"}


async def test_entries_whose_ends_come_apart_do_not_stay_for_ever(world: World) -> None:
    """Two copies are in memory; neither of those who deliver them sees that the other one is through."""
    await world.put_apart(entry(1, due="st"))
    await world.hold("urn:x:1", entry(2, due="st"))
    for who in "st":
        partly = {"urn:x:1": {entry(1).id: [who], entry(2).id: [who]}}
        await world.outbox.settle("", Settled({}, partly))
    assert await world.pending("urn:x:1") == []
    assert await world.outbox.count("") == 0


async def test_what_is_over_goes_wherever_it_is_by_then(world: World) -> None:
    """It was loaded from the document, and has moved to the outbox since; another process has adopted it."""
    await world.put_apart(entry(1, due="st"), entry(2, due="st"))
    await outbox.adopt(world.tenant, ME, OTHER)
    settled = Settled({"urn:x:1": [entry(1).id]}, {"urn:x:1": {entry(2).id: ["s"]}})
    await world.outbox.settle("", settled)
    assert await world.pending("urn:x:1") == [(2, ["t"])]


async def test_times_of_tallies_never_go_back(world: World) -> None:
    await world.outbox.settle("", Settled(tallies={"s": Tally(2, 1, "t2", "t1", "t2")}))
    await world.outbox.settle("", Settled(tallies={"s": Tally(1, 0, "t0", "t3")}))
    tally = await world.tenant.tallies.find_one({"_id": "s"})
    assert tally == {
        "_id": "s",
        "sent": 3,
        "failed": 1,
        "notification": "t2",
        "success": "t3",
        "failure": "t2",
    }


async def test_dead_letters_are_kept_before_their_entries_go(world: World) -> None:
    await world.hold("urn:x:1", entry(1))
    await world.outbox.settle("", Settled({"urn:x:1": [entry(1).id]}, dead_letters=[(entry(1), "s", "gone")]))
    kept = await world.tenant.undelivered.find_one({})
    assert kept is not None
    assert (kept["_id"], kept["reason"], kept["e"]) == (f"s {entry(1).id}", "gone", "urn:x:1")
    assert await world.pending("urn:x:1") == []


async def test_an_heir_takes_over_what_the_dead_had_and_nothing_else(world: World) -> None:
    await world.hold("urn:x:1", entry(1, by=OTHER), entry(2), entry(3, by="c" * 16))
    await world.put_apart(entry(1, "urn:x:2", by=OTHER))
    assert await outbox.owners(world.tenant) == {ME, OTHER, "c" * 16}
    await outbox.adopt(world.tenant, OTHER, ME)
    assert await outbox.owners(world.tenant) == {ME, "c" * 16}
    found = await world.load("urn:x:1", "urn:x:2")
    assert [one.by for one in found["urn:x:1"].entries] == [ME, ME, "c" * 16]
    assert [one.by for one in found["urn:x:2"].entries] == [ME]


async def test_what_is_due_to_a_subscription_that_is_gone_is_forgotten(world: World) -> None:
    await world.hold("urn:x:1", entry(1, due="s"), entry(2, due="st"), entry(3, due="t"))
    await world.put_apart(entry(1, "urn:x:2", "s"), entry(2, "urn:x:2", "st"))
    await world.outbox.forget("", "s")
    assert await world.pending("urn:x:1") == [(2, ["t"]), (3, ["t"])]
    assert await world.pending("urn:x:2") == [(2, ["t"])]


async def test_documents_are_tidied_up_when_nothing_is_pending(world: World) -> None:
    await world.put_apart(entry(1, "urn:x:gone"), entry(2, "urn:x:busy"))
    await world.hold("urn:x:there", type=["T"], ov=True)
    await world.outbox.settle("", Settled({"urn:x:gone": [entry(1).id]}))
    reaper = Reaper(world.tenants)
    await reaper.reap("")
    left = {one["_id"]: one async for one in world.tenant.entities.find({"rev": {"$exists": True}})}
    assert set(left) == {"urn:x:busy", "urn:x:there"}
    assert "ov" not in left["urn:x:there"]
    assert left["urn:x:busy"]["ov"]
