"""kill -9 of workers while history is packed: nothing is lost, and nothing is there twice."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port, running
from tests.faults.rig import API, Client, database_of, kill, workers

pytestmark = pytest.mark.slow
SERIES, INSTANCES, STEP = 4, 12_000, 4_000


async def test_workers_are_killed_while_they_pack(tmp_path: Path) -> None:
    port = free_port()
    settings = {"process_lease": 0.5, "pack_after": 0, "pack_interval": 0.05, "temporal_page": 100_000}
    async with (
        running(port, data_dir=tmp_path, workers=2, log_level="error", **settings) as process,
        Client(port) as client,
        database_of(tmp_path) as mongo,
    ):
        packed = mongo["eridanus"]["packed"]
        for start in range(0, INSTANCES, STEP):
            for entity in range(SERIES):
                assert await client.ask("POST", f"{API}/temporal/entities", _past(entity, start)) in _DONE
        kills, counts = 0, set()
        async with asyncio.timeout(180):
            while await _instances(packed) < SERIES * INSTANCES - 128 * SERIES:
                await asyncio.sleep(random.uniform(0.05, 0.8))
                counts.add(await _instances(packed))
                grown = [one for one in workers(process.pid) if time.time() - one.create_time() > _GROWN]
                if grown and kills < 12:
                    kill([random.choice(grown)])
                    kills += 1
        assert kills > 6
        assert len(counts) > 4, "it was half packed now and then"
        for entity in range(SERIES):
            assert await _values(client, entity) == list(range(INSTANCES))
    print(f"{kills} workers killed, at {sorted(counts)} instances packed")


_GROWN = 2.5  # seconds until a worker serves: one that dies before is a fault of another kind
_ALL = "format=temporalValues"
_DONE = ((201, None), (204, None))


def _past(entity: int, start: int) -> dict[str, Any]:
    times = (f"2020-01-01T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z" for n in range(start, start + STEP))
    many = [{"value": start + n, "observedAt": time} for n, time in enumerate(times)]
    return {"id": f"urn:p:{entity}", "type": "P", "n": many}


async def _values(client: Client, entity: int) -> list[int]:
    for _ in range(20):  # a worker that was just killed may have to come back first
        status, body = await client.ask(
            "GET", f"{API}/temporal/entities/urn:p:{entity}?format=temporalValues"
        )
        if status == 200:
            return [value for value, _ in body["n"]["values"]]
        await asyncio.sleep(0.2)
    raise AssertionError(f"the last answer was {status}")


async def _instances(packed: Any) -> int:
    rows = await (await packed.aggregate([{"$group": {"_id": None, "n": {"$sum": "$n"}}}])).to_list()
    return rows[0]["n"] if rows else 0
