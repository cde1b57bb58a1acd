"""Changes reach every worker before whoever made them goes on."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack

import pytest

from broker.clock import Clock
from broker.store.registry import announcements as module
from broker.store.registry.announcements import Announcements, Key
from broker.store.registry.processes import Processes
from broker.store.wire.client import open_database

LEASE = 1.0
KIND = "context"
KEY = ("", "http://ex.org/context")


class Worker:
    """A process that follows the announcements, and notes what it has to apply."""

    def __init__(self, stack: AsyncExitStack, uri: str, prefix: str) -> None:
        self.stack, self.uri, self.prefix, self.name = stack, uri, prefix, secrets.token_hex(8)
        self.applied: list[list[Key] | None] = []

    async def start(self, *, follow: bool = True, clock: Clock | None = None) -> "Worker":
        client = (await open_database(f"{self.uri}&serverMonitoringMode=poll", self.stack)).client
        self.announcements = Announcements(client, self.prefix, self.name, LEASE, clock)
        self.announcements.on(KIND, self.apply)
        self.processes = Processes(client, self.prefix, self.name, 60)
        await self.processes.enter([])
        await self.announcements.open()
        if follow:
            self.following = self.follow()
        return self

    def follow(self) -> asyncio.Task[None]:
        task = asyncio.create_task(self.announcements.follow())
        self.stack.callback(task.cancel)
        return task

    async def apply(self, keys: Collection[Key] | None) -> None:
        self.applied.append(None if keys is None else list(keys))

    async def announce(self, key: Key = KEY) -> None:
        await self.announcements.announce(KIND, key)

    def is_current(self) -> bool:
        return self.announcements.is_current(self.processes.alive_since)

    async def until_current(self) -> None:
        async with asyncio.timeout(10):
            while not self.is_current():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
async def workers(mongo_uri: str) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as stack:
        prefix = f"c{secrets.token_hex(4)}"
        yield [Worker(stack, mongo_uri, prefix) for _ in range(3)]


async def test_all_have_applied_it_when_it_returns(workers: list[Worker]) -> None:
    first, *others = [await one.start() for one in workers]
    for number in range(5):
        key = ("t", str(number))
        await first.announce(key)
        assert all([key] in one.applied for one in workers)
    await asyncio.gather(*(one.announce(("", one.name)) for one in workers))
    for one in workers:
        assert all([("", other.name)] in one.applied for other in workers)
    assert others[0].applied.count([("t", "0")]) == 1


async def test_kinds_are_told_apart_and_unknown_ones_hold_nobody_up(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start()
    others: list[list[Key]] = []

    async def apply(keys: Collection[Key] | None) -> None:
        others.extend([] if keys is None else [list(keys)])

    first.announcements.on("registration", apply)
    second.announcements.on("registration", apply)
    await first.announcements.announce("registration", ("t",))
    await second.announce()
    assert others == [[("t",)], [("t",)]]
    assert [one.applied[1:] for one in (first, second)] == [[[KEY]], [[KEY]]]
    first.announcements.on("new", apply)  # of a newer version, which the second does not know
    began = time.monotonic()
    await first.announcements.announce("new", ("t",))
    assert time.monotonic() - began < LEASE / 2


async def test_one_that_comes_later_begins_anew_and_nobody_waits_in_vain(workers: list[Worker]) -> None:
    first, second, _ = workers
    await first.start()
    await second.start(follow=False)
    announcing = asyncio.create_task(first.announce())
    await asyncio.sleep(0.1)
    assert not announcing.done()
    second.follow()
    await announcing
    assert second.applied == [None, [KEY]]


async def test_one_that_does_not_answer_is_not_waited_for_for_ever(workers: list[Worker]) -> None:
    await workers[1].start(follow=False)
    await workers[0].start()
    began = time.monotonic()
    await workers[0].announce()
    assert LEASE <= time.monotonic() - began < LEASE + 2


async def test_what_cannot_be_applied_is_not_confirmed_and_tried_again(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start(follow=False)
    fails = [True]

    async def apply(keys: Collection[Key] | None) -> None:
        if keys is not None and fails.pop():
            raise RuntimeError("not now")
        second.applied.append(None if keys is None else list(keys))

    second.announcements.on(KIND, apply)
    following = second.follow()
    await second.until_current()
    announcing = asyncio.create_task(first.announce())
    with pytest.raises(RuntimeError):
        await following
    fails.append(False)
    assert not second.is_current()
    assert not announcing.done()
    second.follow()
    await announcing
    assert second.applied[-1] == [KEY]


async def test_silence_changes_nothing(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor comes back empty again and again, and what is announced afterwards is heard all the same."""
    monkeypatch.setattr(module, "_AWAIT", 0.02)
    first, second, _ = [await one.start() for one in workers]
    await first.announce(("", "1"))
    await asyncio.sleep(1.5 * LEASE)
    assert second.is_current()
    await first.announce(("", "2"))
    assert second.applied == [None, [("", "1")], [("", "2")]]


async def test_a_change_is_heard_whatever_its_writers_clock_says(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start(clock=Clock(offset=-3600))
    await second.start()
    await first.announce()
    assert [KEY] in second.applied


async def test_one_that_was_cut_off_goes_on_from_where_it_was(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start()
    await first.announce(("", "1"))
    second.following.cancel()
    await asyncio.gather(second.following, return_exceptions=True)
    announcing = asyncio.create_task(first.announce(("", "2")))
    second.follow()
    await announcing
    assert second.applied == [None, [("", "1")], [("", "2")]]


async def test_one_whose_place_is_gone_applies_everything(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start(follow=False)
    second.announcements._last = "long gone"
    second.follow()
    await first.announce(("", "1"))
    assert second.applied == [None, [("", "1")]]


async def test_one_knows_whether_it_may_have_missed_something(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start(follow=False)
    assert not second.is_current()
    following = second.follow()
    await second.until_current()
    await second.processes.enter([])  # its lease had run out: others did not wait for it
    assert not second.is_current()
    await second.until_current()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert not second.is_current()
