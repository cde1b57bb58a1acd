"""Peers for the tests of `federation`, on loopback: they answer with any bytes, slowly, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from broker.core import Json
from broker.core.errors import LdContextNotAvailable
from broker.core.federation.source import Source
from broker.core.jsonld.context import Context
from broker.federation.asking import Asker, AskingLimits
from broker.federation.exchange import ExchangeLimits, session_options
from tests.core.documents import CORE
from tests.core.federation.steps import LINKED, some_source

Behaviour = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as a peer received it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Peer:
    """A server on loopback. `behaviour` answers the requests of one connection."""

    behaviour: Behaviour
    port: int = 0
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    closed: int = 0  # connections that are over

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def source(self, **members: Any) -> Source:
        """A source that is this peer."""
        return some_source(self.url, **members)

    async def request(self, reader: asyncio.StreamReader) -> Received:
        """The next request; EOFError (IncompleteReadError) if there is none."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.received.append(Received(method, target, headers, body))
        return self.received[-1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self.behaviour(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side left
        finally:
            writer.close()
            self.closed += 1


@asynccontextmanager
async def peer(behaviour: Behaviour) -> AsyncIterator[Peer]:
    """A peer that is there for a while."""
    there = Peer(behaviour)
    server = await asyncio.start_server(there.serve, "127.0.0.1", 0)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()


def response(body: bytes = b"", status: int = 200, version: str = "1.1", **headers: str) -> bytes:
    """A response with these headers (_ stands for -), and a Content-Length."""
    named = {"Content-Length": str(len(body)), **{name.replace("_", "-"): v for name, v in headers.items()}}
    lines = [f"HTTP/{version} {status} Whatever", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(*responses: bytes) -> Behaviour:
    """Answers requests with these in turn, and with the last one from then on; the connection stays open."""
    left = list(responses)

    async def behave(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await peer.request(reader)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()

    return behave


def json(doc: Json, status: int = 200, **headers: str) -> bytes:
    return response(orjson.dumps(doc), status, Content_Type="application/json", **headers)


async def hanging(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes requests, and never answers; ends when the other side leaves."""
    await peer.request(reader)
    await reader.readuntil(b"\r\n\r\n")


def dripping(whole: bytes) -> Behaviour:
    """Answers, a byte each 50 ms."""

    async def behave(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.request(reader)
        for byte in whole:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0.05)

    return behave


async def resetting(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes a request, and breaks the connection."""
    await peer.request(reader)
    writer.transport.abort()


class SomeContexts:
    """See `ports.ContextLoader`: of a few @contexts, by URL. `asked`: those that were resolved."""

    def __init__(self, **known: Context) -> None:
        self.known: dict[Any, Context] = {LINKED.source: LINKED} | known
        self.asked: list[Json] = []

    @property
    def core(self) -> Context:
        return CORE

    async def resolve(self, source: Json, tenant: str = "") -> Context:
        self.asked.append(source)
        if source not in self.known:
            raise LdContextNotAvailable(f"{source}: unknown")
        return self.known[source]


@dataclass(slots=True)
class Asked:
    """An asker, and the @contexts that it may load."""

    asker: Asker
    contexts: SomeContexts


@asynccontextmanager
async def asking(**limits: Any) -> AsyncIterator[Asked]:
    """An asker with these limits (of AskingLimits or ExchangeLimits), and a session of its own."""
    own = {name: limits.pop(name) for name in [*limits] if name in ExchangeLimits.__slots__}
    async with aiohttp.ClientSession(**session_options()) as session:
        contexts = SomeContexts()
        bounds = AskingLimits(exchange=ExchangeLimits(**own), **limits)
        yield Asked(Asker(session, contexts, "me", bounds), contexts)
