"""Commands on a real MongoDB: all that there is, and nothing left open."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from bson import encode
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.collection import AsyncCollection

from broker.store.wire import commands
from broker.store.wire.client import open_database

Collection = AsyncCollection[dict[str, Any]]


@pytest.fixture
async def things(mongo_uri: str) -> AsyncIterator[Collection]:
    """A collection of the test's own."""
    async with AsyncExitStack() as stack:
        client = (await open_database(mongo_uri, stack)).client
        yield client[f"c{secrets.token_hex(4)}"]["things"]


async def open_cursors(collection: Collection) -> int:
    """How many cursors the server has open."""
    status = await collection.database.command("serverStatus")
    count: int = status["metrics"]["cursor"]["open"]["total"]
    return count


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_answers_above_what_one_may_hold(things: Collection, in_transaction: bool) -> None:
    for n in range(5):
        await things.insert_one({"_id": n, "text": "x" * 6_000_000, "n": -n})
    before = await open_cursors(things)
    async with things.database.client.start_session() as session:
        if in_transaction:
            await session.start_transaction()
        used = session if in_transaction else None
        found = await commands.find(things, {}, used, sort={"n": 1}, skip=1, projection={"n": 1, "text": 1})
        assert [one["_id"] for one in found] == [3, 2, 1, 0]
        assert all(one.keys() == {"_id", "n", "text"} for one in found)
        assert await open_cursors(things) == before
        if in_transaction:
            await session.commit_transaction()


async def test_what_is_no_bson_is_in_nobodys_way(things: Collection) -> None:
    await things.insert_many([{"_id": "a", "v": {"w": "good"}}, {"_id": "c", "v": {"w": "good"}}])
    raw = encode({"_id": "b", "v": {"w": "spoilt"}}).replace(b"spoilt", b"spoil\xff")
    await things.insert_one(RawBSONDocument(raw))
    found = await commands.find(things, {}, sort={"_id": 1})
    assert found == [{"_id": "a", "v": {"w": "good"}}, {"_id": "b"}, {"_id": "c", "v": {"w": "good"}}]
