"""A broker for the demonstration, started by its command line and stopped at the end."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import aiohttp

from seeds.demo.client import DemoError

HOST = "127.0.0.1"
START_LIMIT, STOP_LIMIT = 30.0, 20.0  # seconds


@asynccontextmanager
async def broker() -> AsyncIterator[str]:
    """Runs a broker with a database in a temporary folder; yields its URL."""
    with tempfile.TemporaryDirectory(prefix="eridanus-demo-", ignore_cleanup_errors=True) as folder:
        port, log = free_port(), Path(folder) / "broker.log"
        process = await start(port, Path(folder) / "data", log)
        try:
            url = f"http://{HOST}:{port}"
            await ready(process, url, log)
            yield url
        finally:
            await stop(process)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def start(port: int, data: Path, log: Path, *options: str) -> Process:
    """Starts a broker with further command-line options.

    It gets its own session, so that Ctrl-C reaches this process only, which then stops it.
    """
    command = (
        sys.executable,
        "-m",
        "broker",
        "serve",
        "--host",
        HOST,
        "--port",
        str(port),
        "--data-dir",
        str(data),
        *options,
    )
    with log.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


async def ready(process: Process, url: str, log: Path) -> None:
    """Waits until the broker is ready; DemoError if it ends before, or takes more than 30 s."""
    limit = monotonic() + START_LIMIT
    async with aiohttp.ClientSession() as session:
        while not await is_ready(session, url):
            if process.returncode is not None:
                raise DemoError(
                    f"The broker ended before it was ready. Its last log lines:\n{last_lines(log)}"
                )
            if monotonic() > limit:
                raise DemoError(f"The broker wasn't ready after {START_LIMIT:.0f} s:\n{last_lines(log)}")
            await asyncio.sleep(0.1)


async def is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health/ready") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def last_lines(log: Path, count: int = 10) -> str:
    lines = log.read_text(errors="replace").splitlines()[-count:]
    return "\n".join(f"  {line}" for line in lines) or "  (nothing)"


async def stop(process: Process) -> None:
    """Terminates the broker, and kills it if it does not end within 20 s."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_LIMIT)
    except TimeoutError:
        process.kill()
        await process.wait()
