"""Changes of @contexts reach every worker before whoever made them goes on."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack

import pytest

from broker.ports.contexts import ContextKey
from broker.store.client import open_database
from broker.store.context_changes import ContextChanges
from broker.store.processes import Processes

LEASE = 1.0
KEY = ("", "http://ex.org/context")


class Worker:
    """A process that follows the changes, and notes what it has to forget."""

    def __init__(self, stack: AsyncExitStack, uri: str, prefix: str) -> None:
        self.stack, self.uri, self.prefix, self.name = stack, uri, prefix, secrets.token_hex(8)
        self.forgotten: list[list[ContextKey] | None] = []

    async def start(self, *, follow: bool = True) -> "Worker":
        client = (await open_database(f"{self.uri}&serverMonitoringMode=poll", self.stack)).client
        self.changes = ContextChanges(client, self.prefix, self.name, LEASE)
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
