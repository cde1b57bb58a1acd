"""Timers: periodic subscriptions (timeInterval, 5.8.6), and what throttling suppressed (5.2.12).

Each timer fires once when it is due, in any of the processes.
"""

import asyncio
import logging

from broker.clock import Clock, Stamp
from broker.core.delivery.entry import entry_id
from broker.core.errors import NonexistentTenant, Unavailable
from broker.core.subscription import Subscription
from broker.core.time_interval import next_due
from broker.ports.changes import ChangeSink, Entry
from broker.ports.subscriptions import SubscriptionStore, Timer, Timers

log = logging.getLogger(__name__)
_LONGEST = 5.0  # seconds between rounds at most, since other processes set timers, too


class TimerLoop:
    """Fires due timers. Times are the server's, in µs, so all processes agree on them.

    A firing commits an entry. That of a periodic subscription is a report without payload: its entities are
    read when it is sent.
    """

    def __init__(
        self,
        timers: Timers,
        subscriptions: SubscriptionStore,
        sink: ChangeSink,
        process: str,
        clock: Clock,
    ) -> None:
        self._timers = timers
        self._subscriptions = subscriptions
        self._sink = sink
        self._process = process
        self._clock = clock
        self._failing: set[tuple[str, str]] = set()  # tenants and subscriptions
        self._news = asyncio.Event()
        self._next_round = 0  # its time; 0 while a round runs

    def wake(self) -> None:
        """Begins the next round now: timers may have changed."""
        self._news.set()

    def expect(self, due: int) -> None:
        """Begins the next round early enough for a timer that was set to `due`."""
        if not self._next_round or due < self._next_round:
            self._news.set()

    async def round_and_wait(self) -> None:
        """Fires all due timers, and returns when the next round should begin."""
        self._news.clear()
        self._next_round = 0
        try:
            seconds = await self.round()
            self._next_round = self._clock.server() + round(seconds * 1_000_000)
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def round(self) -> float:
        """Fires all due timers; returns the seconds until the next round should begin."""
        for entry in await self._timers.unclear():
            self._sink.committed(entry, (), is_whole=True)
        while (timer := await self._timers.claim(self._clock.server())) is not None:
            await self._try(timer)
        following = await self._timers.next()
        if following is None:
            return _LONGEST
        return min(_LONGEST, max(0.0, (following - self._clock.server()) / 1_000_000))

    async def _try(self, timer: Timer) -> None:
        """Fires a timer. If that fails, the others still fire; this one is retried when the claim runs out.

        A timer that fails each time, as that of a damaged subscription does, is logged once. Unavailable if
        the database is: then the round ends.
        """
        key = timer.tenant, timer.subscription
        try:
            await self._fire(timer)
        except Unavailable:
            raise
        except Exception:
            if key not in self._failing:
                log.exception("a timer cannot fire", extra={"tenant": key[0], "subscription": key[1]})
            self._failing.add(key)
        else:
            self._failing.discard(key)

    async def _fire(self, timer: Timer) -> None:
        now = self._clock.server()
        subscription = await self._wanting(timer)
        if subscription is None:
            await self._timers.drop(timer)
            return
        await self._sink.at_epoch(timer.tenant, *await self._subscriptions.current_epoch(timer.tenant))
        entry = entry_of(self._clock.stamp(), timer, now, self._process)
        if timer.entity is None:
            is_due = await self._timers.fire(timer, next_due(timer.due, timer.every, now), entry)
        else:
            is_due = await self._timers.release(timer, subscription.throttling, entry)
        if is_due:
            self._sink.committed(entry, (), is_whole=True)

    async def _wanting(self, timer: Timer) -> Subscription | None:
        """The subscription of a timer; None if the timer must not fire (subscription gone or not active).

        Suppressed states become pending for a paused one, too, and are delivered when it is active.
        """
        try:
            stored = await self._subscriptions.get(timer.tenant, timer.subscription)
        except NonexistentTenant:
            return None
        wanted = ("active",) if timer.entity is None else ("active", "paused")
        if stored is None or stored[0].status(self._clock.present()) not in wanted:
            return None
        return stored[0]


def entry_of(stamp: Stamp, timer: Timer, now: int, process: str) -> Entry:
    """The entry of a firing at `now` (µs): a report, or one that suppressed states will be added to."""
    subscription = timer.subscription
    name = entry_id(stamp.rev, stamp.number, process)
    entry = Entry(name, timer.tenant, subscription, stamp.rev, now, process, {subscription})
    entry.entity, entry.is_report = {"id": subscription, "type": [], "attrs": {}}, timer.entity is None
    return entry
