"""A receiver of notifications: an HTTP server that answers at once and keeps what came, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Notification = dict[str, Any]


@dataclass
class Listener:
    """Where notifications arrive; `url` is what goes into a subscription."""

    url: str = ""
    received: int = 0
    queue: asyncio.Queue[Notification] = field(default_factory=asyncio.Queue)

    async def receive(self, request: web.Request) -> web.Response:
        self.received += 1
        self.queue.put_nowait(await request.json())
        return web.Response(status=200)

    async def notifications(self) -> AsyncIterator[Notification]:
        """One after the other, for ever."""
        while True:
            yield await self.queue.get()


@asynccontextmanager
async def listening(host: str) -> AsyncIterator[Listener]:
    """Serve a Listener on a free port of this address."""
    listener = Listener()
    app = web.Application()
    app.router.add_post("/notify", listener.receive)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        listener.url = f"http://{host}:{runner.addresses[0][1]}/notify"
        yield listener
    finally:
        await runner.cleanup()
