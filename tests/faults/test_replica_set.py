"""A MongoDB of three members loses its primary under load: nothing acknowledged or due is lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from broker.store.server.children import end_child, start_child
from broker.store.server.mongod import find_mongod
from tests.conftest import free_port, running
from tests.faults.rig import Client, Load, all_arrive, receiving

AnyClient = AsyncMongoClient[dict[str, Any]]
pytestmark = pytest.mark.slow
NAMES = [f"e{n}" for n in range(16)]
ELECTION = 2000  # milliseconds of silence after which the members elect another primary


class Members:
    """Three servers, by port."""

    def __init__(self) -> None:
        self.ports = [free_port() for _ in range(3)]
        self.processes: dict[int, asyncio.subprocess.Process] = {}

    @property
    def uri(self) -> str:
        """For brokers."""
        return f"mongodb://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/?replicaSet=three"

    async def start(self, port: int, folder: Path) -> None:
        """Starts one."""
        data = folder / str(port)
        data.mkdir()
        options = ["--replSet", "three", "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", str(data)]
        small = ["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet"]
        command = [str(find_mongod(None)), *options, *small]
        self.processes[port] = await start_child(command, output=asyncio.subprocess.DEVNULL)

    async def initiate(self) -> None:
        """Makes one replica set of them."""
        members = [{"_id": n, "host": f"127.0.0.1:{port}"} for n, port in enumerate(self.ports)]
        config = {"_id": "three", "members": members, "settings": {"electionTimeoutMillis": ELECTION}}
        async with asyncio.timeout(30):
            while True:
                async with AnyClient("127.0.0.1", self.ports[0], directConnection=True) as first:
                    try:
                        await first.admin.command("replSetInitiate", config)
                        return
                    except PyMongoError:
                        await asyncio.sleep(0.2)

    async def primary(self) -> int:
        """The port of the primary, once there is one."""
        async with AnyClient(self.uri, serverSelectionTimeoutMS=30_000) as client:
            await client.admin.command("ping")
            address = await client.primary
            assert address is not None
            return address[1]


@asynccontextmanager
async def members(folder: Path) -> AsyncIterator[Members]:
    """A replica set with a primary."""
    three = Members()
    async with AsyncExitStack() as stack:
        for port in three.ports:
            await three.start(port, folder)
            stack.push_async_callback(end_child, three.processes[port], 5)
        await three.initiate()
        await three.primary()
        yield three


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
