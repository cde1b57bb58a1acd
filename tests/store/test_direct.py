"""Reads past the driver's own commands: the same answers and errors, and never the answer to another."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pymongo.errors import ExecutionTimeout, OperationFailure

from broker.store import direct
from broker.store.client import open_database
from broker.store.tenants import Database

_MANY = {"$range": [0, {"$add": ["$_id", 200_000]}]}
_LONG = {"$reduce": {"input": _MANY, "initialValue": 0, "in": {"$add": ["$$value", 1]}}}
SLOW: dict[str, Any] = {"find": "things", "filter": {"$expr": {"$gt": [_LONG, 0]}}}


@pytest.fixture
async def database(mongo_uri: str) -> AsyncIterator[Database]:
    """A database of the test's own, with ten things."""
    async with AsyncExitStack() as stack:
        client = (await open_database(mongo_uri, stack)).client
        found = client[f"c{secrets.token_hex(4)}"]
        await found["things"].insert_many([{"_id": n, "text": str(n) * 100} for n in range(10)])
        yield found


def one(number: int) -> dict[str, Any]:
    """The command that finds a thing."""
    return {"find": "things", "filter": {"_id": number}}


async def test_answers_are_those_of_the_driver(database: Database) -> None:
    command: dict[str, Any] = {"find": "things", "filter": {}, "sort": {"_id": -1}, "limit": 3}
    answer, same = await direct.read(database, command), await database.command(command)
    assert answer["cursor"] == same["cursor"]


async def test_each_gets_its_own_answer(database: Database) -> None:
    answers = await asyncio.gather(*[direct.read(database, one(n % 10)) for n in range(200)])
    assert [each["cursor"]["firstBatch"][0]["_id"] for each in answers] == [n % 10 for n in range(200)]


async def test_errors_are_those_of_the_driver(database: Database) -> None:
    with pytest.raises(OperationFailure) as failure:
        await direct.read(database, {"find": "things", "filter": {"text": {"$regex": "("}}})
    assert failure.value.code == 51091
    with pytest.raises(ExecutionTimeout):
        await direct.read(database, {**SLOW, "maxTimeMS": 20})


async def test_who_leaves_does_not_get_anybody_else_the_wrong_answer(database: Database) -> None:
    for _ in range(5):
        left = [asyncio.create_task(direct.read(database, SLOW)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in left:
            task.cancel()
        answers = await asyncio.gather(*[direct.read(database, one(n)) for n in range(10)])
        assert [each["cursor"]["firstBatch"][0]["_id"] for each in answers] == [*range(10)]
        assert all(isinstance(each, asyncio.CancelledError) for each in await _ended(left))


async def _ended(tasks: list[asyncio.Task[Any]]) -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_wait_ends_when_the_driver_gives_up_the_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_LOOK", 0.02)
    waiting = asyncio.create_task(direct.read(database, SLOW))
    await asyncio.sleep(0.05)
    client: Any = database.client
    [server] = client._topology._servers.values()
    given_up = [*server.pool.active_contexts]
    for context in given_up:
        context.cancel()
    answer = await waiting  # asked once more, in the driver's own way
    assert given_up
    assert len(answer["cursor"]["firstBatch"]) == 10
