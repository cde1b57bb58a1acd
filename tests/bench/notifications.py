"""Notifications: one per update with one subscriber, and what 10,000 idle subscriptions cost.

Two tenants hold the same entities and one subscriber each; the crowded one also holds thousands of
subscriptions that never match. Short windows of updates alternate between the two, each in turn the
first, so that whatever else the machine does hits both alike, and each pair of windows gives one figure.
The value written is the time of sending in microseconds, unique and increasing: so the receiver knows
each notification's age and, after the window, that none is missing.
"""

import asyncio
import contextlib
import json
import re
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import cast

from tests.bench import workload
from tests.bench.client import LOOPBACK, Framer, Load, head, percentile, run_load
from tests.bench.processes import Meter, Usage
from tests.bench.scenarios import Scenario, Target, expect

DRAIN = 30.0  # seconds that the last notifications may take
PAIRS = 5
STAMP = re.compile(rb'"value":\s*(\d{16})\b')
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Receiver:
    """The subscriber's endpoint: knows which stamps are due, and notes how old each is on arrival."""

    def __init__(self) -> None:
        self.due: set[int] = set()
        self.ages = array("d")
        self.last = time.perf_counter()
        self._drained = asyncio.Event()

    def reset(self) -> None:
        """Forget what has come, and what has not."""
        self.due.clear()
        self.ages = array("d")

    def await_stamp(self, stamp: int) -> None:
        """A notification of this value is due."""
        self.due.add(stamp)
        self._drained.clear()

    def take(self, body: bytes) -> None:
        """Note one notification, whatever number of entities it carries."""
        now, self.last = time.time(), time.perf_counter()
        stamps = [int(stamp) for stamp in STAMP.findall(body)]
        self.ages.extend(now - stamp / 1e6 for stamp in stamps)
        self.due.difference_update(stamps)
        if not self.due:
            self._drained.set()

    async def drained(self) -> int:
        """Wait until all that is due has come, or the patience ends; how many are missing."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), DRAIN)
        await asyncio.sleep(0.2)  # the broker notes the deliveries
        return len(self.due)


class Inbound(asyncio.Protocol):
    """A connection from the broker: `take` gets each body, which is answered 200; without it none is."""

    def __init__(self, take: Callable[[bytes], None] | None) -> None:
        self._take, self._framer = take, Framer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._take is None:
            return
        for message in self._framer.feed(data):
            self._take(message.body)
            self._transport.write(_OK)


class Notify(Scenario):
    """An update of one measured attribute that a subscriber waits for."""

    key, name = "notify", "notification per update"

    def __init__(self, at: Target, receiver: Receiver) -> None:
        super().__init__(at)
        self.receiver, self.stamp = receiver, 0

    def __call__(self) -> bytes:
        self.stamp = max(int(time.time() * 1e6), self.stamp + 1)
        self.receiver.await_stamp(self.stamp)
        body = b'{"value":%d,"observedAt":"%b"}' % (self.stamp, workload.now())
        path = self.path(next(self.numbers), f"/attrs/{workload.MEASURED}")
        return self.head("PATCH", path, body) + body

    async def check(self, load: Load) -> None:
        """Nothing: the receiver knows each stamp."""


class Subscribe(Scenario):
    """Subscriptions that no update in the bench matches: other entities, attributes and types."""

    key, name = "subscribe", "create subscription"

    def __init__(self, at: Target, uri: str) -> None:
        super().__init__(at)
        self.uri, self.made = uri, 0

    def __call__(self) -> bytes:
        body = subscription(self.made, self.uri)
        self.made += 1
        return self.head("POST", "/ngsi-ld/v1/subscriptions", body) + body

    async def check(self, load: Load) -> None:
        found = await self.at.get("/ngsi-ld/v1/subscriptions?limit=10")
        expect(len(found) == 10, f"{len(found)} subscriptions on a page of 10")


def subscription(number: int, uri: str, **selection: object) -> bytes:
    """A subscription to the measured attribute; without a selection, one of those that never match."""
    kind = workload.type_of(number)
    elsewhere = {"id": workload.entity_id(90_000_000 + number), "type": kind}
    idle: dict[str, object] = (
        {"entities": [elsewhere], "watchedAttributes": [workload.MEASURED]},
        {"entities": [{"type": kind}], "watchedAttributes": [f"attribute{number}"]},
        {"entities": [{"type": f"Another{number}"}], "watchedAttributes": [workload.MEASURED]},
    )[number % 3]
    notification = {"attributes": [workload.MEASURED], "endpoint": {"uri": uri, "accept": "application/json"}}
    body = {"type": "Subscription", "notification": notification, **(selection or idle)}
    return json.dumps(body).encode()


@dataclass
class Window:
    """One window of updates: the load, the CPU per update, and what the receiver saw."""

    load: Load
    used: Usage | None
    received: int
    per_second: float
    age_p50: float
    age_p99: float

    @property
    def cpu(self) -> float:
        """CPU seconds of broker and mongod per update with its notification."""
        used = self.used.broker_cpu + self.used.mongod_cpu if self.used else 0.0
        return used / max(self.load.requests, 1)


@dataclass
class Comparison:
    """The windows of both tenants, alternating."""

    subscriptions: int
    created_per_second: float
    quiet: list[Window] = field(default_factory=list)
    crowded: list[Window] = field(default_factory=list)

    @property
    def cpu_costs(self) -> list[float]:
        """By how much the CPU per update is greater with the idle subscriptions, by pair if it is known."""
        return [b.cpu / a.cpu - 1 for a, b in self._pairs() if a.cpu]

    @property
    def cpu_cost(self) -> float | None:
        """The median of the pairs."""
        return median(self.cpu_costs) if self.cpu_costs else None

    @property
    def rate_cost(self) -> float:
        """By how much updates per second are fewer with the idle subscriptions (median of pairs)."""
        return median(1 - b.load.rate / a.load.rate if a.load.rate else 0.0 for a, b in self._pairs())

    @property
    def cost(self) -> tuple[float, str]:
        """What the idle subscriptions cost: of CPU, moved least by noise; if unknown, of throughput."""
        return (self.rate_cost, "updates/s") if self.cpu_cost is None else (self.cpu_cost, "CPU")

    def _pairs(self) -> Iterator[tuple[Window, Window]]:
        return zip(self.quiet, self.crowded, strict=True)


class Trial:
    """The comparison: prepares both tenants, then lets the windows alternate."""

    def __init__(self, at: Target, meter: Meter, connections: int, seconds: float) -> None:
        self._at, self._meter = at, meter
        self._connections, self._seconds = connections, seconds
        self._receiver = Receiver()

    async def run(self, subscriptions: int, say: Callable[[str], None]) -> Comparison:
        """Measure; `subscriptions` is the number of those that don't match."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Inbound(self._receiver.take), LOOPBACK, 0)
        uri = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}/notify"
        try:
            return await self._compare(uri, subscriptions, say)
        finally:
            server.close()

    async def _compare(self, uri: str, subscriptions: int, say: Callable[[str], None]) -> Comparison:
        quiet, crowded = await self._tenant("quiet", uri), await self._tenant("crowded", uri)
        say(f"{subscriptions} subscriptions that do not match")
        created = await self._crowd(crowded, uri, subscriptions)
        result = Comparison(subscriptions, created)
        await self._each(self._seconds / 5, quiet, crowded)
        for pair in range(PAIRS):
            say(f"notifications, pair {pair + 1} of {PAIRS}")
            order = (quiet, crowded) if pair % 2 else (crowded, quiet)
            windows = await self._each(self._seconds, *order)
            a, b = windows if pair % 2 else reversed(windows)
            result.quiet.append(a)
            result.crowded.append(b)
        return result

    async def _tenant(self, name: str, uri: str) -> Target:
        """A tenant with the entities and one subscriber to all of them."""
        entities = min(self._at.entities, 1000)
        at = Target(self._at.port, entities, self._at.run, f"{name}{self._at.run}")
        await at.preload()
        types = [{"type": workload.type_of(number)} for number in range(workload.TYPES)]
        body = subscription(0, uri, entities=types, watchedAttributes=[workload.MEASURED])
        request = head("POST", "/ngsi-ld/v1/subscriptions", length=len(body), tenant=at.tenant) + body
        load = await run_load(at.port, lambda: request, connections=1, limit=1)
        expect(not load.errors, f"no subscription: {load.failure}")
        return at

    async def _crowd(self, at: Target, uri: str, subscriptions: int) -> float:
        source = Subscribe(at, uri)
        load = await run_load(
            at.port, source, connections=self._connections, seconds=300, limit=subscriptions
        )
        expect(load.requests == subscriptions and not load.errors, f"{load.requests} made; {load.failure}")
        await source.check(load)
        return load.rate

    async def _each(self, seconds: float, *tenants: Target) -> list[Window]:
        return [await self._window(at, seconds) for at in tenants]

    async def _window(self, at: Target, seconds: float) -> Window:
        """Update for a while, then wait for the last notification."""
        self._receiver.reset()
        source, before, started = Notify(at, self._receiver), self._meter(), time.perf_counter()
        load = await run_load(at.port, source, connections=self._connections, seconds=seconds)
        expect(not load.errors, f"{load.errors} updates failed: {load.failure}")
        missing = await self._receiver.drained()
        expect(not missing, f"{missing} of {load.requests} notifications are missing after {DRAIN:.0f} s")
        after, ages = self._meter(), sorted(self._receiver.ages)
        return Window(
            load,
            after.since(before) if after and before else None,
            received=len(ages),
            per_second=len(ages) / (self._receiver.last - started) if ages else 0.0,
            age_p50=percentile(ages, 50),
            age_p99=percentile(ages, 99),
        )
