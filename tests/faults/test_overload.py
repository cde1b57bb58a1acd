"""Receivers slower than writers: the outbox grows on disk, up to its limit, and then writers have to wait."""

import asyncio
from pathlib import Path

import pytest

from tests.conftest import free_port, running
from tests.faults.rig import API, Client, Load, all_arrive, receiving, workers

pytestmark = pytest.mark.slow
LIMIT = 600
NAMES = [f"e{n}" for n in range(10)]
SETTINGS = {
    "outbox_limit": LIMIT,
    "lane_limit": 20,
    "deliveries_limit": 40,
    "notification_retry_first": 0.1,
    "notification_retry_cap": 0.2,
    "log_level": "error",
}


async def test_writers_are_slowed_down_rather_than_notifications_lost(tmp_path: Path) -> None:
    port = free_port()
    async with (
        receiving() as receiver,
        running(port, data_dir=tmp_path, workers=2, **SETTINGS) as process,
        Client(port) as client,
    ):
        receiver.is_down = True
        await client.create(*NAMES)
        other = {"id": "urn:x:other", "type": "Other", "n": {"type": "Property", "value": 0}}
        assert (await client.ask("POST", f"{API}/entities", other))[0] == 201
        subscription = await client.subscribe("s", receiver.uri)
        load = Load(client, NAMES).start()
        async with asyncio.timeout(20):
            while client.statuses.get(503, 0) < 100:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        taken = load.total
        assert LIMIT / 2 < taken < LIMIT * 2, "two workers count apart for a second at most"
        attr = {"n": {"type": "Property", "value": 1}}
        refused = await client.http.patch(f"{API}/entities/urn:x:e0/attrs", json=attr)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert await client.put("other", 1) == 204, "what is due to nobody can be written"
        memory = [one.memory_info().rss >> 20 for one in workers(process.pid)]
        receiver.is_down = False
        async with asyncio.timeout(20):
            while load.total < taken + 100:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await load.stop()
        written = await load.check(client)
        took = await all_arrive(receiver, subscription, written, 20)
    print(f"overload: refused after {taken} writes, {memory} MiB; all told {took:.1f} s after the load")
