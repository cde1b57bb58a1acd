"""Periodic subscriptions (timeInterval, clause 5.8.6): each is told once in an interval, by whoever lives."""

import asyncio

from broker.clock import Clock, Stamp
from broker.core.errors import NonexistentTenant
from broker.core.periods import next_due
from broker.core.subscription import Subscription
from broker.ports.changes import ChangeSink, Entry
from broker.ports.subscriptions import SubscriptionStore, Timer, Timers

_LONGEST = 5.0  # seconds after which it looks, even if nothing is known to be due: others set timers, too


class Periods:
    """Makes due what its time has come for: the server's time, so that it is one for all processes.

    What is due is only that the subscriber be told: of what, is read when it is sent.
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
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There may be something new to look at."""
        self._news.set()

    async def round_and_wait(self) -> None:
        """Fires all that is due, and returns when it is worth to look again."""
        self._news.clear()
        try:
            async with asyncio.timeout(await self.round()):
                await self._news.wait()
        except TimeoutError:
            return

    async def round(self) -> float:
        """Fires all that is due by now; the seconds until it is worth to look again."""
        while (timer := await self._timers.claim(self._clock.server())) is not None:
            await self._fire(timer)
        following = await self._timers.next()
        if following is None:
            return _LONGEST
        return min(_LONGEST, max(0.0, (following - self._clock.server()) / 1_000_000))

    async def _fire(self, timer: Timer) -> None:
        now = self._clock.server()
        if await self._active(timer) is None:
            await self._timers.drop(timer)
            return
        await self._sink.at_epoch(timer.tenant, await self._subscriptions.current_epoch(timer.tenant))
        entry = report(self._clock.stamp(), timer, now, self._process)
        if await self._timers.fire(timer, next_due(timer.due, timer.every, now), entry):
            self._sink.committed([entry])

    async def _active(self, timer: Timer) -> Subscription | None:
        try:
            found = await self._subscriptions.get(timer.tenant, timer.subscription)
        except NonexistentTenant:
            return None
        if found is None or found[0].status(self._clock.present()) != "active":
            return None
        return found[0]


def report(stamp: Stamp, timer: Timer, now: int, process: str) -> Entry:
    """The entry that says that a subscriber is to be told of all that it subscribes to."""
    about = {"id": timer.subscription, "type": [], "attrs": {}}
    entry_id = f"{stamp.rev:016x}{process}"
    return Entry(entry_id, timer.tenant, stamp.rev, about, {timer.subscription}, time=now, is_report=True)
