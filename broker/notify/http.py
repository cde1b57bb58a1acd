"""Notifications over HTTP (clause 6.3.8)."""

import asyncio
import ssl
from collections.abc import Collection
from functools import lru_cache

import aiohttp
from yarl import URL

from broker.core.egress import NO_ANSWER
from broker.egress import Egress
from broker.ports.delivery import DeliveryFailed, Message

_url = lru_cache(10_000)(URL)
_ANSWER = 65_536  # bytes of a receiver's answer that are read, so that the connection can be reused


class HttpSender:
    """POSTs notifications over connections that are kept alive. A 2xx answer means that one is delivered.

    `refusals`: the statuses with which a receiver refuses a notification for good.
    """

    def __init__(self, egress: Egress, tls: ssl.SSLContext, refusals: Collection[int]) -> None:
        self._refusals = refusals
        self._session = egress.session(
            tls=tls,
            connections=0,
            keep_alive=30.0,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),  # `send` has its own
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding"),
        )

    async def send(self, message: Message, seconds: float) -> None:
        """See `ports.Sender.send`."""
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(
                    _url(message.uri), data=message.body, headers=message.headers, allow_redirects=False
                ) as answer,
            ):
                if not answer.content.at_eof():
                    await answer.content.read(_ANSWER)
        except TimeoutError as error:
            raise DeliveryFailed(NO_ANSWER, detail=f"no answer within {seconds:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DeliveryFailed(NO_ANSWER, detail=f"{type(error).__name__}: {error}") from error
        if not 200 <= answer.status < 300:
            is_final = answer.status in self._refusals
            raise DeliveryFailed(f"answered with status {answer.status}", is_final=is_final)

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()
