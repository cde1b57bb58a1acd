"""Reads by id: few round trips, and everybody who asks is answered."""

import asyncio

import pytest

from broker.core import Entity
from broker.store.wire.coalesced_reads import Reads


class Gated(Reads[str, Entity]):
    """Reads whose batches are answered when the test lets them."""

    def __init__(self, batch: int = 10) -> None:
        super().__init__(self._answer, batch)
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def _answer(self, ids: list[str]) -> dict[str, Entity]:
        self.batches.append(ids)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return {one: {"id": one, "type": ["T"], "attrs": {}} for one in ids if "missing" not in one}


async def test_what_is_wanted_at_once_is_read_at_once() -> None:
    reads = Gated()
    found = await asyncio.gather(*map(reads.get, ["a", "b", "missing", "a"]))
    assert [one and one["id"] for one in found] == ["a", "b", None, "a"]
    assert reads.batches == [["a", "b", "missing"]]


async def test_what_is_wanted_meanwhile_goes_into_the_next_batch() -> None:
    """A read that begins after a write was answered must not get the batch that began before it."""
    reads, tasks = Gated(batch=3), []
    reads.gate.clear()
    for name in "abcdefgh":
        tasks.append(asyncio.create_task(reads.get(name)))
        await asyncio.sleep(0.001)
    again = asyncio.create_task(reads.get("a"))
    await asyncio.sleep(0.001)
    assert reads.batches == [["a"], ["b"]], "two batches are under way"
    reads.gate.set()
    assert [one["id"] for one in await asyncio.gather(*tasks, again) if one] == [*"abcdefgh", "a"]
    assert reads.batches[2:] == [["c", "d", "e"], ["f", "g", "h"], ["a"]]


@pytest.mark.parametrize("error", [OSError("away"), KeyError("a fault of ours")], ids=repr)
async def test_everybody_hears_of_an_error_and_the_next_read_works(error: Exception) -> None:
    reads = Gated()
    reads.error = error
    async with asyncio.timeout(1):
        answers = await asyncio.gather(*map(reads.get, "abc"), return_exceptions=True)
    assert [type(one) for one in answers] == [type(error)] * 3
    reads.error = None
    assert await reads.get("a") is not None


async def test_who_goes_away_is_in_nobodys_way() -> None:
    reads = Gated()
    reads.gate.clear()
    gone, stays = asyncio.create_task(reads.get("a")), asyncio.create_task(reads.get("a"))
    await asyncio.sleep(0.001)
    gone.cancel()
    reads.gate.set()
    found = await stays
    assert found is not None
    assert found["id"] == "a"


async def test_what_is_wrong_with_one_is_told_to_those_who_asked_for_it() -> None:
    async def fetch(ids: list[str]) -> dict[str, str | Exception]:
        return {one: KeyError(one) if one == "bad" else one for one in ids}

    reads: Reads[str, str] = Reads(fetch, 10)
    answers = await asyncio.gather(*map(reads.get, ["a", "bad", "b", "bad"]), return_exceptions=True)
    assert [type(one) for one in answers] == [str, KeyError, str, KeyError]
