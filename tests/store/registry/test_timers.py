"""Periodic subscriptions on a real MongoDB, with a clock that the test sets: exact, whoever is there."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest

from broker.core import Json, instant
from broker.core.change import Change
from broker.core.errors import Unavailable
from broker.core.subscription import read, updated
from broker.notify.periodic import TimerLoop, entry_of
from broker.ports.changes import Entry, Settled, Triggered
from broker.ports.delivery import PendingRequest
from broker.store.pending.dead_letters import DeadLetterLimits
from broker.store.pending.outbox import MongoOutbox
from broker.store.registry.subscriptions import MongoSubscriptions
from broker.store.registry.timers import MongoTimers, Schedule, give_back
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Tenants
from broker.store.wire.transactions import Transactions
from tests.clocks import SetClock
from tests.core.documents import CORE, NOW
from tests.core.test_time_interval import periodic

START = instant.micros(NOW)
SECOND = 1_000_000
LEASE = 10


class Process:
    """One of several processes on one database, all with one clock; `told` holds what it was told is due."""

    def __init__(self, world: "World", stack: AsyncExitStack) -> None:
        self.world, self.stack, self.name = world, stack, secrets.token_hex(8)
        self.told: list[Entry] = []

    async def open(self, uri: str) -> "Process":
        """Ready."""
        client = self.client = (await open_database(f"{uri}&serverMonitoringMode=poll", self.stack)).client
        self.tenants = Tenants(client, self.world.prefix)
        clock = self.clock = SetClock(lambda: self.world.now)
        self.schedule = Schedule(client, self.world.prefix, clock)
        await self.schedule.open()
        await self.tenants.obtain("")
        self.store = MongoSubscriptions(client, self.tenants, self.schedule)
        self.timers = MongoTimers(client, self.schedule, self.tenants, self.name, LEASE)
        self.outbox = MongoOutbox(self.tenants, self.name, DeadLetterLimits(60, 100))
        self.periods = TimerLoop(self.timers, self.store, self, self.name, clock)
        return self

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None: ...

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        return []

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Notes what is due, and takes it for told."""
        self.told.append(entry)

    async def deliver(self) -> None:
        """All that it was told is over."""
        finished: dict[str, list[str]] = {}
        for entry in self.told:
            finished.setdefault(entry.entity_id, []).append(entry.id)
        await self.outbox.settle("", Settled(finished))

    async def pending(self, subscription: str) -> list[Entry]:
        """The reports that are pending for a subscription."""
        loaded = await self.outbox.load("", {subscription: PendingRequest({subscription}, 0, 10)})
        return [*loaded[subscription].entries]


class World:
    """Three processes and their clock."""

    def __init__(self) -> None:
        self.prefix = f"t{secrets.token_hex(4)}"
        self.now = START
        self.processes: list[Process] = []

    async def at(self, seconds: float) -> int:
        """All look at this time, at once; how many firings that makes, which are delivered."""
        self.now = START + round(seconds * SECOND)
        before = sum(len(one.told) for one in self.processes)
        await asyncio.gather(*(one.periods.round() for one in self.processes))
        for one in self.processes:
            await one.deliver()
        return sum(len(one.told) for one in self.processes) - before

    async def subscribe(self, name: str, **members: Json) -> None:
        """A periodic subscription, made now."""
        now = instant.of_micros(self.now)
        await self.processes[0].store.create("", read(periodic(**members), CORE, f"urn:s:{name}", now))

    async def change(self, name: str, **members: Json) -> None:
        """An update of it."""
        now = instant.of_micros(self.now)
        await self.processes[1].store.replace(
            "", f"urn:s:{name}", lambda old: updated(old, members, CORE, now)
        )


@pytest.fixture
async def world(mongo_uri: str) -> AsyncIterator[World]:
    world = World()
    async with AsyncExitStack() as stack:
        for _ in range(3):
            world.processes.append(await Process(world, stack).open(mongo_uri))
        yield world


async def test_one_firing_in_each_interval_whoever_is_there(world: World) -> None:
    await world.subscribe("a", timeInterval=10)
    assert [await world.at(second) for second in (9.999, 10, 10.001, 19.9, 20, 31, 39, 40)] == [
        0, 1, 0, 0, 1, 1, 0, 1,
    ]  # fmt: skip
    entries = [entry for process in world.processes for entry in process.told]
    assert all(entry.is_report and entry.subscriptions == {"urn:s:a"} for entry in entries)


async def test_how_long_it_says_to_wait(world: World) -> None:
    await world.subscribe("a", timeInterval=3)
    assert await world.processes[2].periods.round() == pytest.approx(3, abs=0.001)
    world.now += SECOND * 5 // 2
    assert await world.processes[2].periods.round() == pytest.approx(0.5, abs=0.001)
    await world.subscribe("b", timeInterval=3600)
    await world.change("a", isActive=False)
    assert await world.processes[2].periods.round() == 5, "others may set timers, so it looks again"


async def test_what_was_missed_is_told_once_at_once(world: World) -> None:
    """Nobody was there for five intervals."""
    await world.subscribe("a", timeInterval=10)
    assert [await world.at(second) for second in (57, 59, 60)] == [1, 0, 1]


async def test_a_process_that_dies_after_its_claim(world: World) -> None:
    """It is somebody else's turn when the claim runs out, or as soon as it is known to be dead."""
    await world.subscribe("a", timeInterval=10)
    world.now = START + 10 * SECOND
    assert await world.processes[0].timers.claim(world.now) is not None
    assert await world.at(10.1) == 0, "it may still live"
    assert await world.at(20) == 1
    assert await world.processes[0].timers.claim(START + 30 * SECOND) is not None
    await give_back(world.processes[1].schedule.timers, world.processes[0].name)
    assert await world.at(30) == 1


async def test_a_claim_that_was_lost_fires_nothing(world: World) -> None:
    await world.subscribe("a", timeInterval=10)
    slow = world.processes[0]
    claimed = await slow.timers.claim(START + 10 * SECOND)
    assert claimed is not None
    assert await world.at(25) == 1
    late = entry_of(slow.clock.stamp(), claimed, START + 10 * SECOND, slow.name)
    assert not await slow.timers.fire(claimed, START + 20 * SECOND, late)
    await slow.timers.drop(claimed)
    assert await world.at(30) == 1, "and it changed nothing"


async def test_as_long_as_the_last_one_is_not_told_there_is_no_other(world: World) -> None:
    """A receiver that comes back after an hour is told of the present once, not of an hour."""
    await world.subscribe("a", timeInterval=10)
    world.now = START + 10 * SECOND
    first = world.processes[0]
    await first.periods.round()
    world.now = START + 20 * SECOND
    await first.periods.round()
    assert len(first.told) == 1
    [entry] = await first.pending("urn:s:a")
    assert (entry.is_report, entry.subscriptions, entry.entity_id) == (True, {"urn:s:a"}, "urn:s:a")
    assert await first.outbox.survey("", "", 10) == [("urn:s:a", {"urn:s:a"})]
    await first.deliver()
    assert await world.at(30) == 1


async def test_a_report_that_nobody_has_does_not_silence_a_subscription(world: World) -> None:
    """One of a process that is in no list any more; that of a process that is dead will be taken over."""
    await world.subscribe("a", timeInterval=10)
    world.now = START + 10 * SECOND
    first, second = world.processes[:2]
    await first.periods.round()
    outbox = (await first.tenants.obtain("")).outbox
    processes = first.schedule.timers.database["processes"]
    await processes.insert_one({"_id": first.name, "sessions": [], "until": 0.0})
    world.now = START + 20 * SECOND
    await second.periods.round()
    assert second.told == [], "it may still be delivered"
    await processes.delete_one({"_id": first.name})
    world.now = START + 30 * SECOND
    await second.periods.round()
    assert len(second.told) == 1
    assert [one["by"] async for one in outbox.find()] == [second.name], "the old one is gone"


@contextmanager
def losing_answers(process: Process) -> Iterator[None]:
    """The process is never told that a transaction was committed."""
    transactions = process.timers._transactions

    class Lost(Transactions):
        async def run(self, work: Any) -> Any:
            await transactions.run(work)
            raise Unavailable("no answer")

    process.timers._transactions = Lost(process.client)
    yield
    process.timers._transactions = transactions


async def test_a_report_of_which_it_never_learned_that_it_was_committed(world: World) -> None:
    """The network went away with the answer: nobody has the report in memory, until it is looked for."""
    await world.subscribe("a", timeInterval=10)
    world.now = START + 10 * SECOND
    first = world.processes[0]
    claimed = await first.timers.claim(world.now)
    assert claimed is not None
    lost = entry_of(first.clock.stamp(), claimed, world.now, first.name)
    with losing_answers(first), pytest.raises(Unavailable):
        await first.timers.fire(claimed, START + 20 * SECOND, lost)
    assert len(await first.pending("urn:s:a")) == 1
    world.now = START + 20 * SECOND
    await first.periods.round()
    assert [one.id for one in first.told] == [lost.id]
    assert [one.id for one in await first.pending("urn:s:a")] == [lost.id]
    world.now = START + 30 * SECOND
    await first.periods.round()
    assert len(first.told) == 1, "this one it knows"


async def test_a_damaged_subscription_fails_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again when the claim runs out, and logged once; when it is mended it fires."""
    for name in ("a", "b", "c"):
        await world.subscribe(name, timeInterval=10)
    [one] = world.processes = world.processes[:1]
    subscriptions = (await one.tenants.obtain("")).subscriptions
    whole = await subscriptions.find_one_and_update({"_id": "urn:s:b"}, {"$unset": {"body": 1}})
    assert [await world.at(second) for second in (10, 20, 20 + LEASE)] == [2, 2, 2]
    logged = [record for record in caplog.records if record.message == "a timer cannot fire"]
    assert [vars(record)["subscription"] for record in logged] == ["urn:s:b"]
    assert whole is not None
    await subscriptions.replace_one({"_id": "urn:s:b"}, whole)
    assert await world.at(20 + 3 * LEASE) == 3


async def test_pauses_changes_and_ends(world: World) -> None:
    await world.subscribe("a", timeInterval=10)
    assert await world.at(10) == 1
    await world.change("a", isActive=False)
    assert await world.at(20) == 0
    world.now = START + 25 * SECOND
    await world.change("a", isActive=True)
    assert [await world.at(second) for second in (30, 34.9, 35)] == [0, 0, 1]
    await world.change("a", description="this moves nothing")
    assert await world.at(45) == 1
    await world.change("a", timeInterval=2)
    assert [await world.at(second) for second in (46, 47, 49)] == [0, 1, 1]
    await world.change("a", expiresAt=instant.of_micros(START + 52 * SECOND) + "Z")
    assert [await world.at(second) for second in (51, 53, 99)] == [1, 0, 0]
    world.now = START + 100 * SECOND
    await world.change("a", expiresAt=instant.of_micros(START + 900 * SECOND) + "Z")
    assert await world.at(102) == 1
    await world.processes[2].store.delete("", "urn:s:a")
    assert await world.at(200) == 0
    assert await world.processes[0].schedule.timers.count_documents({}) == 0


async def test_many_are_shared_out(world: World) -> None:
    for n in range(30):
        await world.subscribe(str(n), timeInterval=10)
    assert await world.at(10) == 30
    assert sum(bool(one.told) for one in world.processes) > 1, "one did it all"
    assert await world.at(10) == 0
