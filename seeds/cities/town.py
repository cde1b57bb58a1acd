"""A town with its own broker and database."""

from __future__ import annotations

from asyncio.subprocess import Process
from pathlib import Path

import aiohttp

from seeds.demo.client import Client
from seeds.demo.process import HOST, free_port, ready, start, stop


class Town:
    """A town. `alias`: the name of its broker in Via headers; `folder`: for its database and its log."""

    def __init__(self, alias: str, folder: Path) -> None:
        self.alias, self._folder = alias, folder
        self._port = free_port()
        self._process: Process | None = None
        self.url = f"http://{HOST}:{self._port}"

    def client(self, session: aiohttp.ClientSession) -> Client:
        """A client of the town's broker."""
        return Client(session, self.url)

    async def open(self) -> None:
        """Starts the broker; what it stored before is there again."""
        log = self._folder / f"{self.alias}.log"
        data = self._folder / self.alias
        self._process = await start(self._port, data, log, "--alias", self.alias)
        await ready(self._process, self.url, log)

    async def close(self) -> None:
        """Stops the broker."""
        if self._process is not None:
            await stop(self._process)
