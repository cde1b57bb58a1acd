"""A receiver of notifications: an HTTP server that responds at once and queues them in order."""

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
    """A queue of received notifications. `url`: the endpoint for subscriptions."""

    url: str = ""
    received: int = 0
    queue: asyncio.Queue[Notification] = field(default_factory=asyncio.Queue)

    async def receive(self, request: web.Request) -> web.Response:
        self.received += 1
        self.queue.put_nowait(await request.json())
        return web.Response(status=200)

    async def notifications(self) -> AsyncIterator[Notification]:
        """Yields the notifications in the order of arrival, until cancelled."""
        while True:
            yield await self.queue.get()


@asynccontextmanager
async def listening(host: str) -> AsyncIterator[Listener]:
    """A Listener that is served on a free port of this address."""
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
