"""How many large bodies are on their way at once: a body is many times its size once it is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from broker.api.call import read_body
from broker.api.problem import HttpError, TooLarge
from broker.core.errors import Unavailable

LARGE = 1024**2  # bytes from which on a body needs admission
_AT_ONCE = 4
_PATIENCE = 60.0  # seconds that a large body may wait for those before it
_UPLOAD = 120.0  # seconds that it may take to come


class Admission:
    """Lets a few large bodies in, in the order in which they came. `most`: bytes that a body may have."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._room = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def of(self, http: web.BaseRequest) -> AsyncIterator[None]:
        """Reads the body once there is room, which is kept to the end.

        Raises TooLarge, Unavailable if there is no room for long, and a bare 408 if it is too slow to come.
        """
        if (http.content_length or 0) > self._most:
            raise TooLarge(f"body: expected at most {self._most} bytes")
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._room.acquire()
        except TimeoutError as error:
            raise Unavailable("too many large bodies are on their way; try again shortly") from error
        try:
            await self._read(http)
            yield
        finally:
            self._room.release()

    async def _read(self, http: web.BaseRequest) -> None:
        try:
            async with asyncio.timeout(_UPLOAD):
                await read_body(http)
        except TimeoutError as error:
            raise HttpError(408, {"Connection": "close"}) from error
