"""A MongoDB of three members loses its primary under load: nothing acknowledged or due is lost."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.conftest import free_port, running
from tests.faults.rig import Client, Load, all_arrive, receiving
from tests.faults.servers import members

pytestmark = pytest.mark.slow
NAMES = [f"e{n}" for n in range(16)]


async def test_the_primary_is_killed(tmp_path: Path) -> None:
    port = free_port()
    quick = {"process_lease": 6, "notification_retry_first": 0.05, "log_level": "error"}
    async with (
        members(tmp_path) as three,
        receiving() as receiver,
        running(port, mongo_uri=three.uri, workers=2, **quick),
        Client(port) as client,
    ):
        await client.create(*NAMES)
        subscription = await client.subscribe("a", receiver.uri)
        load = Load(client, NAMES, pause=0.05).start()
        await asyncio.sleep(4)
        before = load.total
        at = time.monotonic()
        three.processes[await three.primary()].kill()
        async with asyncio.timeout(45):
            while not load.times or load.times[-1] < at + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        away = max(b - a for a, b in zip([at, *_after(load, at)], _after(load, at), strict=False))
        await asyncio.sleep(4)
        await load.stop()
        written = await load.check(client)
        took = await all_arrive(receiver, subscription, written, 30)
    assert before > 50
    print(
        f"primary killed: {before} writes before, {load.total - before} after; without service {away:.1f} s;"
    )
    print(f"  nothing lost; all told {took:.1f} s after the load")


def _after(load: Load, at: float) -> list[float]:
    """When writes were acknowledged after a time."""
    return [one for one in load.times if one >= at]
