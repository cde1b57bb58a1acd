"""Delivery: what 16 subscriptions of 2,000 are told of each update, at one endpoint and at a hundred.

Whoever updates goes on when all sixteen notifications of its last update have come, so what is measured can
be kept up, and all that was due has arrived. Then the updates come at half of that pace, and a receiver is
there that never answers: how old is a notification now, counted from the acknowledged write?
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tests.bench import workload
from tests.bench.client import LOOPBACK, Load, head, run_load
from tests.bench.notifications import DRAIN, STAMP, Inbound, subscription
from tests.bench.processes import Meter, Neighbours
from tests.bench.report import Row
from tests.bench.scenarios import ENTITIES, Target, expect

SUBSCRIPTIONS = 2000
EACH = 16
ENDPOINTS = 100
TARGET = 0.10
LIMIT = 0.2  # seconds that the 99th percentile may take at half load
_SUBSCRIPTION = re.compile(rb'"subscriptionId":\s*"([^"]+)"')


@dataclass(slots=True)
class Update:
    """One update: when it was acknowledged, and when it came to each of its subscribers."""

    acknowledged: float = 0.0
    came: dict[bytes, float] = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def ages(self) -> list[float]:
        """Seconds from the acknowledgement to each receipt; none if it came before."""
        return [max(0.0, at - self.acknowledged) for at in self.came.values()]


class Inbox:
    """All the receivers: what is due to them, by the value that was written, a time in microseconds."""

    def __init__(self) -> None:
        self.due: dict[int, Update] = {}
        self.again = 0

    def take(self, body: bytes) -> None:
        """One notification."""
        stamp, subscriber = STAMP.search(body), _SUBSCRIPTION.search(body)
        update = self.due.get(int(stamp[1])) if stamp else None
        if update is None or subscriber is None or subscriber[1] in update.came:
            self.again += 1
            return
        update.came[subscriber[1]] = time.perf_counter()
        if len(update.came) == EACH:
            update.told.set()


@asynccontextmanager
async def receiving(inbox: Inbox | None, count: int = 1) -> AsyncIterator[list[str]]:
    """So many endpoints, each with a port of its own; without an inbox they never answer."""
    loop = asyncio.get_running_loop()
    take = inbox.take if inbox else None
    servers = [await loop.create_server(lambda: Inbound(take), LOOPBACK, 0) for _ in range(count)]
    try:
        yield [f"http://{LOOPBACK}:{one.sockets[0].getsockname()[1]}/notify" for one in servers]
    finally:
        for server in servers:
            server.close()


class Flow:
    """Updates from several connections, each of which waits for the notifications of its last one.

    `every` is the pause between two updates of a connection in seconds; without it they follow at once.
    """

    def __init__(self, at: Target, inbox: Inbox, connections: int, every: float = 0.0) -> None:
        self._at, self._inbox = at, inbox
        self._connections, self._every = connections, every
        self._numbers = workload.shuffled(at.entities)
        self._stamp = 0
        self._load = Load()

    async def run(self, seconds: float) -> Load:
        """Each notification is one request of the load, with its age as latency."""
        began, cpu = time.perf_counter(), time.process_time()
        end = began + seconds
        await asyncio.gather(*(self._writer(n, began, end) for n in range(self._connections)))
        self._load.seconds = time.perf_counter() - began
        self._load.generator_cpu = time.process_time() - cpu
        return self._load

    async def _writer(self, number: int, began: float, end: float) -> None:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._at.port)
        due = began + self._every * number / self._connections
        with contextlib.closing(writer):
            while (now := time.perf_counter()) < end:
                if due > now:
                    await asyncio.sleep(due - now)
                due += self._every
                await self._update(reader, writer)

    async def _update(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stamp = self._stamp = max(int(time.time() * 1e6), self._stamp + 1)
        update = self._inbox.due[stamp] = Update()
        writer.write(self._request(stamp))
        answer = await reader.readuntil(b"\r\n\r\n")
        update.acknowledged = time.perf_counter()
        self._load.statuses[int(answer[9:12])] += 1
        expect(answer[9:12] == b"204", f"an update was answered {answer[:300]!r}")
        try:
            await asyncio.wait_for(update.told.wait(), DRAIN)
        except TimeoutError:
            self._load.lost += EACH - len(update.came)
            self._load.failure = f"{EACH - len(update.came)} notifications are missing after {DRAIN:.0f} s"
        self._load.latencies.extend(update.ages())
        del self._inbox.due[stamp]

    def _request(self, stamp: int) -> bytes:
        body = b'{"value":%d,"observedAt":"%b"}' % (stamp, workload.now())
        path = f"{ENTITIES}/{workload.entity_id(next(self._numbers))}/attrs/{workload.MEASURED}"
        return head("PATCH", path, length=len(body), tenant=self._at.tenant) + body


class Deliveries:
    """The rows: one endpoint, a hundred, and a hundred at half of that pace with one more that hangs."""

    def __init__(
        self, at: Target, meter: Meter, neighbours: Callable[[], Neighbours], connections: int, seconds: float
    ) -> None:
        self._at, self._meter, self._neighbours = at, meter, neighbours
        self._connections, self._seconds = connections, seconds

    async def rows(self, say: Callable[[str], None]) -> AsyncIterator[Row]:
        """Each as soon as it is measured."""
        inbox = Inbox()
        for count in (1, ENDPOINTS):
            name = f"{EACH} told of each update, {count} endpoint{'s' if count > 1 else ''}"
            say(name)
            async with receiving(inbox, count) as uris, receiving(None) as silent:
                at = await self._tenant(f"told{count}", uris)
                yield (row := replace(await self._measure(name, at, inbox), target=TARGET))
                if count > 1 and row.rate:
                    await self._subscribe(at, silent, 1, "silent")
                    pause = self._connections * EACH / (row.rate / 2)
                    name = "same, half as often, and one hangs"
                    yield replace(await self._measure(name, at, inbox, pause), limit=LIMIT)

    async def _tenant(self, name: str, uris: Sequence[str]) -> Target:
        at = Target(self._at.port, min(self._at.entities, 1000), self._at.run, f"{name}{self._at.run}")
        await at.preload()
        await self._subscribe(at, uris, EACH, "told")
        return at

    async def _subscribe(self, at: Target, uris: Sequence[str], each: int, name: str) -> None:
        """So many subscriptions to each device's stations; most devices have none."""
        devices = SUBSCRIPTIONS // EACH
        numbers = iter(range(devices * each))

        def request() -> bytes:
            number = next(numbers)
            body = subscription(
                number,
                uris[number % len(uris)],
                id=f"urn:ngsi-ld:Subscription:{name}:{number}",
                watchedAttributes=[workload.MEASURED],
                q=f'refDevice=="{workload.device(100 * (number // each))}"',
            )
            return head("POST", "/ngsi-ld/v1/subscriptions", length=len(body), tenant=at.tenant) + body

        load = await run_load(at.port, request, connections=self._connections, limit=devices * each)
        expect(load.requests == devices * each and not load.errors, f"no subscriptions: {load.failure}")

    async def _measure(self, name: str, at: Target, inbox: Inbox, pause: float = 0.0) -> Row:
        await Flow(at, inbox, self._connections, pause).run(self._seconds / 5)
        before, neighbours = self._meter(), self._neighbours()
        load = await Flow(at, inbox, self._connections, pause).run(self._seconds)
        after, others = self._meter(), neighbours.share()
        used = after.since(before) if after and before else None
        return Row.of(name, load, self._connections, used, others)
