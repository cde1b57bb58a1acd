"""Reads by id: few round trips, and everybody who asks is answered."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker.store.reads import Reads

NOW = "2026-07-01T12:00:00.000000"


class Collection:
    """Answers a `find` when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.broken: set[str] = set()

    def find(self, wanted: dict[str, Any], **options: Any) -> "Cursor":
        """A batch."""
        self.batches.append(wanted["_id"]["$in"])
        return Cursor(self, wanted["_id"]["$in"])


class Cursor:
    """What a batch finds."""

    def __init__(self, collection: Collection, ids: list[str]) -> None:
        self._collection, self._ids = collection, ids

    async def to_list(self) -> list[dict[str, Any]]:
        """All of it."""
        await self._collection.gate.wait()
        if self._collection.error is not None:
            raise self._collection.error
        found: list[dict[str, Any]] = [
            {"_id": one, "type": ["T"], "attrs": {}} for one in self._ids if "missing" not in one
        ]
        for one in found:
            if one["_id"] in self._collection.broken:
                del one["attrs"]
        return found


def reads(collection: Collection, batch: int = 10) -> Reads:
    return Reads(cast(Any, SimpleNamespace(entities=collection)), batch, lambda: NOW)


async def test_what_is_wanted_at_once_is_read_at_once() -> None:
    collection = Collection()
    found = await asyncio.gather(*map(reads(collection).get, ["a", "b", "missing", "a"]))
    assert [one and one["id"] for one in found] == ["a", "b", None, "a"]
    assert collection.batches == [["a", "b", "missing"]]


async def test_what_is_wanted_meanwhile_goes_into_the_next_batch() -> None:
    """A read that begins after a write was answered must not get the batch that began before it."""
    collection, tasks = Collection(), []
    collection.gate.clear()
    many = reads(collection, batch=3)
    for name in "abcdefgh":
        tasks.append(asyncio.create_task(many.get(name)))
        await asyncio.sleep(0.001)
    again = asyncio.create_task(many.get("a"))
    await asyncio.sleep(0.001)
    assert collection.batches == [["a"], ["b"]], "two batches are under way"
    collection.gate.set()
    assert [one["id"] for one in await asyncio.gather(*tasks, again) if one] == [*"abcdefgh", "a"]
    assert collection.batches[2:] in ([["c", "d", "e"], ["f", "g", "h"], ["a"]],)


@pytest.mark.parametrize("error", [OSError("away"), KeyError("a fault of ours")], ids=str)
async def test_everybody_hears_of_an_error_and_the_next_read_works(error: Exception) -> None:
    collection = Collection()
    collection.error = error
    many = reads(collection)
    answers = await asyncio.gather(*map(many.get, "abc"), return_exceptions=True)
    assert [type(one) for one in answers] == [type(error)] * 3
    collection.error = None
    found = await many.get("a")
    assert found is not None


async def test_a_document_that_cannot_be_read_leaves_nobody_waiting() -> None:
    collection = Collection()
    collection.broken = {"b"}
    many = reads(collection)
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*map(many.get, "ab"), return_exceptions=True)
    assert all(isinstance(one, KeyError) for one in answers)


async def test_who_goes_away_is_in_nobodys_way() -> None:
    collection = Collection()
    collection.gate.clear()
    many = reads(collection)
    gone, stays = asyncio.create_task(many.get("a")), asyncio.create_task(many.get("a"))
    await asyncio.sleep(0.001)
    gone.cancel()
    collection.gate.set()
    found = await stays
    assert found is not None
    assert found["id"] == "a"
