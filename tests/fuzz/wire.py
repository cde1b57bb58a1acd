"""HTTP as bytes: requests that no client library would send, and answers as they really came."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from yarl import URL

from broker.api.accept import GEO_JSON, JSON, LD_JSON
from tests.api.conftest import ERRORS

SECONDS = 5.0  # longer is a hang
_NO_BODY = (405, 411, 415)
_READABLE = (JSON, LD_JSON, GEO_JSON, "application/yaml", "text/plain; version=1.0.0; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Its target and headers are sent as they are, whatever HTTP says of them."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None

    def __bytes__(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode() + (self.body or b"")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer. The names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def doc(self) -> Any:
        """The body, which is JSON."""
        return orjson.loads(self.body)


def check(method: str, reply: Reply) -> None:
    """What holds for every answer, to whatever request (6.3.2, 6.3.4, 6.3.6)."""
    assert reply.status < 500 or _is_excused(method, reply), reply
    if method == "HEAD" or reply.status in _NO_BODY or reply.status == 204:
        assert not reply.body
        assert reply.status != 405 or "allow" in reply.headers
    elif reply.status >= 400:
        _check_problem(reply)
    elif reply.body:
        assert reply.headers["content-type"] in _READABLE
        assert "json" not in reply.headers["content-type"] or reply.doc is not None
    if reply.status == 204:
        assert "content-length" not in reply.headers


def _is_excused(method: str, reply: Reply) -> bool:
    """Whether a 5xx tells that others are to blame: the broker is busy, or a @context is not to be had."""
    if reply.status == 503:
        return "retry-after" in reply.headers
    is_told = method == "HEAD" or reply.doc["type"] == ERRORS + "LdContextNotAvailable"
    return reply.status == 504 and is_told


def _check_problem(reply: Reply) -> None:
    assert reply.headers["content-type"] == JSON
    assert "link" not in reply.headers
    doc = reply.doc
    assert doc.keys() == {"type", "title", "detail", "status"}
    assert doc["status"] == reply.status
    assert doc["type"].startswith(ERRORS)
    assert doc["title"]
    assert doc["detail"]


class Wire:
    """One keep-alive connection, opened when it is needed."""

    def __init__(self, root: str) -> None:
        self._url = URL(root)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: Request) -> Reply:
        """The answer to a request, checked. A TimeoutError is a hang."""
        try:
            async with asyncio.timeout(SECONDS):
                reply = await self._exchange(request)
            check(request.method, reply)
        except BaseException as error:
            error.add_note(str(request))
            await self.close()  # an answer may still be on its way
            raise
        if reply.headers.get("connection", "").lower() == "close":
            await self.close()
        return reply

    async def close(self) -> None:
        """Closes the connection."""
        if self._streams is not None:
            writer = self._streams[1]
            self._streams = None
            writer.close()

    async def _exchange(self, request: Request) -> Reply:
        fresh = self._streams is None
        try:
            return await self._try(request)
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            if fresh:
                raise
            return await self._try(request)  # it was closed while nothing was under way

    async def _try(self, request: Request) -> Reply:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._url.host, self._url.port, limit=2**24)
        reader, writer = self._streams
        writer.write(bytes(request))
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
        length = 0 if request.method == "HEAD" else int(headers.get("content-length", 0))
        return Reply(int(head[0].split()[1]), headers, await reader.readexactly(length))


async def send_all(wires: Sequence[Wire], requests: Sequence[Request]) -> list[Reply]:
    """The answers to many requests, over all the connections at once."""
    left = iter(enumerate(requests))
    replies: dict[int, Reply] = {}

    async def work(wire: Wire) -> None:
        for number, request in left:
            replies[number] = await wire.send(request)

    async with asyncio.TaskGroup() as tasks:
        for wire in wires[: len(requests)]:
            tasks.create_task(work(wire))
    return [replies[number] for number in range(len(requests))]


async def faults(wire: Wire) -> float:
    """How many requests failed in the broker by its own count, be they answered or not."""
    metrics = (await wire.send(Request("GET", "/metrics"))).body.decode()
    counts = (line for line in metrics.splitlines() if 'status="500"' in line and "_total{" in line)
    return sum(float(line.rpartition(" ")[2]) for line in counts)
