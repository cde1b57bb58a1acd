"""Two brokers on one database, one of them an hour ahead."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from tests.api.conftest import Api, room
from tests.conftest import free_port, running


@pytest.fixture(scope="module")
async def brokers(mongo_uri: str) -> AsyncIterator[list[str]]:
    """The roots of a broker whose clock is wrong, and of one whose clock is right."""
    wrong, right = free_port(), free_port()
    common = {"mongo_uri": mongo_uri, "database": f"k{secrets.token_hex(4)}"}
    async with running(wrong, clock_offset=3600, **common), running(right, **common):
        yield [f"http://127.0.0.1:{port}" for port in (wrong, right)]


async def test_a_wrong_clock_is_its_own_affair(brokers: list[str], tenant: dict[str, str]) -> None:
    async with aiohttp.ClientSession(brokers[0]) as one, aiohttp.ClientSession(brokers[1]) as other:
        wrong, right = Api(one, brokers[0], tenant), Api(other, brokers[1], tenant)
        began = datetime.now(UTC) - timedelta(seconds=1)
        soon = (began + timedelta(minutes=10)).isoformat(timespec="seconds").replace("+00:00", "Z")
        await wrong.make(room("urn:x:1", heat=1))
        assert (await right("PATCH", "entities/urn:x:1/attrs/heat", {"value": 2})).status == 204
        await right.make(room("urn:x:2", heat=3, expiresAt=soon))
        for api in (wrong, right):
            found = await api.get("entities/urn:x:2?options=sysAttrs")
            made = datetime.fromisoformat(found["createdAt"])
            assert began <= made < began + timedelta(minutes=5)
        await asyncio.sleep(2.5)  # the sweeper of either has looked by then
        assert [e["id"] for e in await wrong.get("entities?type=T")] == ["urn:x:1", "urn:x:2"]
        assert await right.entity("urn:x:2")


async def test_a_wrong_clock_is_a_warning(brokers: list[str], tenant: dict[str, str]) -> None:
    async with aiohttp.ClientSession() as http:
        wrong, right = (Api(http, root, tenant) for root in brokers)
        found = await wrong.get("/health/ready")
        assert found["status"] == "ready"
        assert found["warning"].startswith(("clock: it is 3600", "clock: it is 3599"))
        assert found["warning"].endswith("ahead of the database's")
        assert await right.get("/health/ready") == {"status": "ready"}


async def test_what_is_done_in_the_background_is_counted(api: Api) -> None:
    async with asyncio.timeout(20):
        while True:
            text = (await api("GET", "/metrics")).body.decode()
            if 'eridanus_background_rounds_total{task="sweep"}' in text:
                break
            await asyncio.sleep(0.1)
    assert 'eridanus_background_last_success_timestamp_seconds{task="clock"}' in text
