"""Timers: periodic subscriptions (timeInterval, 5.8.6), and what throttling suppressed (5.2.12).

Each is notified once when its time has come, by whatever process lives.
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
_LONGEST = 5.0  # seconds after which it looks, even if nothing is known to be due: others set timers, too


class Periods:
    """Makes due what its time has come for: the server's time, so that it is one for all processes.

    Of a periodic subscription it is only due that the subscriber be told: of what, is read when it is sent.
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
        self._looks_at = 0  # the time of the next round; 0 while there is one

    def wake(self) -> None:
        """There may be something new to look at."""
        self._news.set()

    def expect(self, due: int) -> None:
        """A timer was set to this time."""
        if not self._looks_at or due < self._looks_at:
            self._news.set()

    async def round_and_wait(self) -> None:
        """Fires all that is due, and returns when it is worth to look again."""
        self._news.clear()
        self._looks_at = 0
        try:
            seconds = await self.round()
            self._looks_at = self._clock.server() + round(seconds * 1_000_000)
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def round(self) -> float:
        """Fires all that is due by now; the seconds until it is worth to look again."""
        for entry in await self._timers.unclear():
            self._sink.committed(entry, (), is_whole=True)
        while (timer := await self._timers.claim(self._clock.server())) is not None:
            await self._try(timer)
        following = await self._timers.next()
        if following is None:
            return _LONGEST
        return min(_LONGEST, max(0.0, (following - self._clock.server()) / 1_000_000))

    async def _try(self, timer: Timer) -> None:
        """Fires one; if that fails, it alone: its turn comes again when the claim runs out.

        What fails each time, as a damaged subscription does, is logged once.
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
        """The subscription, unless it is over; a paused one gets what was suppressed when it is active."""
        try:
            found = await self._subscriptions.get(timer.tenant, timer.subscription)
        except NonexistentTenant:
            return None
        wanted = ("active",) if timer.entity is None else ("active", "paused")
        if found is None or found[0].status(self._clock.present()) not in wanted:
            return None
        return found[0]


def entry_of(stamp: Stamp, timer: Timer, now: int, process: str) -> Entry:
    """The entry of a subscription as a whole: what it is told is read later, or was suppressed."""
    one = timer.subscription
    name = entry_id(stamp.rev, stamp.number, process)
    entry = Entry(name, timer.tenant, one, stamp.rev, now, process, {one})
    entry.entity, entry.is_report = {"id": one, "type": [], "attrs": {}}, timer.entity is None
    return entry
