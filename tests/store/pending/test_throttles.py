"""Throttling on a real MongoDB, with a clock that the test sets: exact for any number of processes."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest

from broker.core import instant
from broker.core.change import Change
from broker.core.entity import update
from broker.core.entity.parse import Fragment
from broker.core.errors import Unavailable
from broker.core.subscription import read
from broker.core.temporal.recording import Recording
from broker.ports.changes import Entry, Triggered
from broker.store.registry.timers import give_back
from broker.store.writes.commit import Committer
from broker.store.writes.plan import Planner
from broker.store.writes.writer import Writer
from tests.core.documents import CORE
from tests.core.test_time_interval import periodic
from tests.store.pending.test_entries import MIB, text
from tests.store.registry.test_timers import SECOND, START, Process, World, losing_answers
from tests.store.writes.test_writer import N, count, create

pytestmark = pytest.mark.clause("5.2.12")

SUBSCRIPTION = "urn:s:t"
PERIOD = 10


class Writing(Process):
    """A process that writes, too; all that it writes is due to one throttled subscription."""

    world: "Sensors"

    async def open(self, uri: str) -> "Writing":
        """Ready to write."""
        await super().open(uri)
        committer = Committer(Planner(self, self.clock, self.name, Recording()), self.schedule)
        self.writer = Writer(self.tenants, committer, group=16, limit=100, in_flight=1)
        self.stack.push_async_callback(self.writer.close)
        return self

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """All is due."""
        return [Triggered(SUBSCRIPTION, PERIOD * SECOND, shows_changes=True)]

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Notes it for all, too."""
        super().committed(entry, earlier, is_whole)
        self.world.told.append(entry)

    async def create(self, *names: str) -> None:
        """New entities, in one group."""
        await self.writer.change_many("", [(f"urn:x:{n}", rule) for n, rule in map(create, names)])

    async def change(self, name: str, value: str) -> None:
        """Sets n of an entity."""
        fragment = Fragment({N: [{"type": "Property", "value": value}]})
        await self.writer.change("", f"urn:x:{name}", update.append(f"urn:x:{name}", fragment))

    async def count(self, name: str) -> int:
        """Adds one to n of an entity; the sum."""
        _, rule = count(name)
        return int(await self.writer.change("", f"urn:x:{name}", rule))


class Sensors(World):
    """Processes that write; what is due is delivered when the test says so."""

    processes: list[Writing]  # type: ignore[assignment]

    async def subscribe_throttled(self) -> None:
        """The subscription, made now."""
        doc = {**periodic(), "throttling": PERIOD}
        del doc["timeInterval"]
        made = read(doc, CORE, SUBSCRIPTION, instant.of_micros(self.now))
        await self.processes[0].store.create("", made)

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Entry] = []  # of all processes, in the order in which they were committed

    def states(self) -> list[dict[str, Any]]:
        """The values of n of each entity, notification by notification."""
        return [_values(entry) for entry in self.told]


def _values(entry: Entry) -> dict[str, Any]:
    return {one["id"].removeprefix("urn:x:"): one["attrs"][N][0]["value"] for one, _ in entry.states()}


@pytest.fixture
async def world(mongo_uri: str) -> AsyncIterator[Sensors]:
    world = Sensors()
    async with AsyncExitStack() as stack:
        for _ in range(3):
            world.processes.append(await Writing(world, stack).open(mongo_uri))
        await world.subscribe_throttled()
        yield world


async def test_what_came_too_early_is_notified_once_when_the_period_ends(world: Sensors) -> None:
    one, other, _ = world.processes
    await one.create("a", "b")
    await other.count("b")
    await other.count("b")
    assert world.states() == [{"a": 0}]
    assert [await world.at(second) for second in (9, 10.01, 10.02, 30)] == [0, 1, 0, 0]
    assert world.states() == [{"a": 0}, {"b": 2}]
    assert await one.schedule.timers.count_documents({}) == 0
    await one.count("a")
    assert world.states()[2:] == [{"a": 1}], "after a quiet period it is notified at once"


async def test_what_is_pending_comes_first(world: Sensors) -> None:
    one, other, _ = world.processes
    await one.create("a")
    for second in range(1, 40, 5):
        world.now = START + second * SECOND
        await other.count("a")
        await other.periods.round()
    assert world.states() == [{"a": 0}]
    await one.deliver()
    assert await world.at(60) == 1
    assert world.states() == [{"a": 0}, {"a": 8}]


async def test_what_waits_goes_before_what_is_new(world: Sensors) -> None:
    """Else an entity that changes all the time would keep the others from ever being notified."""
    one, other, _ = world.processes
    await one.create("a", "b")
    await one.deliver()
    world.now = START + 11 * SECOND
    await other.count("a")
    assert world.states() == [{"a": 0}]
    assert await world.at(11.1) == 1
    assert world.states()[1:] == [{"b": 0, "a": 1}]


async def test_a_process_that_dies_leaves_what_was_suppressed_to_the_others(world: Sensors) -> None:
    one, other, _ = world.processes
    await one.create("a")
    await one.count("a")
    await one.deliver()
    world.now = START + 11 * SECOND
    assert await one.timers.claim(world.now) is not None
    assert await world.at(11.1) == 0
    await give_back(other.schedule.timers, one.name)
    assert await world.at(11.2) == 1
    assert world.states()[1:] == [{"a": 1}]


async def test_a_release_of_which_it_never_learned_that_it_was_committed(world: Sensors) -> None:
    """The suppressed states are no timers any more, so nothing else would have them delivered."""
    one = world.processes[0]
    await one.create("a")
    await one.count("a")
    await one.deliver()
    world.now = START + 11 * SECOND
    with losing_answers(one), pytest.raises(Unavailable):
        await one.periods.round()
    assert await one.schedule.timers.count_documents({}) == 0
    assert await world.at(11.1) == 1
    assert world.states()[1:] == [{"a": 1}]
    assert await world.at(22) == 0


async def test_states_that_are_too_large_are_suppressed_all_the_same(world: Sensors) -> None:
    """The change succeeds: what is kept of it is compressed, or cut."""
    one = world.processes[0]
    await one.create("a", "b")
    await one.deliver()
    large = {"a": text(15 * MIB, is_dense=False), "b": text(12 * MIB, is_dense=True)}
    for name, value in large.items():
        await one.change(name, "before" + value)
        await one.change(name, "after" + value)
    assert [await world.at(second) for second in (11, 22, 33)] == [1, 1, 0]
    told = {entity["id"]: (entry.cut, was) for entry in world.told for entity, was in entry.suppressed}
    assert world.states()[1:] in ([{one: "after" + large[one]} for one in order] for order in ("ab", "ba"))
    cut, was = told["urn:x:a"]
    assert (cut, was and was[N][0]["value"]) == ("", "before" + large["a"])
    cut, was = told["urn:x:b"]
    assert (cut.partition(":")[0], was) == ("the previous values", None)


async def test_many_entities_follow_a_period_later(world: Sensors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.store.pending.throttles._MOST", 3)
    await world.processes[0].create(*"abcdefgh")
    await world.processes[0].deliver()
    assert [await world.at(second) for second in (11, 22, 23, 33, 44)] == [1, 1, 0, 1, 0]
    assert [sorted(one) for one in world.states()] == [["a"], [*"bcd"], [*"efg"], ["h"]]


async def test_a_last_time_in_the_future_counts_as_never(world: Sensors) -> None:
    """It comes of a wrong clock: neither what is suppressed nor what is new waits until then."""
    one, throttles = world.processes[0], (await world.processes[0].tenants.obtain("")).throttles
    ahead = {"$set": {"at": START + 3600 * SECOND}}
    await one.create("a")
    await one.count("a")
    await one.deliver()
    await throttles.update_one({}, ahead)
    assert await world.at(10.1) == 1
    assert world.states() == [{"a": 0}, {"a": 1}]
    await throttles.update_one({}, ahead)
    await one.count("a")
    await one.count("a")
    assert world.states()[2:] == [{"a": 2}], "and it is set right"


@pytest.mark.parametrize("seed", range(3))
async def test_any_number_of_processes_end_with_the_final_states(world: Sensors, seed: int) -> None:
    r = random.Random(seed)
    await world.processes[0].create(*"abc")
    final = dict.fromkeys("abc", 0)
    for _ in range(60):
        world.now += round(r.uniform(0, 3) * SECOND)
        name = r.choice("abc")
        final[name] = await r.choice(world.processes).count(name)
        await r.choice(world.processes).periods.round()
        if r.random() < 0.5:
            await r.choice(world.processes).deliver()
    for _ in range(4):
        await world.at((world.now - START) / SECOND + PERIOD + 1)
    heard: dict[str, int] = {}
    for state in world.states():
        assert all(heard.get(name, -1) < value for name, value in state.items()), "older, or told twice"
        heard |= state
    assert heard == final
    times = [entry.at for entry in world.told]
    assert all(after - before >= PERIOD * SECOND for before, after in pairwise(times))
