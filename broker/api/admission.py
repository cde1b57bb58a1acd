"""Admission of large bodies, a few at a time: a parsed body takes many times its size in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from broker.api.call import read_body
from broker.api.problem import HttpError, TooLarge
from broker.core.errors import Unavailable

LARGE = 1024**2  # bytes; a longer body needs admission
_AT_ONCE = 4  # large bodies
_PATIENCE = 60.0  # seconds that a large body may wait for admission
_UPLOAD = 120.0  # seconds that its upload may take


class Admission:
    """Admits a few large bodies at a time, first come first served.

    `most`: the maximum size of a body (bytes).
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def of(self, http: web.BaseRequest) -> AsyncIterator[None]:
        """Waits for a slot, reads the body, and keeps the slot until the request is done.

        TooLarge if the body is; Unavailable after 60 s without a slot; HttpError 408 if the upload is too
        slow.
        """
        if (http.content_length or 0) > self._most:
            raise TooLarge(f"body: expected at most {self._most} bytes")
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable("too many large bodies at once; try again shortly") from error
        try:
            await self._read(http)
            yield
        finally:
            self._slots.release()

    async def _read(self, http: web.BaseRequest) -> None:
        try:
            async with asyncio.timeout(_UPLOAD):
                await read_body(http)
        except TimeoutError as error:
            raise HttpError(408, {"Connection": "close"}) from error
