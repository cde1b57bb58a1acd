"""A load generator that is not itself the bottleneck.

Each connection is a raw `asyncio.Protocol` with one request in flight (a closed loop): the answer
to one request sends the next. Requests come pre-rendered as bytes, and of an answer only the status
and the length are read: about 3 µs of Python a request, beside some 12 µs of system calls and uvloop.
That is half of what an aiohttp handler needs that does nothing, and every run reports its own share of
a core, so a generator that became the bottleneck would show. Runs are bounded in time and in count, and
reach loopback alone.
"""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

LOOPBACK = "127.0.0.1"
GRACE = 30.0  # seconds that the answers still under way at the end of a run may take

Source = Callable[[], bytes]


class Message(NamedTuple):
    """One HTTP/1.1 message: everything before the empty line, and the body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.head[9:12])


class Framer:
    """Cuts a stream of bytes into HTTP/1.1 messages, however they were cut on the way.

    A message ends where Content-Length or the last chunk says; with neither it has no body, which
    holds for requests, for 204 and for 304.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._need = 0

    def feed(self, data: bytes) -> list[Message]:
        """Take what arrived, and give the messages that are now complete."""
        self._buffer += data
        messages = []
        while len(self._buffer) > self._need and (message := self._take()):
            messages.append(message)
        return messages

    def _take(self) -> Message | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self._buffer[:end])
        body, stop = self._body(head.lower(), end + 4)
        if body is None:
            self._need = stop - 1
            return None
        del self._buffer[:stop]
        self._need = 0
        return Message(head, body)

    def _body(self, head: bytes, start: int) -> tuple[bytes | None, int]:
        """The body and where it stops; None and the least length to wait for while it is cut short."""
        if (at := head.find(b"\r\ncontent-length:")) >= 0:
            stop = start + int(head[at + 17 :].split(b"\r\n", 1)[0])
            return (bytes(self._buffer[start:stop]) if len(self._buffer) >= stop else None), stop
        if b"\r\ntransfer-encoding: chunked" in head:
            return dechunked(self._buffer, start)
        return b"", start


def dechunked(buffer: bytearray, start: int) -> tuple[bytes | None, int]:
    """A chunked body (without trailers) and where it stops, or None and the length to wait for."""
    chunks: list[bytes] = []
    while (line := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line].split(b";")[0], 16)
        start = line + 4 + size
        if len(buffer) < start:
            return None, start
        if not size:
            return b"".join(chunks), start
        chunks.append(bytes(buffer[line + 2 : line + 2 + size]))
    return None, len(buffer) + 1


def head(method: str, path: str, *, length: int | None = None, tenant: str = "") -> bytes:
    """Render the head of a request; `length` is that of the JSON body that will follow."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {LOOPBACK}", "Accept: application/json"]
    if tenant:
        lines.append(f"NGSILD-Tenant: {tenant}")
    if length is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of the ordered values don't exceed (nearest rank)."""
    rank = -int(-len(ordered) * percent // 100)
    return ordered[max(rank, 1) - 1] if ordered else 0.0


@dataclass
class Load:
    """What one run measured: latencies in seconds, answers by status, and what went wrong."""

    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    generator_cpu: float = 0.0
    lost: int = 0
    failure: str = ""
    sample: tuple[bytes, Message] | None = None

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answered requests per second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def errors(self) -> int:
        """Answers that are not 2xx, and requests that got no answer."""
        return self.lost + sum(n for status, n in self.statuses.items() if not 200 <= status < 300)

    def record(self, latency: float, request: bytes, answer: Message) -> None:
        """Count one answer."""
        self.latencies.append(latency)
        status = answer.status
        self.statuses[status] += 1
        if 200 <= status < 300:
            self.sample = request, answer
        elif not self.failure:
            self.failure = f"{status} {answer.body[:300].decode(errors='replace')}"


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight."""

    def __init__(self, load: Load, next_request: Callable[[], bytes | None]) -> None:
        self._load = load
        self._next_request = next_request
        self._framer = Framer()
        self._request: bytes | None = None
        self._sent = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold the transport; the first request waits until every connection stands."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Record the answer and send the next request."""
        for answer in self._framer.feed(data):
            assert self._request is not None, "an answer without a request"
            self._load.record(time.perf_counter() - self._sent, self._request, answer)
            self.send()

    def send(self) -> None:
        """Send the next request, or close when there is none."""
        self._request = self._next_request()
        if self._request is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def abort(self) -> None:
        """Give up on the answer."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a request that got no answer."""
        if self._request is not None:
            self._load.lost += 1
            self._load.failure = self._load.failure or f"connection lost: {exc or 'closed by the server'}"
        if not self.closed.done():
            self.closed.set_result(None)


def bounded(source: Source, seconds: float, limit: int | None) -> Callable[[], bytes | None]:
    """Requests until the time is over or the count reached; the time starts with the first call."""
    deadline = 0.0
    left = limit if limit is not None else 10_000_000

    def next_request() -> bytes | None:
        nonlocal deadline, left
        deadline = deadline or time.perf_counter() + seconds
        left -= 1
        return source() if left >= 0 and time.perf_counter() < deadline else None

    return next_request


async def run_load(
    port: int, source: Source, *, connections: int = 64, seconds: float = 60.0, limit: int | None = None
) -> Load:
    """Load the server at a loopback port from several connections until time or count are up."""
    loop, load = asyncio.get_running_loop(), Load()
    next_request = bounded(source, seconds, limit)
    made = [
        await loop.create_connection(lambda: Connection(load, next_request), LOOPBACK, port)
        for _ in range(connections)
    ]
    cpu, started = time.process_time(), time.perf_counter()
    for _, connection in made:
        connection.send()
    await _closed([connection for _, connection in made], seconds + GRACE)
    load.seconds, load.generator_cpu = time.perf_counter() - started, time.process_time() - cpu
    return load


async def _closed(connections: list[Connection], patience: float) -> None:
    """Wait until all connections are closed; abort those that hang."""
    _, hanging = await asyncio.wait([each.closed for each in connections], timeout=patience)
    for each in connections:
        if each.closed in hanging:
            each.abort()
    if hanging:
        await asyncio.wait(hanging)


async def call(port: int, request: bytes) -> Message:
    """Send one request on a connection of its own and give the answer."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(request)
        framer = Framer()
        while data := await reader.read(1 << 16):
            if messages := framer.feed(data):
                return messages[0]
        raise ConnectionError("closed by the server before an answer")
    finally:
        writer.close()
        await writer.wait_closed()
