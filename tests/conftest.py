"""What tests stand on: a real MongoDB, and a real broker over HTTP.

One server and one broker process serve the whole session; a test keeps to itself by a tenant of its own.
"""

import asyncio
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import psutil
import pytest
from pymongo import AsyncMongoClient

from broker.store.server.children import end_child, start_child
from broker.store.server.embedded import EmbeddedMongo
from broker.store.wire.tenants import database_name

_ROOM = 2 << 30  # bytes in memory for the data of MongoDB

# A test is as slow as the machine is busy, which says nothing of what it tests.
hypothesis.settings.register_profile("eridanus", deadline=None, max_examples=25)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("eridanus")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def until_open(port: int) -> None:
    """Returns when somebody listens on a port of loopback."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return await writer.wait_closed()


@asynccontextmanager
async def running(port: int, **settings: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m broker serve` with settings by their names (data_dir=…, workers=2), ready to answer."""
    variables = {f"BROKER_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, "BROKER_HOST": "127.0.0.1", "BROKER_PORT": str(port), **variables}
    process = await start_child([sys.executable, "-m", "broker", "serve"], env=environment)
    try:
        await until_ready(port, process)
        yield process
    finally:
        await end_child(process, 30)


async def until_ready(port: int, process: asyncio.subprocess.Process) -> None:
    """Returns when a broker answers; RuntimeError if it ends before that."""
    async with aiohttp.ClientSession() as http, asyncio.timeout(30):
        while process.returncode is None:
            try:
                async with http.get(f"http://127.0.0.1:{port}/health/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # it does not listen yet
            await asyncio.sleep(0.05)
    raise RuntimeError(f"the broker ended with exit code {process.returncode}")


def _quick_folder() -> str | None:
    """A folder in memory, where fsync costs nothing, if there is room; else None."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > _ROOM
    return str(memory) if has_room and psutil.virtual_memory().available > 2 * _ROOM else None


@pytest.fixture(scope="session")
async def mongo_uri() -> AsyncIterator[str]:
    """A MongoDB server of the session's own."""
    with tempfile.TemporaryDirectory(dir=_quick_folder()) as folder:
        mongo = EmbeddedMongo(Path(folder))
        try:
            yield await mongo.start()
        finally:
            await mongo.stop()


@pytest.fixture(scope="session")
async def broker_url(mongo_uri: str) -> AsyncIterator[str]:
    """The root of a running broker, without a slash at its end."""
    port = free_port()
    settings = {"notification_retry_first": 0.05, "federation_sources": 4}
    async with running(port, mongo_uri=mongo_uri, database="api", **settings):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
async def http(broker_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the broker: paths are relative to its root."""
    async with aiohttp.ClientSession(broker_url) as session:
        yield session


@pytest.fixture(scope="session")
async def databases(mongo_uri: str) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """A client of the MongoDB server."""
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        yield client


@pytest.fixture
async def tenant(databases: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[dict[str, str]]:
    """The header of a tenant that nobody else uses. MongoDB gets slower with each database that is left."""
    name = f"t{secrets.token_hex(6)}"
    yield {"NGSILD-Tenant": name}
    await databases["api"]["tenants"].delete_one({"_id": name})
    await databases.drop_database(database_name("api", name))
