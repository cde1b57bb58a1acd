"""A MongoDB of the test's own, of one member or several."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from broker.store.server.children import end_child, start_child
from broker.store.server.mongod import find_mongod
from tests.conftest import free_port

AnyClient = AsyncMongoClient[dict[str, Any]]
ELECTION = 2000  # milliseconds of silence after which the members elect another primary


class Members:
    """So many servers, by port; `options` are further ones of their command lines."""

    def __init__(self, count: int, options: Sequence[str]) -> None:
        self.ports = [free_port() for _ in range(count)]
        self._options = options
        self.processes: dict[int, asyncio.subprocess.Process] = {}

    @property
    def uri(self) -> str:
        """For brokers."""
        return f"mongodb://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/?replicaSet=test"

    async def start(self, port: int, folder: Path) -> None:
        """Starts one."""
        data = folder / str(port)
        data.mkdir()
        options = ["--replSet", "test", "--port", str(port), "--bind_ip", "127.0.0.1", "--dbpath", str(data)]
        small = ["--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet"]
        command = [str(find_mongod(None)), *options, *small, *self._options]
        self.processes[port] = await start_child(command, output=asyncio.subprocess.DEVNULL)

    async def initiate(self) -> None:
        """Makes one replica set of them."""
        members = [{"_id": n, "host": f"127.0.0.1:{port}"} for n, port in enumerate(self.ports)]
        config = {"_id": "test", "members": members, "settings": {"electionTimeoutMillis": ELECTION}}
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
async def members(folder: Path, count: int = 3, options: Sequence[str] = ()) -> AsyncIterator[Members]:
    """A replica set with a primary."""
    servers = Members(count, options)
    async with AsyncExitStack() as stack:
        for port in servers.ports:
            await servers.start(port, folder)
            stack.push_async_callback(end_child, servers.processes[port], 5)
        await servers.initiate()
        await servers.primary()
        yield servers
