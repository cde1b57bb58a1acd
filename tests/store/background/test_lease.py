"""Leases on a real MongoDB, whose clock alone counts."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from broker.store.background.lease import Lease
from broker.store.wire.client import open_database
from broker.store.wire.tenants import Collection


@pytest.fixture
async def tasks(mongo_uri: str) -> AsyncIterator[Collection]:
    async with AsyncExitStack() as stack:
        client = (await open_database(f"{mongo_uri}&serverMonitoringMode=poll", stack)).client
        yield client[f"s{secrets.token_hex(4)}"]["tasks"]


async def test_one_has_it_as_long_as_it_asks(tasks: Collection) -> None:
    one, other = (Lease(tasks, "work", name, 60) for name in "ab")
    assert await one.is_held()
    assert not await other.is_held()
    assert await one.is_held()
    assert await Lease(tasks, "other work", "b", 60).is_held()


async def test_many_who_ask_at_once(tasks: Collection) -> None:
    leases = [Lease(tasks, "work", str(number), 60) for number in range(8)]
    assert sum(await asyncio.gather(*(one.is_held() for one in leases))) == 1


async def test_one_that_ran_out_is_anybodys(tasks: Collection) -> None:
    one, other = Lease(tasks, "work", "a", 0.05), Lease(tasks, "work", "b", 60)
    assert await one.is_held()
    await asyncio.sleep(0.1)
    assert await other.is_held()
    assert not await Lease(tasks, "work", "a", 60).is_held()


async def test_what_is_given_up_is_anybodys_at_once(tasks: Collection) -> None:
    one, other = (Lease(tasks, "work", name, 3600) for name in "ab")
    assert await one.is_held()
    await other.give_up()
    assert not await other.is_held(), "only who has it can give it up"
    await one.give_up()
    assert await other.is_held()


async def test_what_a_wrong_clock_left_behind_holds_nobody_up(tasks: Collection) -> None:
    """Versions before wrote the time of the process, which may have been an hour ahead."""
    await tasks.insert_one({"_id": "work", "by": "gone", "until": time.time() + 3600})
    assert await Lease(tasks, "work", "a", 5).is_held()
