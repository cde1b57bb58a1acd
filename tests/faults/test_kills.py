"""kill -9 and SIGTERM under load: what was acknowledged is there, and what was due is told."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from tests.conftest import free_port, running
from tests.faults.rig import (
    Client,
    Load,
    Receiver,
    all_arrive,
    database_of,
    family,
    kill,
    mongod,
    receiving,
    workers,
)

pytestmark = pytest.mark.slow
NAMES = [f"e{n}" for n in range(24)]
QUICK = {"process_lease": 2, "notification_retry_first": 0.05, "log_level": "error"}


async def test_the_whole_broker_is_killed(tmp_path: Path) -> None:
    """Parent, workers and MongoDB at once, in the middle of writes; a second broker takes up the data."""
    port = free_port()
    async with receiving() as receiver, Client(port) as client:
        async with running(port, data_dir=tmp_path, workers=2, **QUICK) as process:
            await client.create(*NAMES)
            subscription = await client.subscribe("a", receiver.uri)
            load = Load(client, NAMES).start()
            await asyncio.sleep(2.5)
            kill(family(process.pid))
            await process.wait()
            await load.stop()
        assert load.total > 100
        began = time.monotonic()
        async with running(port, data_dir=tmp_path, workers=2, **QUICK), Client(port) as reader:
            ready = time.monotonic() - began
            written = await load.check(reader)
            took = await all_arrive(receiver, subscription, written, 15)
    print(f"whole broker killed: {load.total} writes; ready after {ready:.2f} s, all told {took:.2f} s later")


async def test_mongod_is_killed(tmp_path: Path) -> None:
    """The broker starts it again; the workers go on by themselves, twice."""
    port = free_port()
    async with (
        receiving() as receiver,
        running(port, data_dir=tmp_path, workers=2, **QUICK) as process,
        Client(port) as client,
    ):
        await client.create(*NAMES)
        subscription = await client.subscribe("a", receiver.uri)
        load = Load(client, NAMES).start()
        gaps = []
        for _ in range(2):
            await asyncio.sleep(2.0)
            at = time.monotonic()
            kill([mongod(process.pid)])
            gaps.append(await _first_after(load, at + 0.3) - at)
        await asyncio.sleep(1.0)
        await load.stop()
        written = await load.check(client)
        took = await all_arrive(receiver, subscription, written, 12)
        assert await client.put("e0", 10**6) == 204
        await all_arrive(receiver, subscription, {"e0": [10**6]}, 5)
        assert await _leases(tmp_path) == 2, "a worker does not look after its lease any more"
    print(f"mongod killed: {load.total} writes; away for {gaps} s, all told {took:.2f} s after the load")


async def _leases(data_dir: Path) -> int:
    """How many processes have a lease that lasts."""
    async with database_of(data_dir) as mongo:
        return await mongo["eridanus"]["processes"].count_documents({"until": {"$gt": time.time()}})


async def _first_after(load: Load, at: float) -> float:
    """When the first write was acknowledged after a time."""
    async with asyncio.timeout(15):
        while not load.times or load.times[-1] < at:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return next(one for one in load.times if one >= at)


async def test_a_worker_is_killed_again_and_again(tmp_path: Path) -> None:
    """It dies inside commits; those that are transactions leave locks, which the parent ends at once."""
    port = free_port()
    settings = {**QUICK, "transaction_lifetime": "none"}
    async with (
        receiving() as receiver,
        running(port, data_dir=tmp_path, workers=3, **settings) as process,
        Client(port) as client,
    ):
        await client.create(*NAMES)
        subscription = await client.subscribe("a", receiver.uri)
        load = Load(client, NAMES).start()
        await asyncio.sleep(2.0)
        silences = []
        for _ in range(5):
            await asyncio.sleep(1.0)
            kill([random.choice(workers(process.pid))])
            killed = time.monotonic()
            silences.append(round(await _first_after(load, killed + 0.5) - killed, 2))
        await load.stop()
        written = await load.check(client)
        took = await all_arrive(receiver, subscription, written, 12)
        assert [await client.put(name, 10**6) for name in NAMES] == [204] * len(NAMES), "a lock was left"
    print(f"worker killed: writes went on {silences} s later; all told {took:.2f} s after the load")


async def test_a_worker_that_was_taken_for_dead_comes_back(tmp_path: Path) -> None:
    """It stands still for longer than its lease, with open transactions; then it just goes on."""
    port = free_port()
    settings = {**QUICK, "transaction_lifetime": "none", "process_lease": 1}
    async with (
        receiving() as receiver,
        running(port, data_dir=tmp_path, workers=3, **settings) as process,
        Client(port) as client,
    ):
        await client.create(*NAMES)
        subscription = await client.subscribe("a", receiver.uri)
        load = Load(client, NAMES).start()
        for _ in range(2):
            await asyncio.sleep(1.5)
            victim = random.choice(workers(process.pid))
            victim.suspend()
            await asyncio.sleep(2.5)
            victim.resume()
        await asyncio.sleep(2)
        assert len(workers(process.pid)) == 3
        await load.stop()
        written = await load.check(client)
        took = await all_arrive(receiver, subscription, written, 10)
    print(f"worker suspended twice: {load.total} writes; all told {took:.2f} s after the load")


async def test_a_worker_that_comes_back_leaves_alone_what_others_took_over(tmp_path: Path) -> None:
    """It stands still with many notifications in memory; meanwhile another one adopts and delivers them."""
    port, names = free_port(), [f"e{n}" for n in range(400)]
    settings = {**QUICK, "process_lease": 1, "notification_retry_cap": 0.2}
    async with (
        receiving() as receiver,
        running(port, data_dir=tmp_path, workers=2, **settings) as process,
        Client(port, fresh=True) as client,
        database_of(tmp_path) as mongo,
    ):
        entities = mongo["eridanus"]["entities"]
        receiver.is_down = True
        await client.create(*names)
        subscription = await client.subscribe("a", receiver.uri)
        assert set(await asyncio.gather(*(client.put(name, 1) for name in names))) == {204}
        victim = random.choice(workers(process.pid))
        victim.suspend()
        async with asyncio.timeout(20):
            while len(await entities.distinct("o.by")) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        receiver.is_down = False
        await all_arrive(receiver, subscription, {name: [1] for name in names}, 20)
        async with asyncio.timeout(20):
            while await entities.count_documents({"o.by": {"$exists": True}}):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        before = _told(receiver, subscription)
        victim.resume()
        async with asyncio.timeout(20):
            while await _leases(tmp_path) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        again = _told(receiver, subscription) - before
        assert {await client.put(name, 2) for name in names[:50]} == {204}
        await all_arrive(receiver, subscription, {name: [1, 2] for name in names[:50]}, 10)
    print(f"came back: {again} of {len(names)} told again")
    assert again < len(names) / 8, "it goes on with what is not its own any more"


def _told(receiver: Receiver, subscription: str) -> int:
    """How many notifications came, those that came again too."""
    return sum(map(len, receiver.values.get(subscription, {}).values()))


async def test_a_stop_under_load(tmp_path: Path) -> None:
    """SIGTERM: the exit code is 0, no acknowledged write is lost, and the rest is told after the restart."""
    port = free_port()
    async with receiving() as receiver, Client(port) as client:
        async with running(port, data_dir=tmp_path, workers=2, **QUICK) as process:
            await client.create(*NAMES)
            subscription = await client.subscribe("a", receiver.uri)
            hanging = await client.subscribe("h", receiver.uri + "hang")
            load = Load(client, NAMES).start()
            await asyncio.sleep(2.0)
            began = time.monotonic()
            process.terminate()
            async with asyncio.timeout(25):
                assert await process.wait() == 0
            stopped = time.monotonic() - began
            await load.stop()
        began = time.monotonic()
        async with running(port, data_dir=tmp_path, workers=2, **QUICK), Client(port) as reader:
            written = await load.check(reader)
            took = await all_arrive(receiver, subscription, written, 10)
            assert receiver.values[hanging] == {}
    print(f"stopped in {stopped:.2f} s under load; all told {took:.2f} s after the restart")
