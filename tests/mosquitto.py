"""A real MQTT server for tests: Mosquitto, on free ports of loopback."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from broker.store.server.children import end_child, start_child
from tests.conftest import free_port, until_open

USER, PASSWORD = "lamp", "p@ss:word"
needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") is None,
    reason="Mosquitto is not here: 'sudo apt-get install mosquitto' gets it",
)


@asynccontextmanager
async def mosquitto(folder: Path, port: int = 0, *lines: str) -> AsyncIterator[int]:
    """A server with more lines of configuration; anybody may speak to it unless they say otherwise."""
    port = port or free_port()
    config = folder / f"{port}.conf"
    user = ["user root"] * (os.geteuid() == 0)
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "allow_anonymous true", *user, *lines, ""]))
    server = await start_child([_program("mosquitto"), "-c", str(config)], output=asyncio.subprocess.DEVNULL)
    try:
        await until_open(port)
        yield port
    finally:
        await end_child(server, 5)


async def passwords(folder: Path) -> str:
    """The line of configuration that lets in nobody but USER, with PASSWORD."""
    file = folder / "passwords"
    file.touch(mode=0o600)
    made = await asyncio.create_subprocess_exec(
        _program("mosquitto_passwd"), "-b", str(file), USER, PASSWORD, stderr=asyncio.subprocess.DEVNULL
    )
    assert await made.wait() == 0
    return f"allow_anonymous false\npassword_file {file}"


def _program(name: str) -> str:
    return shutil.which(name) or f"/usr/sbin/{name}"
