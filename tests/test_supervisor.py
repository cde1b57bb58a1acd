"""The parent process, with real signals, a real MongoDB and workers that only answer."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from broker.store.server.external import connect
from broker.supervisor.pause import next_pause
from broker.supervisor.port import PortError, reserved_port, url
from tests.conftest import free_port

_LIMIT = 30.0


class Broker:
    """A parent process and the lines it has logged."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port
        self.lines: list[dict[str, Any]] = []

    async def line(self, part: str) -> dict[str, Any]:
        """Wait for a line whose event holds `part`."""
        assert self.process.stderr
        async with asyncio.timeout(_LIMIT):
            async for raw in self.process.stderr:
                self.lines.append(json.loads(raw))
                if part in self.lines[-1]["event"]:
                    return self.lines[-1]
        raise AssertionError(f"no line with {part!r}: {self.lines}")

    async def worker(self) -> tuple[int, str, str]:
        """The process id, the BROKER_PROCESS_ID and the MongoDB URI of the worker that answers."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        pid, process_id, uri = answer.decode().split("\r\n\r\n")[1].split()
        return int(pid), process_id, uri

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return await self.wait()

    async def wait(self) -> int:
        """The exit code, when it comes."""
        assert self.process.stderr
        async with asyncio.timeout(_LIMIT):
            rest = await self.process.stderr.read()
            self.lines += [json.loads(raw) for raw in rest.splitlines()]
            return await self.process.wait()


@asynccontextmanager
async def running(data_dir: Path, **env: str) -> AsyncIterator[Broker]:
    """A parent process on a port of its own, killed at the end if it still runs."""
    port = free_port()
    variables = {
        **os.environ,
        "BROKER_DATA_DIR": str(data_dir),
        "BROKER_PORT": str(port),
        "BROKER_HOST": "127.0.0.1",
        **env,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fake_broker"), env=variables, stderr=asyncio.subprocess.PIPE
    )
    broker = Broker(process, int(variables["BROKER_PORT"]))
    try:
        yield broker
    finally:
        if process.returncode is None:
            process.terminate()
            await broker.wait()


def _mongod_of(broker: Broker) -> psutil.Process:
    children = psutil.Process(broker.process.pid).children()
    return next(child for child in children if child.name() == "mongod")


async def _wait_gone(*pids: int) -> None:
    async with asyncio.timeout(_LIMIT):
        while any(psutil.pid_exists(p) and psutil.Process(p).status() != "zombie" for p in pids):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_it_announces_itself_and_stops_everything(tmp_path: Path) -> None:
    async with running(tmp_path, BROKER_WORKERS="2") as broker:
        ready = await broker.line("is ready")
        assert f"http://127.0.0.1:{broker.port}" in ready["event"]
        assert "2 workers, embedded MongoDB" in ready["event"]
        assert str(tmp_path) in ready["event"]
        children = [child.pid for child in psutil.Process(broker.process.pid).children()]
        assert len(children) == 3
        assert await broker.end() == 0
    assert not any(psutil.pid_exists(pid) for pid in children)
    assert [line["level"] for line in broker.lines] == ["info"] * len(broker.lines)


async def test_ctrl_c_reaches_the_parent_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await broker.line("is ready")
        parent = psutil.Process(broker.process.pid)
        assert {os.getsid(child.pid) for child in parent.children()} == {c.pid for c in parent.children()}
        assert await broker.end(signal.SIGINT) == 0


async def test_a_killed_worker_is_replaced_under_a_new_name(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await broker.line("is ready")
        pid, process_id, uri = await broker.worker()
        os.kill(pid, signal.SIGKILL)
        ended = await broker.line("a worker ended")
        assert ended["exit_code"] == -signal.SIGKILL
        replaced = await _until_answered(broker)
        assert replaced[0] != pid
        assert replaced[1] != process_id
        assert replaced[2] == uri


async def test_the_locks_of_a_killed_worker_are_freed_at_once(tmp_path: Path) -> None:
    env = {"FAKE_WORKER": "locking", "BROKER_TRANSACTION_LIFETIME": "60"}
    async with running(tmp_path, **env) as broker:
        await broker.line("is ready")
        pid, process_id, uri = await broker.worker()
        async with connect(uri) as client:
            locked = client.test.locked
            write = asyncio.create_task(locked.insert_one({"_id": process_id}))
            assert not (await asyncio.wait([write], timeout=0.3))[0], "the worker does not hold its lock"
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(1.0):
                await write


async def _until_answered(broker: Broker) -> tuple[int, str, str]:
    async with asyncio.timeout(_LIMIT):
        while True:
            try:
                return await broker.worker()
            except OSError:
                await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_killed_mongod_is_restarted_on_its_port_with_its_data(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await broker.line("is ready")
        pid, _, uri = await broker.worker()
        async with connect(uri) as client:
            await client.test.things.insert_one({"_id": 1})
            _mongod_of(broker).kill()
            await broker.line("server ended")
            assert await client.test.things.find_one() == {"_id": 1}
        assert (await broker.worker())[0] == pid


@pytest.mark.slow
async def test_a_killed_parent_takes_its_children_along(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        await broker.line("is ready")
        children = [child.pid for child in psutil.Process(broker.process.pid).children()]
        broker.process.kill()
        await broker.process.wait()
        await _wait_gone(*children)
    async with running(tmp_path) as again:
        await again.line("is ready")


@pytest.mark.slow
async def test_a_second_ctrl_c_kills_workers_that_do_not_stop(tmp_path: Path) -> None:
    async with running(tmp_path, FAKE_WORKER="stubborn") as broker:
        await broker.line("is ready")
        mongod = _mongod_of(broker).pid
        broker.process.send_signal(signal.SIGINT)
        await broker.line("stopping")
        await asyncio.sleep(1.0)
        broker.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        assert broker.process.returncode is None, "a second SIGTERM may come from the same stop"
        assert psutil.pid_exists(mongod), "MongoDB must outlive the workers"
        assert await broker.end(signal.SIGINT) == 0


async def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with running(tmp_path, BROKER_PORT=str(port)) as broker:
            assert await broker.wait() == 1
    assert [line["event"] for line in broker.lines] == [
        f"port {port} is in use by another program: stop it, or choose another port with --port"
    ]
    assert os.listdir(tmp_path) == [], "MongoDB must not have been started"


async def test_an_unreachable_mongodb_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    uri = f"mongodb://someone:topsecret@127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=100"
    async with running(tmp_path, BROKER_MONGO_URI=uri) as broker:
        assert await broker.wait() == 1
    (line,) = broker.lines
    assert "cannot reach MongoDB at 127.0.0.1:" in line["event"]
    assert "topsecret" not in json.dumps(line)
    assert "traceback" not in line


async def test_a_database_of_a_newer_version_is_one_sentence_and_the_end(
    tmp_path: Path, mongo_uri: str
) -> None:
    async with connect(f"{mongo_uri}&serverMonitoringMode=poll") as client:
        await client["newer"]["tasks"].insert_one({"_id": "format", "n": 3})
    async with running(tmp_path, BROKER_MONGO_URI=mongo_uri, BROKER_DATABASE="newer") as broker:
        assert await broker.wait() == 1
    (line,) = broker.lines
    assert "a newer version of Eridanus wrote the database 'newer' (format 3" in line["event"]
    assert "traceback" not in line


async def test_workers_that_never_serve_are_one_sentence_and_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, FAKE_WORKER="stillborn") as broker:
        assert await broker.wait() == 1
    assert "the workers end as soon as they start" in broker.lines[-1]["event"]
    assert not any("traceback" in line for line in broker.lines)


async def test_a_stop_during_the_start_is_clean(tmp_path: Path) -> None:
    async with running(tmp_path) as broker:
        async with asyncio.timeout(_LIMIT):
            while not (tmp_path / "mongodb" / "mongod.log").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert await broker.end() == 0
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(tmp_path) in " ".join(command)]


def test_a_reserved_port_refuses_others_and_lets_workers_share() -> None:
    with reserved_port("127.0.0.1", 0) as port:
        with pytest.raises(PortError, match="in use"), reserved_port("127.0.0.1", port):
            pass
        with socket.create_server(("127.0.0.1", port), reuse_port=True) as worker:
            socket.create_connection(("127.0.0.1", port)).close()
            worker.accept()[0].close()


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortError, match=r"cannot listen on 192\.0\.2\.1"), reserved_port("192.0.2.1", 0):
        pass


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1"), ("example.org", "http://example.org:1")],
)
def test_url(host: str, shown: str) -> None:
    assert url(host, 1) == shown


def test_pauses_double_in_a_series_and_start_anew_after_a_long_life() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(next_pause(pauses[-1], 0.5))
    assert pauses[1:4] == [0.1, 0.2, 0.4]
    assert pauses[-1] == 5.0
    assert next_pause(5.0, 60.0) == 0.1
