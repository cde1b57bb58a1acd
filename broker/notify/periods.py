"""Periodic subscriptions (timeInterval, clause 5.8.6): each is told once in an interval, by whoever lives."""

import asyncio
from collections.abc import Callable

from broker.core import instant
from broker.core.errors import NonexistentTenant
from broker.core.periods import next_due
from broker.core.subscription import Subscription
from broker.ports.changes import ChangeSink, Entry
from broker.ports.subscriptions import SubscriptionStore, Timer, Timers

_LONGEST = 5.0  # seconds after which it looks, even if nothing is known to be due: others set timers, too


class Periods:
    """Makes due what its time has come for. `now` is in microseconds.

    What is due is only that the subscriber be told: of what, is read when it is sent.
    """

    def __init__(
        self,
        timers: Timers,
        subscriptions: SubscriptionStore,
        sink: ChangeSink,
        process: str,
        now: Callable[[], int],
    ) -> None:
        self._timers = timers
        self._subscriptions = subscriptions
        self._sink = sink
        self._process = process
        self._now = now
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
        while (timer := await self._timers.claim(self._now())) is not None:
            await self._fire(timer)
        following = await self._timers.next()
        if following is None:
            return _LONGEST
        return min(_LONGEST, max(0.0, (following - self._now()) / 1_000_000))

    async def _fire(self, timer: Timer) -> None:
        now = self._now()
        if await self._active(timer, now) is None:
            await self._timers.drop(timer)
            return
        await self._sink.at_epoch(timer.tenant, await self._subscriptions.current_epoch(timer.tenant))
        entry = report(timer, self._process, now)
        if await self._timers.fire(timer, next_due(timer.due, timer.every, now), entry):
            self._sink.committed(entry, (), is_whole=True)

    async def _active(self, timer: Timer, now: int) -> Subscription | None:
        try:
            found = await self._subscriptions.get(timer.tenant, timer.subscription)
        except NonexistentTenant:
            return None
        if found is None or found[0].status(instant.of_micros(now)) != "active":
            return None
        return found[0]


def report(timer: Timer, process: str, now: int) -> Entry:
    """The entry that says that a subscriber is to be told of all that it subscribes to."""
    one = timer.subscription
    return Entry(f"{now:016x}{process}", timer.tenant, one, now, now, process, {one}, is_report=True)
