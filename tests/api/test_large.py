"""Batches of 10,000 entities and bodies as large as may be: what they answer, in bounded memory."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.core import Json
from tests.api.conftest import Api, Kept, room
from tests.conftest import free_port, running

COUNT = 10_000
MOST = 1500 * 1024**2  # bytes of a worker at its peak; it takes about 90 MB at rest
MIB = 1024**2


class Busy(Api):
    """A broker of its own, whose worker is watched; and somebody who reads an entity all the while."""

    worker = 0
    statuses: set[int]

    @property
    def peak(self) -> int:
        """The most memory that the worker ever had, in bytes."""
        return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.worker}/status").read_text())[0])

    async def read_on(self) -> None:
        """Reads one small entity over and over."""
        while True:
            self.statuses.add((await self("GET", "entities/urn:x:small")).status)
            await asyncio.sleep(0.01)

    async def batch(self, operation: str, docs: Json) -> Any:
        """A batch operation."""
        return await self("POST", f"entityOperations/{operation}", docs)

    async def count(self, condition: str) -> int:
        """How many entities of type T fulfil it."""
        answer = await self("GET", f"entities?type=T&count=true&limit=0&q={condition}")
        return int(answer.headers["NGSILD-Results-Count"])


@pytest.fixture(scope="module")
async def busy(mongo_uri: str) -> AsyncIterator[Busy]:
    """A broker of its own."""
    port = free_port()
    async with (
        running(port, mongo_uri=mongo_uri, database="large") as process,
        aiohttp.ClientSession() as http,
    ):
        api = Busy(http, f"http://127.0.0.1:{port}", {})
        api.worker = child(process.pid)
        await api.make({"id": "urn:x:small", "type": "Small", "a": 1})
        api.statuses = set()
        reading = asyncio.create_task(api.read_on())
        yield api
        reading.cancel()
        assert api.statuses == {200}


def child(pid: int) -> int:
    """The only child of a process."""
    [found] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found)


def sensors(value: int, count: int = COUNT) -> list[dict[str, Json]]:
    """Entities of about 1 kB."""
    one = {"type": "Property", "observedAt": "2026-07-01T12:00:00Z", "unitCode": "CEL"}
    return [
        room(f"urn:ngsi-ld:T:{n}", **{f"attribute{k}": {**one, "value": value} for k in range(10)})
        for n in range(count)
    ]


@pytest.mark.slow
@pytest.mark.clause("5.6.7")
async def test_batches_of_ten_thousand_entities(busy: Busy) -> None:
    ids = [f"urn:ngsi-ld:T:{n}" for n in range(COUNT)]
    created = await busy.batch("create", sensors(1))
    assert (created.status, created.doc) == (201, ids)
    again = await busy.batch("create", sensors(2, COUNT + 5))
    assert again.status == 207
    assert len(again.doc["success"]) == 5
    assert [one["entityId"] for one in again.doc["errors"]] == ids
    assert {one["error"]["status"] for one in again.doc["errors"]} == {409}
    for value, operation in enumerate(("upsert", "upsert?options=update", "update", "merge"), 3):
        answer = await busy.batch(operation, sensors(value))
        assert (answer.status, answer.body) == (204, b"")
        assert await busy.count(f"attribute9=={value}") == COUNT
    mixed = [*sensors(9)[: COUNT - 1], {"id": "urn:ngsi-ld:T:0"}]
    assert (await busy.batch("upsert", mixed)).doc["errors"][0]["error"]["status"] == 400
    assert await busy.count("attribute0==9") == COUNT - 1
    gone = await busy.batch("delete", [*ids, *ids])
    assert (gone.doc["success"], len(gone.doc["errors"])) == (ids, COUNT)
    assert await busy.count("attribute0") == 5
    assert busy.peak < MOST


@pytest.mark.slow
async def test_several_at_once(busy: Busy) -> None:
    docs = [[{**one, "id": f"{one['id']}:{k}"} for one in sensors(1, 4000)] for k in range(6)]
    answers = await asyncio.gather(*(busy.batch("upsert", some) for some in docs))
    assert [answer.status for answer in answers] == [201] * 6
    assert [len(answer.doc) for answer in answers] == [4000] * 6
    assert busy.peak < MOST


@pytest.mark.slow
async def test_bodies_as_large_as_may_be(busy: Busy) -> None:
    def large(size: int) -> bytes:
        head = b'{"id":"urn:x:large","type":"L","a":"'
        return head + b"x" * (size - len(head) - 2) + b'"}'

    assert (await busy("POST", "entities", data=large(16 * MIB + 1))).is_problem(413, "BadRequestData")
    # The database holds 16 MiB with all that it needs to know of an entity.
    assert (await busy("POST", "entities", data=large(16 * MIB))).is_problem(400, "BadRequestData")
    assert (await busy("POST", "entities", data=large(15 * MIB))).status == 201
    assert (await busy("PUT", "entities/urn:x:large", data=large(14 * MIB))).status == 204
    found = await busy.get("entities/urn:x:large?format=simplified")
    assert len(found["a"]) == 14 * MIB - len(b'{"id":"urn:x:large","type":"L","a":""}')
    assert busy.peak < MOST


def array(size: int, item: bytes) -> bytes:
    return b"[" + (item + b",") * (size - 1) + item + b"]"


ATTRIBUTES = b",".join(b'"a%d":1' % n for n in range(300_000))


TOO_MUCH = {
    "body: expected at most 20000 items": ("POST entityOperations/delete", array(20_001, b'"a"')),
    "body: expected at most 2097152 values": ("PATCH entities/urn:x:1/attrs/a", array(2_200_000, b"1")),
    "entity: expected at most 10000": ("POST entities", b'{"id":"urn:x:2","type":"T",%b}' % ATTRIBUTES),
    "entity: expected at most 10000 ": ("POST entities/urn:x:1/attrs", b'{"a":{"value":1,%b}}' % ATTRIBUTES),
    "a: expected at most 1000": ("PATCH entities/urn:x:1", b'{"a":%b}' % array(1001, b'{"value":1}')),
}


@pytest.mark.parametrize("said", TOO_MUCH)
async def test_what_is_too_much_is_refused(kept: Kept, said: str) -> None:
    request, body = TOO_MUCH[said]
    answer = await kept(*request.split(), data=body)
    assert answer.is_problem(413 if "items" in said else 400, "BadRequestData")
    assert answer.doc["detail"].startswith(said)
    assert await kept.is_unchanged()


async def test_text_with_many_commas_is_no_large_number_of_values(api: Api) -> None:
    await api.make(room(heat="," * 3_000_000))
    assert len((await api.entity())["heat"]) == 3_000_000


@pytest.mark.slow
async def test_thousands_of_attributes_appended_to_thousands(busy: Busy) -> None:
    def attrs(letter: str) -> dict[str, Json]:
        return {f"{letter}{n}": {"type": "Property", "value": n} for n in range(6000)}

    await busy.make({"id": "urn:x:wide", "type": "Wide", **attrs("a")})
    assert (await busy("POST", "entities/urn:x:wide/attrs", attrs("b"))).status == 204
    assert len(await busy.entity("urn:x:wide")) == 12_002
    assert len((await busy.get("attributes"))["attributeList"]) >= 12_000
