"""Work in the background: done over and over, item by item, by one process for all where it has a lease.

An item (a tenant, mostly) that fails is left alone for a while, longer each time, and stops none of the
others. Only when the database is away the round ends, since all others would wait for it, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from prometheus_client import Counter, Gauge

from broker.clock import Clock
from broker.core.errors import NgsiLdError, Unavailable
from broker.store.background.lease import Lease
from broker.store.wire.errors import reported

log = logging.getLogger(__name__)

_FIRST, _LONGEST = 1.0, 60.0  # seconds that an item which failed is left alone
_AGAIN = 1.0  # seconds after which what does not stop is told so once more
_ROUNDS = Counter("eridanus_background_rounds_total", "Rounds of work in the background", ("task",))
_FAILURES = Counter(
    "eridanus_background_failures_total", "Failures of work in the background, of items and rounds", ("task",)
)
_LAST = Gauge(
    "eridanus_background_last_success_timestamp_seconds",
    "When a round of work in the background last went without a failure",
    ("task",),
    multiprocess_mode="max",
)

Items = Callable[[], Awaitable[Iterable[str]]]


def note_failure(task: str, error: Exception, **about: str) -> None:
    """Counts and logs that work in the background failed at an item."""
    _FAILURES.labels(task).inc()
    extra = {"task": task, **about}
    if isinstance(error, NgsiLdError):
        log.warning("work in the background has to wait", extra={**extra, "reason": error.detail})
    else:
        log.error("work in the background failed", extra=extra, exc_info=error)


async def one() -> Iterable[str]:
    """The items of work that is a single piece."""
    return ("",)


@dataclass(slots=True)
class Task:
    """Work to be done for each of its items, `seconds` after the last round ended."""

    name: str
    work: Callable[[str], Awaitable[object]]
    seconds: float
    items: Items = one
    lease: Lease | None = None
    failing: dict[str, tuple[int, float]] = field(default_factory=dict)  # how often, and until when it rests

    async def round(self) -> bool:
        """One round, if the lease is this process's. Whether all went well; raises what is nobody's own."""
        if not await self._is_mine():
            return True
        items = list(await self.items())
        self.failing = {item: self.failing[item] for item in items if item in self.failing}
        for number, item in enumerate(items):
            if number and not await self._is_mine():
                break
            if not self._rests(item):
                await self._do(item)
        _ROUNDS.labels(self.name).inc()
        return not self.failing

    async def _is_mine(self) -> bool:
        with reported():
            return self.lease is None or await self.lease.is_held()

    def _rests(self, item: str) -> bool:
        return item in self.failing and self.failing[item][1] > asyncio.get_running_loop().time()

    async def _do(self, item: str) -> None:
        try:
            await self.work(item)
        except Exception as error:
            times = self.failing.get(item, (0, 0.0))[0] + 1
            pause = min(_LONGEST, _FIRST * 2.0 ** (times - 1)) if item else 0.0
            self.failing[item] = times, asyncio.get_running_loop().time() + pause
            if not item or isinstance(error, Unavailable):
                raise
            note_failure(self.name, error, item=item)
        else:
            self.failing.pop(item, None)


class Runner:
    """Does the tasks of one process, each in its own time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[Task] = []
        self._running: list[asyncio.Task[None]] = []

    def add(self, task: Task) -> None:
        """Adds a task, to be done from `start` on."""
        self._tasks.append(task)

    def start(self) -> None:
        """Begins with all tasks."""
        self._running = [asyncio.create_task(self._forever(task)) for task in self._tasks]

    async def close(self) -> None:
        """Stops, and gives up the leases, so that others may go on at once."""
        pending = set(self._running)
        while pending:  # the driver may take a cancellation for its own, and go on
            for running in pending:
                running.cancel()
            _, pending = await asyncio.wait(pending, timeout=_AGAIN)
        for lease in (task.lease for task in self._tasks if task.lease is not None):
            try:
                with reported():
                    await lease.give_up()
            except NgsiLdError as error:  # it runs out by itself
                log.info("a lease could not be given up", extra={"reason": error.detail})

    async def _forever(self, task: Task) -> None:
        failed = 0
        while True:
            pause = task.seconds
            try:
                if await task.round():
                    _LAST.labels(task.name).set(self._clock.server_seconds())
                failed = 0
            except Exception as error:  # the next round may do better, and none may end them all
                note_failure(task.name, error)
                pause = min(_FIRST * 2.0**failed, max(_FIRST, task.seconds))
                failed = min(failed + 1, 10)
            await asyncio.sleep(pause)
