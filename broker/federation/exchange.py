"""One HTTP request to a source, within bounds of time, bytes and connections (6.3.17)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from broker.core.federation.step import Fault, Request
from broker.core.federation.wire import DEADLINE
from broker.federation.breaker import Outcome

_CHUNK = 65_536  # bytes
_MARGIN = 0.9  # of the time left, which a source is told: so it answers before this broker gives up
# A bound for the whole is set with each request.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=1.0)
KEEP_ALIVE = 4.0  # seconds; common servers close idle connections after 5, and a POST must not meet that


@dataclass(frozen=True, slots=True)
class ExchangeLimits:
    """`max_bytes`: of a body, after decompression. `per_endpoint`, `per_worker`: requests at once."""

    max_bytes: int = 16 * 1024**2
    per_endpoint: int = 8
    per_worker: int = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What a source answered. `body`: None if it is too large, or broken."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes | None
    fault: Fault | None = None


class Unanswered(Exception):
    """There is no answer: the fault, and what that says about the endpoint."""

    def __init__(self, fault: Fault, outcome: Outcome) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.outcome = outcome


def session_options() -> dict[str, Any]:
    """The options of the session that an `Exchange` uses, for whoever makes it."""
    tracing = aiohttp.TraceConfig()
    tracing.on_connection_reuseconn.append(_note_reuse)
    return {
        "cookie_jar": aiohttp.DummyCookieJar(),
        "timeout": _TIMEOUT,
        "trace_configs": [tracing],
        "headers": {"User-Agent": "eridanus"},
    }


async def _note_reuse(_: aiohttp.ClientSession, trace: SimpleNamespace, __: object) -> None:
    trace.trace_request_ctx.reused = True


@dataclass(slots=True)
class _Endpoint:
    """`users`: the requests that have a turn, or wait for one."""

    turns: asyncio.Semaphore
    users: int = 0


class Exchange:
    """Sends requests. `session`: made with `session_options`; it is not closed here."""

    def __init__(self, session: aiohttp.ClientSession, limits: ExchangeLimits) -> None:
        session._retry_connection = False  # aiohttp would send PUT and DELETE twice; `send` does what is safe
        self._session = session
        self._limits = limits
        self._turns = asyncio.Semaphore(limits.per_worker)
        self._endpoints: dict[str, _Endpoint] = {}

    async def send(self, request: Request, until: float, turns: asyncio.Semaphore) -> Answer:
        """The answer to a request; waiting for its turn counts as time. Unanswered if there is none by then.

        `turns`: those of the client's request. A GET is sent once more if the kept connection that it went
        over turned out to be closed.
        """
        is_sent = False
        try:
            async with asyncio.timeout_at(until), turns, self._turn(request.url):
                is_sent = True
                return await self._sent(request, until)
        except TimeoutError as error:
            raise Unanswered(Fault.TIMEOUT, Outcome.SILENT if is_sent else Outcome.UNKNOWN) from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.ClientResponseError) as error:
            raise Unanswered(Fault.REFUSED, Outcome.UNKNOWN) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unanswered(Fault.REFUSED, Outcome.SILENT) from error
        except ValueError as error:  # a header or URL that HTTP cannot carry
            raise Unanswered(Fault.REFUSED, Outcome.UNKNOWN) from error

    @asynccontextmanager
    async def _turn(self, url: str) -> AsyncIterator[None]:
        """Waits until neither the endpoint nor the worker has too many requests under way."""
        host = urlsplit(url).netloc
        endpoint = self._endpoints.setdefault(host, _Endpoint(asyncio.Semaphore(self._limits.per_endpoint)))
        endpoint.users += 1
        try:
            async with endpoint.turns, self._turns:
                yield
        finally:
            endpoint.users -= 1
            if not endpoint.users:
                self._endpoints.pop(host, None)

    async def _sent(self, request: Request, until: float) -> Answer:
        trace = SimpleNamespace(reused=False)
        try:
            return await self._attempt(request, until, trace)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            is_closed = not isinstance(error, aiohttp.ClientConnectorError) and trace.reused
            if request.method != "GET" or not is_closed:
                raise
        return await self._attempt(request, until, SimpleNamespace())

    async def _attempt(self, request: Request, until: float, trace: SimpleNamespace) -> Answer:
        left = until - asyncio.get_running_loop().time()
        deadline = {DEADLINE: str(max(1, int(left * 1000 * _MARGIN)))}
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            headers={**request.headers, **deadline},
            data=request.body,
            allow_redirects=False,
            trace_request_ctx=trace,
        ) as response:
            return await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        """The answer; one that is too large is not read to the end, and its connection is closed."""
        body = bytearray()
        try:
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > self._limits.max_bytes:
                    response.close()
                    return Answer(response.status, response.headers, None, Fault.TOO_LARGE)
        except aiohttp.ClientPayloadError:
            return Answer(response.status, response.headers, None, Fault.INVALID)
        return Answer(response.status, response.headers, bytes(body))
