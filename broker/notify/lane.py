"""A lane: it schedules and sends the streams that the machine offers for one endpoint."""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from broker.core.delivery.stream import Stream
from broker.ports.delivery import DeliveryFailed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retry:
    """When to retry: the first and the longest pause, and the age at which to stop, all in seconds."""

    first: float
    cap: float
    max_age: float

    def pause(self, failures: int) -> float:
        """The pause (s) after so many failures: doubled each time, and shortened by up to half (jitter)."""
        return min(self.cap, self.first * 2.0 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)


class DeliveryEvents(Protocol):
    """The events that a lane reports to the driver of the machine, about the first entry of a stream."""

    @property
    def is_stalled(self) -> bool:
        """Whether lanes must not start deliveries, until `Lane.proceed` is called."""

    def started(self, stream: Stream) -> None:
        """An attempt begins."""

    def taken(self, stream: Stream, reason: str | None) -> None:
        """The entry was delivered; with a `reason`, it was refused for good."""

    def failed(self, stream: Stream, uri: str, reason: str) -> None:
        """The attempt failed; a retry may succeed."""

    def idle(self, uri: str) -> None:
        """The lane has no streams, no attempts under way, and no pause to wait for: it can be dropped."""


class Lane:
    """Sends the first entries of streams to one endpoint, several at once, in the order of the offers.

    While the endpoint fails, the lane makes one attempt at a time, with growing pauses, each for another
    stream. So an endpoint that never takes one notification still gets the others. `send(stream, is_late)`
    makes one attempt; it is late if the endpoint has failed since its last success.
    """

    def __init__(
        self,
        uri: str,
        reports: DeliveryEvents,
        send: Callable[[Stream, bool], Awaitable[None]],
        *,
        concurrency: int,
        retry: Retry,
    ) -> None:
        self._uri = uri
        self._reports = reports
        self._send = send
        self._concurrency = concurrency
        self._retry = retry
        self._ready: OrderedDict[Stream, None] = OrderedDict()
        self._runners: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._rest: asyncio.TimerHandle | None = None
        self._is_closed = False

    def offer(self, stream: Stream) -> None:
        """Queues a stream, whose first entry may be sent."""
        self._ready[stream] = None
        self.proceed()

    def withdraw(self, stream: Stream) -> None:
        """Removes a stream from the queue; an attempt under way goes on."""
        self._ready.pop(stream, None)
        self.proceed()

    def proceed(self) -> None:
        """Starts as many attempts as are allowed now; reports `idle` if there is nothing to do."""
        if not self._ready and not self._runners and self._rest is None:
            return self._reports.idle(self._uri)
        limit = 1 if self._failures else self._concurrency
        for _ in range(min(len(self._ready), limit - len(self._runners))):
            if not self._may_send:
                return None
            runner = asyncio.create_task(self._run())
            self._runners.add(runner)
            runner.add_done_callback(self._ended)
        return None

    async def close(self, grace: float) -> None:
        """Starts no more attempts; cancels those that are still under way after `grace` seconds."""
        self._is_closed = True
        if self._rest is not None:
            self._rest.cancel()
        if self._runners:
            _, late = await asyncio.wait(self._runners, timeout=grace)
            for runner in late:
                runner.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def _may_send(self) -> bool:
        return self._rest is None and not self._is_closed and not self._reports.is_stalled

    async def _run(self) -> None:
        """Sends queued streams one after the other. While the endpoint fails, only one runner goes on."""
        while self._ready and self._may_send and (not self._failures or len(self._runners) == 1):
            stream, _ = self._ready.popitem(last=False)
            self._reports.started(stream)
            await self._try(stream)

    def _ended(self, runner: asyncio.Task[None]) -> None:
        self._runners.discard(runner)
        self.proceed()

    async def _try(self, stream: Stream) -> None:
        """Makes one attempt. Any error counts as a failure and leads to a retry, so no stream gets stuck."""
        try:
            await self._send(stream, self._failures > 0)
        except DeliveryFailed as failure:
            self._failed(stream, failure)
        except Exception:
            log.exception("a notification could not be sent", extra={"subscription": stream.subscription})
            self._failed(stream, DeliveryFailed("an error of the broker, which its log describes"))
        else:
            self._taken(stream, None)

    def _taken(self, stream: Stream, reason: str | None) -> None:
        self._failures = 0
        self._reports.taken(stream, reason)
        self.proceed()

    def _failed(self, stream: Stream, failure: DeliveryFailed) -> None:
        if failure.is_final:  # the endpoint works, so other streams need not wait
            return self._taken(stream, str(failure))
        if self._rest is None:  # attempts that were under way together count as one failure
            self._failures += 1
            pause = max(failure.rest, self._retry.pause(self._failures))
            self._rest = asyncio.get_running_loop().call_later(pause, self._rested)
        return self._reports.failed(stream, self._uri, str(failure))

    def _rested(self) -> None:
        self._rest = None
        self.proceed()
