"""Leases: who is alive, and what becomes of what the dead leave behind."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from broker.store.background.lease import NOW
from broker.store.registry.processes import Processes, end_process
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants

LEASE = 1.0  # seconds


class Time:
    """The time of all processes and of the server: it stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1e9

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def move(self, seconds: float) -> None:
        """Later."""
        self.now += seconds
        NOW["$literal"] = self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The time of this test."""
    clock = Time()
    monkeypatch.setattr("broker.store.registry.processes.time", clock)
    monkeypatch.delitem(NOW, "$divide")
    monkeypatch.setitem(NOW, "$literal", clock.now)
    return clock


class Process:
    """A process in the list, with one session."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]], prefix: str) -> None:
        self.client, self.prefix, self.name = client, prefix, secrets.token_hex(8)
        self.tenants = Tenants(client, prefix)
        self.processes = Processes(client, prefix, self.name, LEASE)
        self.session = client.start_session()

    async def enter(self) -> "Process":
        """Is alive from now on."""
        await self.processes.enter([self.session])
        return self

    async def tell(self, entry: str, tenant: str = "") -> None:
        """Has something to deliver, in the document of its entity and in the outbox."""
        handle = await self.tenants.obtain(tenant)
        document = {"by": self.name, "st": 1, "at": 1, "due": ["s"]}
        await handle.outbox.insert_one({"_id": entry, "e": f"urn:x:{entry}", **document})
        push = {"$push": {"o": {"id": entry, **document}}, "$set": {"rev": 1}}
        await handle.entities.update_one({"_id": f"urn:x:{entry}"}, push, upsert=True)

    async def has(self, tenant: str = "") -> list[str]:
        """What it has to deliver, which is the same in both places."""
        handle, local = await self.tenants.obtain(tenant), ReadConcern("local")
        outbox = handle.outbox.with_options(read_concern=local)
        found = sorted([one["_id"] async for one in outbox.find({"by": self.name})])
        entities = handle.entities.with_options(read_concern=local)
        held = [entry async for one in entities.find({"o.by": self.name}) for entry in one["o"]]
        assert sorted(one["id"] for one in held if one["by"] == self.name) == found
        return found

    async def inherit(self) -> bool:
        """Looks for the dead."""
        return await self.processes.inherit(self.tenants)

    async def alive(self) -> list[str]:
        """Whose leases there are."""
        return [one["_id"] async for one in self.client[self.prefix]["processes"].find()]


Start = Callable[[], Awaitable[Process]]


@pytest.fixture
async def start(mongo_uri: str) -> AsyncIterator[Start]:
    prefix = f"l{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client

        async def one() -> Process:
            process = await Process(client, prefix).enter()
            stack.push_async_callback(process.session.end_session)
            return process

        yield one


async def look_until(heir: Process, clock: Time) -> float:
    """Looks, now and then, until there is something to inherit; after how many seconds that was."""
    for looks in range(80):
        if await heir.inherit():
            return looks * LEASE / 8
        await heir.processes.renew()
        clock.move(LEASE / 8)
    raise AssertionError("there is nothing to inherit")


async def test_the_living_keep_what_is_theirs(start: Start, clock: Time) -> None:
    one, other = await start(), await start()
    await one.tell("1")
    for _ in range(9):
        assert await one.processes.renew()
        assert await other.processes.renew()
        assert not await other.inherit()
        clock.move(LEASE / 3)
    assert await one.has() == ["1"]


async def test_a_lease_that_runs_out_is_inherited_in_every_tenant(start: Start, clock: Time) -> None:
    one, other = await start(), await start()
    await one.tell("1")
    await one.tell("2", "city")
    await other.tell("3")
    assert LEASE <= await look_until(other, clock) <= 2 * LEASE
    assert await other.has() == ["1", "3"]
    assert await other.has("city") == ["2"]
    assert await other.alive() == [other.name]


async def test_who_leaves_is_inherited_at_once(start: Start) -> None:
    one, other = await start(), await start()
    await one.tell("1")
    await one.processes.leave()
    assert await other.inherit()
    assert await other.has() == ["1"]
    assert not await other.inherit()


async def test_who_is_known_to_be_dead_is_inherited_at_once(start: Start) -> None:
    one, other = await start(), await start()
    await one.tell("1")
    await end_process(one.client, one.prefix, one.name)
    assert await other.inherit()
    assert await other.has() == ["1"]
    await end_process(one.client, one.prefix, "f" * 16)  # who died before it entered


async def test_ending_a_process_frees_its_locks_at_once(start: Start) -> None:
    one, other = await start(), await start()
    entities = (await one.tenants.obtain("")).entities
    await entities.insert_one({"_id": "urn:x:1"})
    await one.session.start_transaction()
    await entities.update_one({"_id": "urn:x:1"}, {"$set": {"a": 1}}, session=one.session)

    async def write() -> None:
        async with other.client.start_session() as session, await session.start_transaction():
            await entities.update_one({"_id": "urn:x:1"}, {"$set": {"a": 2}}, session=session)

    with pytest.raises(OperationFailure):
        await write()
    await end_process(other.client, other.prefix, one.name)
    await write()
    with pytest.raises(OperationFailure):
        await one.session.commit_transaction()


async def test_an_heir_frees_the_locks_too(start: Start, clock: Time) -> None:
    one, other = await start(), await start()
    entities = (await one.tenants.obtain("")).entities
    await entities.insert_one({"_id": "urn:x:1"})
    await one.session.start_transaction()
    await entities.update_one({"_id": "urn:x:1"}, {"$set": {"a": 1}}, session=one.session)
    await look_until(other, clock)
    async with other.client.start_session() as session, await session.start_transaction():
        await entities.update_one({"_id": "urn:x:1"}, {"$set": {"a": 2}}, session=session)


async def test_two_heirs_share_everything(start: Start) -> None:
    one, heirs = await start(), [await start(), await start()]
    for n in range(50):
        await one.tell(f"{n:02}")
    await one.processes.leave()
    await asyncio.gather(*(heir.inherit() for heir in heirs))
    handle = await one.tenants.obtain("")
    shares = [[one["_id"] async for one in handle.outbox.find({"by": heir.name})] for heir in heirs]
    shares += [[one["_id"] async for one in handle.entities.find({"o.by": heir.name})] for heir in heirs]
    assert sorted(shares[0] + shares[1]) == [f"{n:02}" for n in range(50)]
    assert sorted(shares[2] + shares[3]) == [f"urn:x:{n:02}" for n in range(50)]


async def test_after_an_outage_the_living_have_time_to_come_back(start: Start, clock: Time) -> None:
    """While the database is away nobody can renew: who looks first must not take the others for dead."""
    one, other = await start(), await start()
    await one.tell("1")
    assert not await other.inherit()
    clock.move(1.5 * LEASE)  # all leases ran out meanwhile
    other.processes._seen.clear()  # as an outage does
    await other.processes.enter([other.session])
    assert not await other.inherit()
    await one.processes.enter([one.session])
    assert not await other.inherit()
    assert await one.has() == ["1"]


async def test_an_outage_makes_what_was_seen_before_it_worthless(start: Start) -> None:
    one = await start()
    await (await start()).processes.renew()
    await one.inherit()
    assert one.processes._seen
    assert one.processes._looks_closer_at > 0
    with pytest.raises(OSError, match="away"), one.processes._reported():
        raise OSError("away")
    assert not one.processes._seen
    assert one.processes._looks_closer_at == 0, "a commit may have come after its process was taken for dead"


async def test_a_lease_that_ran_out_can_be_entered_again(start: Start, clock: Time) -> None:
    one, other = await start(), await start()
    await look_until(other, clock)
    assert not await one.processes.renew()
    await one.enter()
    assert await one.processes.renew()
    assert not await other.inherit()


async def test_what_belongs_to_nobody_is_found_within_a_minute(start: Start, clock: Time) -> None:
    """Taken for dead too early, a process went on for a moment and then died; nobody starts in its place."""
    one, other = await start(), await start()
    await look_until(other, clock)
    await one.tell("late")
    for _ in range(50):
        clock.move(1)
        assert not await other.inherit()
    clock.move(10)
    assert await other.inherit()
    assert await other.has() == ["late"]


async def test_what_belongs_to_nobody_is_found_at_the_start(start: Start, clock: Time) -> None:
    """Taken for dead too early, a process went on for a moment and then died: nobody knows its name."""
    one, other = await start(), await start()
    await look_until(other, clock)
    await one.tell("late")
    assert not await other.inherit()
    fresh = await start()
    assert await fresh.inherit()
    assert await fresh.has() == ["late"]
    await other.tell("mine")
    assert not await (await start()).inherit(), "the living are known"
