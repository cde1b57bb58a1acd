"""The embedded MongoDB server: real processes, real crashes."""

import asyncio
import gc
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from broker.store.server.embedded import EmbeddedMongo, EmbeddedMongoError
from broker.store.server.mongod import failure, find_mongod, mongod_command


def _client(uri: str) -> AsyncMongoClient[dict[str, Any]]:
    # Without a stream of heartbeats: the driver leaks the socket of one that is cut off while it begins.
    return AsyncMongoClient(uri, serverMonitoringMode="poll")


# The driver leaks the socket of a monitor that is cancelled while it connects, as after a refused login.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(autouse=True)
def _leaks_end_here() -> Iterator[None]:
    yield
    gc.collect()


@asynccontextmanager
async def started(data_dir: Path) -> AsyncIterator[tuple[EmbeddedMongo, str]]:
    """A server and its URI, stopped at the end."""
    mongo = EmbeddedMongo(data_dir)
    try:
        yield mongo, await mongo.start()
    finally:
        await mongo.stop()


async def _write(uri: str, identifier: int) -> None:
    async with _client(uri) as client:
        await client.test.things.insert_one({"_id": identifier})


async def _read(uri: str) -> list[int]:
    async with _client(uri) as client:
        return [thing["_id"] async for thing in client.test.things.find()]


async def test_from_nothing_to_a_transaction(tmp_path: Path) -> None:
    async with started(tmp_path / "new" / "folder") as (mongo, uri), _client(uri) as client:
        async with client.start_session() as session, await session.start_transaction():
            await client.test.things.insert_one({"_id": 1}, session=session)
        assert await _read(uri) == [1]
        assert mongo.version


async def test_it_listens_on_loopback_alone_and_asks_for_a_password(tmp_path: Path) -> None:
    async with started(tmp_path) as (mongo, uri):
        listening = [c for c in psutil.Process(mongo.pid).net_connections() if c.status == "LISTEN"]
        assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
        async with _client("mongodb://" + uri.split("@")[1]) as stranger:
            with pytest.raises(OperationFailure, match="requires authentication"):
                await stranger.test.things.find_one()


async def test_secrets_are_ours_alone(tmp_path: Path) -> None:
    async with started(tmp_path) as (mongo, _):
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in mongo.folder.iterdir()}
        assert stat.S_IMODE(mongo.folder.stat().st_mode) == 0o700
        assert modes["keyfile"] == modes["password"] == modes["mongod.log"] == 0o600
        assert modes["db"] == 0o700


@pytest.mark.slow
async def test_a_restart_keeps_data_and_port(tmp_path: Path) -> None:
    async with started(tmp_path) as (_, first):
        await _write(first, 1)
    async with started(tmp_path) as (_, second):
        assert await _read(second) == [1]
    assert second == first


@pytest.mark.slow
async def test_a_taken_port_is_given_up(tmp_path: Path) -> None:
    async with started(tmp_path) as (mongo, first):
        await _write(first, 1)
    port = int((mongo.folder / "port").read_text())
    taker = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    async with taker, started(tmp_path) as (_, second):
        assert await _read(second) == [1]
        await _write(second, 2)
    assert second != first


@pytest.mark.slow
async def test_a_crashed_server_is_recovered_on_its_port(tmp_path: Path) -> None:
    async with started(tmp_path) as (mongo, uri):
        await _write(uri, 1)
        assert mongo.pid
        os.kill(mongo.pid, signal.SIGKILL)
        assert await mongo.wait_exit() == -signal.SIGKILL
        assert mongo.pid is None
        assert await mongo.start() == uri
        assert await _read(uri) == [1]


_ABANDON = """
import asyncio, os, signal, sys
from pathlib import Path
from broker.store.server import children
children._end_with_parent = None  # a system without this help
from broker.store.server.embedded import EmbeddedMongo

async def main():
    mongo = EmbeddedMongo(Path(sys.argv[1]))
    await mongo.start()
    print(mongo.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_server_that_a_killed_broker_left_is_ended_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ABANDON, str(tmp_path)]
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    left = psutil.Process(int(shown.stdout))
    assert left.name() == "mongod"
    async with started(tmp_path) as (_, uri):
        assert not left.is_running() or left.status() == "zombie"
        await _write(uri, 1)


async def test_a_lock_that_names_someone_else_hurts_nobody(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    (tmp_path / "mongodb" / "db").mkdir(parents=True)
    (tmp_path / "mongodb" / "db" / "mongod.lock").write_text(f"{bystander.pid}\n")
    async with started(tmp_path) as (_, uri):
        await _write(uri, 1)
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()


async def test_two_brokers_on_one_folder(tmp_path: Path) -> None:
    async with started(tmp_path) as (_, uri):
        with pytest.raises(EmbeddedMongoError, match=f"another broker uses the data directory {tmp_path}"):
            async with started(tmp_path):
                pass
        await _write(uri, 1)


@pytest.mark.slow
async def test_a_lost_password_is_named(tmp_path: Path) -> None:
    async with started(tmp_path) as (mongo, _):
        pass
    (mongo.folder / "password").unlink()
    with pytest.raises(EmbeddedMongoError, match="restore the file mongodb/password"):
        async with started(tmp_path):
            pass


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedMongoError, match="cannot be used: Not a directory"):
        async with started(tmp_path / "file"):
            pass


def _fake(folder: Path, script: str) -> Path:
    program = folder / "mongod"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


async def _complaint(folder: Path, mongod: Path) -> str:
    mongo = EmbeddedMongo(folder / "data", mongod)
    try:
        with pytest.raises(EmbeddedMongoError) as caught:
            await mongo.start()
    finally:
        await mongo.stop()
    return str(caught.value)


async def test_a_missing_library_is_named_with_its_package(tmp_path: Path) -> None:
    words = "mongod: error while loading shared libraries: libcurl.so.4: cannot open shared object file: ..."
    complaint = await _complaint(tmp_path, _fake(tmp_path, f"echo '{words}' >&2; exit 127"))
    assert complaint == (
        "the embedded MongoDB server lacks the shared library libcurl.so.4: apt-get install libcurl4"
    )


async def test_a_server_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    complaint = await _complaint(tmp_path, _fake(tmp_path, "echo no such luck; exit 3"))
    assert "ended at its start (exit code 3): no such luck; see " in complaint


async def test_data_of_another_making_is_refused_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "data" / "mongodb" / "db").mkdir(parents=True)
    (tmp_path / "data" / "mongodb" / "db" / "storage.bson").write_text("not BSON")
    complaint = await _complaint(tmp_path, find_mongod(None))
    assert "ended at its start" in complaint
    assert "\n" not in complaint


async def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    program = tmp_path / "mongod"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    assert "cannot be started: " in await _complaint(tmp_path, program)


def test_the_operators_choice_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedMongoError, match=r"BROKER_MONGOD names .* not a program"):
        find_mongod(tmp_path / "nowhere")


def test_without_any_mongod_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.store.server.mongod.find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(EmbeddedMongoError, match=r"eridanus\[embedded\].*BROKER_MONGO_URI"):
        find_mongod(None)


def test_a_log_without_complaints(tmp_path: Path) -> None:
    log = tmp_path / "mongod.log"
    log.write_text('{"s":"I", "msg":"fine"}\n')
    assert "(exit code 1): no word; see " in str(failure(1, "", log))


def test_a_full_disk_is_what_is_the_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the log says, which has no space either."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 20))
    assert "is full (3 MB left): make space there" in str(failure(14, "", tmp_path / "mongod.log"))


@pytest.mark.parametrize(("lifetime", "given"), [(None, False), (7, True)])
def test_mongodbs_own_transaction_lifetime_can_be_left(lifetime: int | None, given: bool) -> None:
    command = mongod_command(Path("mongod"), Path("/x"), 1, transaction_lifetime=lifetime, cache_mb=512)
    assert ("transactionLifetimeLimitSeconds=7" in command) is given
    assert "0.50" in command


async def test_a_big_log_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "mongodb").mkdir()
    (tmp_path / "mongodb" / "mongod.log").write_bytes(b"x" * (11 * 1024 * 1024))
    async with started(tmp_path) as (mongo, _):
        assert (mongo.folder / "mongod.log").stat().st_size < 1024 * 1024
        assert (mongo.folder / "mongod.log.1").exists()
