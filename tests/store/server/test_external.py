"""Which MongoDB servers of the operator's own are accepted."""

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from broker.store.server.children import end_child, start_child
from broker.store.server.embedded import EmbeddedMongo
from broker.store.server.external import ServerUnfitError, check_server, connect, unfit
from broker.store.server.mongod import find_mongod
from tests.conftest import free_port, until_open

_SIX = [6, 0, 5, 0]


async def _complaint(uri: str) -> str:
    async with connect(uri) as client:
        with pytest.raises(ServerUnfitError) as caught:
            await check_server(client)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The driver leaks the socket of a monitor that is cancelled while it connects, as after a refused login.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _leaks_end_here() -> Iterator[None]:
    yield
    gc.collect()


@asynccontextmanager
async def plain_mongod(folder: Path, *arguments: str) -> AsyncIterator[int]:
    """A server as someone would start it by hand, and its port."""
    port = free_port()
    command = [
        *(str(find_mongod(None)), "--dbpath", str(folder), "--port", str(port), "--bind_ip", "127.0.0.1"),
        *("--nounixsocket", *arguments),
    ]
    process = await start_child(command, output=asyncio.subprocess.DEVNULL)
    try:
        await until_open(port)
        yield port
    finally:
        await end_child(process, 20)


async def test_a_replica_set_is_welcome_and_a_wrong_password_is_not(tmp_path: Path) -> None:
    mongo = EmbeddedMongo(tmp_path)
    try:
        uri = await mongo.start()
        async with connect(uri) as client:
            await check_server(client)
        password = uri.split(":")[2].split("@")[0]
        wrong = uri.replace(password, "secret123") + "&serverSelectionTimeoutMS=300"
        complaint = await _complaint(wrong)
        assert "user name or the password" in complaint
        assert "secret123" not in complaint
        other = uri.replace("replicaSet=eridanus", "replicaSet=other&serverSelectionTimeoutMS=300")
        assert "of another name" in await _complaint(other)
    finally:
        await mongo.stop()


async def test_a_standalone_server_is_refused(tmp_path: Path) -> None:
    async with plain_mongod(tmp_path) as port:
        complaint = await _complaint(f"mongodb://127.0.0.1:{port}/")
    assert "standalone" in complaint
    assert "--replSet" in complaint


async def test_a_replica_set_that_is_not_initiated_is_refused(tmp_path: Path) -> None:
    async with plain_mongod(tmp_path, "--replSet", "rs0") as port:
        uri = f"mongodb://127.0.0.1:{port}/?serverSelectionTimeoutMS=300"
        assert "rs.initiate()" in await _complaint(uri)
        assert "rs.initiate()" in await _complaint(uri + "&directConnection=true")


async def test_nobody_there() -> None:
    port = free_port()
    complaint = await _complaint(f"mongodb://me:hush@127.0.0.1:{port}/?serverSelectionTimeoutMS=200")
    assert f"cannot reach MongoDB at 127.0.0.1:{port} within 0.2 s" in complaint
    assert "hush" not in complaint


@pytest.mark.parametrize(
    "uri", ["http://x", "mongodb://", "mongodb://a:p@ss:word@host/", "mongodb://host:x/"]
)
def test_a_text_that_is_no_uri_is_not_repeated(uri: str) -> None:
    with pytest.raises(ServerUnfitError) as caught:
        connect(uri)
    assert "is not a MongoDB URI" in str(caught.value)
    assert "p@ss" not in str(caught.value)


@pytest.mark.parametrize(
    ("hello", "version", "complaint"),
    [
        ({"setName": "rs0"}, _SIX, None),
        ({"msg": "isdbgrid"}, _SIX, None),
        ({"setName": "rs0"}, [8, 2, 0, 0], None),
        ({"setName": "rs0"}, [5, 0, 31, 0], "MongoDB 5.0 is too old: 6.0 or newer is needed"),
    ],
)
def test_unfit(hello: dict[str, Any], version: list[int], complaint: str | None) -> None:
    assert unfit(hello, version) == complaint
