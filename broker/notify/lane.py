"""A lane: the deliveries to one endpoint, in order for each subscription and entity, bounded in memory."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass

from broker.ports.changes import Entry
from broker.ports.delivery import DeliveryFailed

log = logging.getLogger(__name__)

NOTHING = "~"  # where nothing is left: greater than any id

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


class Room:
    """How many deliveries all lanes together may still take into memory."""

    def __init__(self, free: int) -> None:
        self.free = free


@dataclass(slots=True)
class Delivery:
    """One subscription to be told of one change. `is_late`: its endpoint failed since it was due."""

    entry: Entry
    subscription: str
    is_late: bool = False

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
    key: an endpoint that never takes one of them still gets the others. What does not fit stays in
    the outbox: `behind` is the id of the first entry that was left there. So does what is due to a
    subscription that is parked.
    """

    def __init__(
        self,
        send: Callable[[Delivery], Awaitable[None]],
        over: Callable[["Lane", Delivery, str | None], None],
        *,
        limit: int,
        concurrency: int,
        room: Room,
        retry: Retry,
        now: Callable[[], float],
    ) -> None:
        self._send = send
        self._over = over
        self._limit = limit
        self._concurrency = concurrency
        self._room = room
        self._retry = retry
        self._now = now
        self._lines: dict[Key, deque[Delivery]] = {}
        self._ready: deque[Key] = deque()
        self._held: set[tuple[str, str]] = set()
        self._left: set[str] = set()  # the subscriptions of what was left in the outbox
        self._parked: dict[str, str] = {}  # subscriptions that wait, and where each begins in the outbox
        self._sending: dict[asyncio.Task[None], Delivery] = {}
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
        return not self._held and self.behind is None and not self._refilling and not self._parked

    @property
    def wants_more(self) -> bool:
        """Whether it has room for what was left in the outbox."""
        is_half_empty = len(self._held) <= self._limit // 2
        has_room = is_half_empty and (self._room.free > 0 or len(self._held) < self._concurrency)
        return self.behind is not None and has_room and not self._refilling and not self.closed

    def offer(self, delivery: Delivery) -> None:
        """Takes a delivery, unless it has it already, or leaves it in the outbox until there is room."""
        if delivery.name in self._held:
            return
        if (start := self._parked.get(delivery.subscription)) is not None:
            self._parked[delivery.subscription] = min(start, delivery.entry.id)
        elif self.behind is None and not self._refilling and self._capacity > len(self._held):
            self._add(delivery)
        else:
            self.leave(delivery.subscription, delivery.entry.id)

    def leave(self, subscription: str, start: str) -> None:
        """Leaves a subscription's deliveries in the outbox, from an entry's id on, until there is room."""
        self.behind = min(self.behind or start, start)
        self._left.add(subscription)

    def park(self, subscription: str) -> None:
        """Leaves what is due to a subscription in the outbox until it is unparked."""
        self._parked[subscription] = self.release(subscription) or NOTHING

    def unpark(self, subscription: str) -> None:
        """Takes it on again."""
        start = self._parked.pop(subscription, NOTHING)
        if start != NOTHING:
            self.leave(subscription, start)

    def release(self, subscription: str, *, cancel: bool = False) -> str | None:
        """Forgets a subscription's deliveries; the id of the first entry that it had here, if any.

        What is on its way goes on, unless it is to be cancelled.
        """
        keys = [key for key in self._lines if key[0] == subscription]
        on_the_way = {
            id(one): task for task, one in self._sending.items() if one.subscription == subscription
        }
        ids = []
        for key in keys:
            for delivery in self._lines.pop(key):
                ids.append(delivery.entry.id)
                if cancel or id(delivery) not in on_the_way:
                    self._let_go(delivery)
        if cancel:
            for task in on_the_way.values():
                task.cancel()
        self._ready = deque(key for key in self._ready if key[0] != subscription)
        if subscription in self._left and self.behind is not None:
            ids.append(self.behind)
        if (start := self._parked.pop(subscription, NOTHING)) != NOTHING:
            ids.append(start)
        self._left.discard(subscription)
        if not self._left:
            self.behind = None
        return min(ids, default=None)

    async def refill(self, read: Read) -> None:
        """Takes on what was left in the outbox.

        `read` gives it, for some subscriptions and from an id on, and where the rest begins.
        """
        start, self.behind, self._refilling = self.behind or "", None, True
        left, self._left = self._left, set()
        rest: str | None = start
        try:
            deliveries, rest = await read(start, left, self._capacity)
            for delivery in deliveries:
                # From what was left meanwhile on, it is read again: some of that came too late for this.
                is_early = self.behind is None or delivery.entry.id < self.behind
                if is_early and delivery.name not in self._held:
                    if delivery.subscription in self._parked:
                        self.offer(delivery)
                    else:
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

    @property
    def _capacity(self) -> int:
        """How many it may have in memory; a few, even where others have taken all the room."""
        return min(self._limit, max(self._concurrency, len(self._held) + self._room.free))

    def _add(self, delivery: Delivery) -> None:
        self._held.add(delivery.name)
        self._room.free -= 1
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
            delivery = self._lines[key][0]
            delivery.is_late = delivery.is_late or self._failures > 0
            task = asyncio.create_task(self._try(key, delivery))
            self._sending[task] = delivery
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._start()

    async def _try(self, key: Key, delivery: Delivery) -> None:
        """One attempt. Whatever goes wrong with it, its turn comes again: nothing here may get stuck."""
        try:
            await self._send(delivery)
        except DeliveryFailed as failure:
            self._failed(key, delivery, failure)
        except Exception as error:
            log.exception("a notification could not be sent", extra={"subscription": delivery.subscription})
            self._failed(key, delivery, DeliveryFailed(f"{type(error).__name__}: {error}"))
        else:
            self._failures = 0
            self._done(key, delivery, None)

    def _failed(self, key: Key, delivery: Delivery, failure: DeliveryFailed) -> None:
        if failure.is_final:  # it speaks, so others need not wait
            self._failures = 0
            return self._done(key, delivery, str(failure))
        if self._is_first(key, delivery):
            self._ready.append(key)
        else:  # it was released meanwhile
            self._let_go(delivery)
            self._leave_again(delivery)
        if self._pause is None:  # those that were on their way together fail as one
            self._failures += 1
            pause = max(failure.rest, self._retry.pause(self._failures))
            self._pause = asyncio.get_running_loop().call_later(pause, self._resume)
        self._give_up_old(str(failure))

    def _leave_again(self, delivery: Delivery) -> None:
        if delivery.subscription in self._parked:
            self.offer(delivery)
        else:
            self.leave(delivery.subscription, delivery.entry.id)

    def _is_first(self, key: Key, delivery: Delivery) -> bool:
        line = self._lines.get(key)
        return line is not None and line[0] is delivery

    def _done(self, key: Key, delivery: Delivery, given_up: str | None) -> None:
        """It is over; the next of its key has its turn."""
        if self._is_first(key, delivery):
            line = self._lines[key]
            line.popleft()
            self._settle_line(key, line)
        self._let_go(delivery)
        self._over(self, delivery, given_up)

    def _give_up_old(self, reason: str) -> None:
        """Gives up what has become too old; what is on its way is looked at when it is back."""
        waiting, self._ready = self._ready, deque()
        oldest = (self._now() - self._retry.max_age) * 1e6
        for key in waiting:
            line = self._lines[key]
            old = []
            while line and line[0].entry.time < oldest:
                old.append(line.popleft())
            self._settle_line(key, line)
            for delivery in old:
                self._let_go(delivery)
                self._over(self, delivery, reason)

    def _let_go(self, delivery: Delivery) -> None:
        if delivery.name in self._held:
            self._held.discard(delivery.name)
            self._room.free += 1

    def _settle_line(self, key: Key, line: deque[Delivery]) -> None:
        if line:
            self._ready.append(key)
        else:
            del self._lines[key]

    def _resume(self) -> None:
        self._pause = None
        self._start()
