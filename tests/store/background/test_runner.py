"""Work in the background: one item that fails stops none of the others."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import pytest
from prometheus_client import REGISTRY

from broker.clock import Clock
from broker.core.errors import Unavailable
from broker.store.background.lease import Lease
from broker.store.background.runner import Runner, Task
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Collection


@pytest.fixture
async def tasks(mongo_uri: str) -> AsyncIterator[Collection]:
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
        yield client[f"b{secrets.token_hex(4)}"]["tasks"]


class Work:
    """Notes what it is asked to do; `errors` by item."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.errors: dict[str, Exception] = {}

    async def items(self) -> Iterable[str]:
        """All there are."""
        return ("a", "b", "c")

    async def do(self, item: str) -> None:
        """One of them."""
        self.done.append(item)
        if item in self.errors:
            raise self.errors[item]


def counted(name: str, task: str) -> float:
    return REGISTRY.get_sample_value(f"eridanus_background_{name}", {"task": task}) or 0.0


async def test_an_item_that_fails_stops_none_and_rests_for_a_while() -> None:
    work = Work()
    task = Task("fails", work.do, 1.0, work.items)
    work.errors["a"] = ValueError("broken")
    assert not await task.round()
    assert not await task.round()
    assert work.done == ["a", "b", "c", "b", "c"]
    assert task.failing["a"][0] == 1
    task.failing["a"] = (1, 0.0)
    assert not await task.round()
    assert work.done[5:] == ["a", "b", "c"]
    assert task.failing["a"][0] == 2, "it rests longer each time"
    work.errors.clear()
    task.failing["a"] = (2, 0.0)
    assert await task.round()
    assert task.failing == {}
    assert counted("failures_total", "fails") == 2
    assert counted("rounds_total", "fails") == 4


async def test_an_outage_ends_the_round_but_the_next_one_begins_with_others() -> None:
    work = Work()
    task = Task("away", work.do, 1.0, work.items)
    work.errors["a"] = Unavailable("the database is away")
    with pytest.raises(Unavailable):
        await task.round()
    assert work.done == ["a"]
    assert not await task.round()
    assert work.done == ["a", "b", "c"]


async def test_one_process_does_it_until_it_leaves(tasks: Collection) -> None:
    works = [Work(), Work()]
    leases = [Lease(tasks, "work", name, 3600) for name in "ab"]
    runners = [Runner(Clock()), Runner(Clock())]
    for work, lease, runner in zip(works, leases, runners, strict=True):
        runner.add(Task("shared", work.do, 0.01, work.items, lease))
    runners[0].start()
    await _until(works[0])
    runners[1].start()
    await runners[0].close()
    await _until(works[1], 4)  # in its second round
    await runners[1].close()
    assert counted("last_success_timestamp_seconds", "shared") > 0


async def test_rounds_that_fail_are_followed_by_others(caplog: pytest.LogCaptureFixture) -> None:
    work, runner = Work(), Runner(Clock())
    work.errors[""] = ValueError("broken")
    runner.add(Task("alone", work.do, 0.01))
    runner.start()
    await _until(work)
    work.errors.clear()
    await _until(work, 3)
    await runner.close()
    assert counted("failures_total", "alone") == 1
    assert "work in the background failed" in caplog.text


async def _until(work: Work, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while True:
            if len(work.done) >= count:
                return
            await asyncio.sleep(0.01)
