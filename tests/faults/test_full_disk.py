"""The embedded MongoDB's disk is full: nothing acknowledged is lost, and it goes on once there is space."""

import asyncio
import base64
import os
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.conftest import free_port, running
from tests.faults.rig import API, Client, Load, all_arrive, mongod, receiving

pytestmark = pytest.mark.slow
NAMES = [f"e{n}" for n in range(8)]
SMALL, LARGE = 360, 1200  # MB; MongoDB takes 300 at its start
SETTINGS = {"process_lease": 6, "notification_retry_first": 0.05, "log_level": "error"}


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small file system in memory on a folder, for as long as this lasts."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def enlarge(folder: Path) -> None:
    """Makes space."""
    subprocess.run(["mount", "-o", f"remount,size={LARGE}m", str(folder)], check=True)


@asynccontextmanager
async def filling(client: Client) -> AsyncIterator[None]:
    """Entities that take much space, one after the other."""

    async def fill() -> None:
        for number in range(100_000):
            text = base64.b64encode(os.urandom(300_000)).decode()
            entity = {"id": f"urn:f:{number}", "type": "F", "v": {"type": "Property", "value": text}}
            await client.ask("POST", f"{API}/entities", entity)

    task = asyncio.create_task(fill())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_disk_is_full(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with disk(tmp_path):
        async with (
            receiving() as receiver,
            running(port, data_dir=tmp_path, workers=2, **SETTINGS) as process,
            Client(port) as client,
        ):
            await client.create(*NAMES)
            subscription = await client.subscribe("a", receiver.uri)
            load = Load(client, NAMES, pause=0.05).start()
            async with filling(client):
                lines = await _until_said(capfd, "the disk of")
            before = await _settled(load)
            await _is_told(port)
            assert load.total == before, "nothing is acknowledged that cannot be kept"
            enlarge(tmp_path)
            at = time.monotonic()
            async with asyncio.timeout(40):
                while load.total < before + 50:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            away = time.monotonic() - at
            await load.stop()
            assert mongod(process.pid).is_running()
            written = await load.check(client)
            took = await all_arrive(receiver, subscription, written, 20)
    assert re.search(r"is full \(\d+ MB left\): make space there; trying again in", lines)
    assert "Traceback" not in lines
    print(f"disk full after {before} writes; {away:.1f} s after there was space it went on;")
    print(f"  nothing lost; all told {took:.1f} s after the load")


async def _settled(load: Load) -> int:
    """How many writes were acknowledged, once none is that was under way."""
    before = -1
    while before != load.total:
        before = load.total
        await asyncio.sleep(1)
    return before


async def _until_said(capfd: pytest.CaptureFixture[str], words: str) -> str:
    """Returns what the broker logged, when it has said this."""
    said = ""
    async with asyncio.timeout(60):
        while words not in said:
            said += "".join(capfd.readouterr())
            await asyncio.sleep(0.1)
    return said


async def _is_told(port: int) -> None:
    """Who reads or writes now is told so, in time."""
    fragment = {"n": {"type": "Property", "value": 10**6}}
    path = f"{API}/entities/urn:x:e0"
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http, asyncio.timeout(60):
        async with http.get(path) as answer:
            _is_unavailable(answer, await answer.json())
        async with http.patch(f"{path}/attrs", json=fragment) as answer:
            _is_unavailable(answer, await answer.json())


def _is_unavailable(answer: aiohttp.ClientResponse, body: dict[str, Any]) -> None:
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (body["status"], body["title"]) == (503, "Temporarily unavailable")
    assert "the database is away" in body["detail"]
