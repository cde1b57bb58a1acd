"""A lane: the deliveries to one endpoint, in order for each subscription and entity, bounded in memory."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass

from broker.ports import DeliveryFailed, Entry

log = logging.getLogger(__name__)

Key = tuple[str, str]
Read = Callable[[str, Set[str], int], Awaitable[tuple[list["Delivery"], str | None]]]


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again: the first pause and the longest one in seconds, and the age at which to give up."""

    first: float
    cap: float
    max_age: float

    def pause(self, failures: int) -> float:
        """Doubling pauses, each between a half and the whole of what it could be (jitter)."""
        return min(self.cap, self.first * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)


@dataclass(slots=True)
class Delivery:
    """One subscription to be told of one change."""

    entry: Entry
    subscription: str

    @property
    def key(self) -> Key:
        """What it must keep its order in."""
        return self.subscription, self.entry.entity["id"]

    @property
    def name(self) -> Key:
        """What tells it from all others."""
        return self.entry.id, self.subscription


class Lane:
    """Sends to one endpoint, several at once but one at a time for each key.

    While the endpoint fails, one delivery at a time is tried, with growing pauses, each time of another
    key: an endpoint that refuses one of them for good still gets the others. What does not fit stays in
    the outbox: `behind` is the id of the first entry that was left there.
    """

    def __init__(
        self,
        send: Callable[[Delivery], Awaitable[None]],
        over: Callable[["Lane", Delivery, str | None], None],
        *,
        limit: int,
        concurrency: int,
        retry: Retry,
        now: Callable[[], float],
    ) -> None:
        self._send = send
        self._over = over
        self._limit = limit
        self._concurrency = concurrency
        self._retry = retry
        self._now = now
        self._lines: dict[Key, deque[Delivery]] = {}
        self._ready: deque[Key] = deque()
        self._held: set[tuple[str, str]] = set()
        self._left: set[str] = set()  # the subscriptions of what was left in the outbox
        self._sending: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._pause: asyncio.TimerHandle | None = None
        self._refilling = False
        self.behind: str | None = None
        self.closed = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do, here or left in the outbox."""
        return not self._held and self.behind is None and not self._refilling

    @property
    def wants_more(self) -> bool:
        """Whether it has room for what was left in the outbox."""
        has_room = len(self._held) <= self._limit // 2
        return self.behind is not None and has_room and not self._refilling and not self.closed

    def offer(self, delivery: Delivery) -> None:
        """Takes a delivery, unless it has it already, or leaves it in the outbox until there is room."""
        if delivery.name in self._held:
            return
        if self.behind is None and not self._refilling and len(self._held) < self._limit:
            self._add(delivery)
        else:
            self.behind = min(self.behind or delivery.entry.id, delivery.entry.id)
            self._left.add(delivery.subscription)

    async def refill(self, read: Read) -> None:
        """Takes on what was left in the outbox.

        `read` gives it, for some subscriptions and from an id on, and where the rest begins.
        """
        start, self.behind, self._refilling = self.behind or "", None, True
        left, self._left = self._left, set()
        rest: str | None = start
        try:
            deliveries, rest = await read(start, left, self._limit)
            for delivery in deliveries:
                # From what was left meanwhile on, it is read again: some of that came too late for this.
                is_early = self.behind is None or delivery.entry.id < self.behind
                if is_early and delivery.name not in self._held:
                    self._add(delivery)
        finally:
            self._refilling = False
            if rest is not None:
                self.behind = min(self.behind or rest, rest)
                self._left |= left

    async def close(self, grace: float) -> None:
        """Sends nothing more; waits for what is on its way."""
        self.closed = True
        if self._pause is not None:
            self._pause.cancel()
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=grace)
            for task in late:
                task.cancel()

    def _add(self, delivery: Delivery) -> None:
        self._held.add(delivery.name)
        line = self._lines.get(delivery.key)
        if line is not None:
            line.append(delivery)
            return
        self._lines[delivery.key] = deque((delivery,))
        self._ready.append(delivery.key)
        self._start()

    def _start(self) -> None:
        concurrency = 1 if self._failures else self._concurrency
        while self._ready and len(self._sending) < concurrency and self._pause is None and not self.closed:
            key = self._ready.popleft()
            task = asyncio.create_task(self._try(key, self._lines[key][0]))
            self._sending.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._start()

    async def _try(self, key: Key, delivery: Delivery) -> None:
        """One attempt. Whatever goes wrong with it, its turn comes again: nothing here may get stuck."""
        try:
            await self._send(delivery)
        except DeliveryFailed as failure:
            self._failed(key, str(failure))
        except Exception as error:
            log.exception("a notification could not be sent", extra={"subscription": delivery.subscription})
            self._failed(key, f"{type(error).__name__}: {error}")
        else:
            self._failures = 0
            line = self._lines[key]
            self._take_off(line, None)
            self._settle_line(key, line)

    def _failed(self, key: Key, reason: str) -> None:
        self._ready.append(key)
        if self._pause is None:  # those that were on their way together fail as one
            self._failures += 1
            pause = self._retry.pause(self._failures)
            self._pause = asyncio.get_running_loop().call_later(pause, self._resume)
        self._give_up_old(reason)

    def _give_up_old(self, reason: str) -> None:
        """Gives up what has become too old; what is on its way is looked at when it is back."""
        waiting, self._ready = self._ready, deque()
        oldest = (self._now() - self._retry.max_age) * 1e6
        for key in waiting:
            line = self._lines[key]
            while line and line[0].entry.stamp < oldest:
                self._take_off(line, reason)
            self._settle_line(key, line)

    def _take_off(self, line: deque[Delivery], reason: str | None) -> None:
        delivery = line.popleft()
        self._held.discard(delivery.name)
        self._over(self, delivery, reason)

    def _settle_line(self, key: Key, line: deque[Delivery]) -> None:
        if line:
            self._ready.append(key)
        else:
            del self._lines[key]

    def _resume(self) -> None:
        self._pause = None
        self._start()
