"""Changes of @contexts reach every worker before whoever made them goes on."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack

import pytest

from broker.clock import Clock
from broker.ports.contexts import ContextKey
from broker.store.registry import context_changes as module
from broker.store.registry.context_changes import ContextChanges
from broker.store.registry.processes import Processes
from broker.store.wire.client import open_database

LEASE = 1.0
KEY = ("", "http://ex.org/context")


class Worker:
    """A process that follows the changes, and notes what it has to forget."""

    def __init__(self, stack: AsyncExitStack, uri: str, prefix: str) -> None:
        self.stack, self.uri, self.prefix, self.name = stack, uri, prefix, secrets.token_hex(8)
        self.forgotten: list[list[ContextKey] | None] = []

    async def start(self, *, follow: bool = True, clock: Clock | None = None) -> "Worker":
        client = (await open_database(f"{self.uri}&serverMonitoringMode=poll", self.stack)).client
        self.changes = ContextChanges(client, self.prefix, self.name, LEASE, clock)
        await Processes(client, self.prefix, self.name, 60).enter([])
        await self.changes.open()
        if follow:
            task = asyncio.create_task(self.changes.follow(self.forget))
            self.stack.callback(task.cancel)
        return self

    def forget(self, keys: Collection[ContextKey] | None) -> None:
        self.forgotten.append(None if keys is None else list(keys))

    async def tell(self, key: ContextKey = KEY) -> None:
        await self.changes.tell(self.forget, key)


@pytest.fixture
async def workers(mongo_uri: str) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as stack:
        prefix = f"c{secrets.token_hex(4)}"
        yield [Worker(stack, mongo_uri, prefix) for _ in range(3)]


async def test_all_have_forgotten_when_it_returns(workers: list[Worker]) -> None:
    first, *others = [await one.start() for one in workers]
    for number in range(5):
        key = ("t", str(number))
        await first.tell(key)
        assert all([key] in one.forgotten for one in workers)
    await asyncio.gather(*(one.tell(("", one.name)) for one in workers))
    for one in workers:
        assert all([("", other.name)] in one.forgotten for other in workers)
    assert others[0].forgotten.count([("t", "0")]) == 1


async def test_one_that_comes_later_begins_anew_and_nobody_waits_in_vain(workers: list[Worker]) -> None:
    first, second, _ = workers
    await first.start()
    await second.start(follow=False)
    telling = asyncio.create_task(first.tell())
    await asyncio.sleep(0.1)
    assert not telling.done()
    following = asyncio.create_task(second.changes.follow(second.forget))
    await telling
    assert second.forgotten == [None, [KEY]]
    following.cancel()


async def test_one_that_does_not_answer_is_not_waited_for_for_ever(
    workers: list[Worker],
) -> None:
    await workers[1].start(follow=False)
    await workers[0].start()
    began = time.monotonic()
    await workers[0].tell()
    assert LEASE <= time.monotonic() - began < LEASE + 2


async def test_silence_forgets_nothing(workers: list[Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor comes back empty again and again, and what is told afterwards is heard all the same."""
    monkeypatch.setattr(module, "_AWAIT_MS", 20)
    first, second, _ = [await one.start() for one in workers]
    await first.tell(("", "1"))
    await asyncio.sleep(0.3)
    await first.tell(("", "2"))
    assert second.forgotten == [None, [("", "1")], [("", "2")]]


async def test_a_change_is_heard_whatever_its_writers_clock_says(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start(clock=Clock(offset=-3600))
    await second.start()
    await first.tell()
    assert [KEY] in second.forgotten


async def test_one_that_was_cut_off_goes_on_from_where_it_was(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start(follow=False)
    following = asyncio.create_task(second.changes.follow(second.forget))
    await first.tell(("", "1"))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    telling = asyncio.create_task(first.tell(("", "2")))
    following = asyncio.create_task(second.changes.follow(second.forget))
    await telling
    assert second.forgotten == [None, [("", "1")], [("", "2")]]
    following.cancel()


async def test_one_whose_place_is_gone_forgets_everything(workers: list[Worker]) -> None:
    first, second = workers[:2]
    await first.start()
    await second.start(follow=False)
    second.changes._last = "long gone"
    following = asyncio.create_task(second.changes.follow(second.forget))
    await first.tell(("", "1"))
    assert second.forgotten == [None, [("", "1")]]
    following.cancel()
