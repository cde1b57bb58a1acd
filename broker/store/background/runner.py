"""The runner of background tasks. Each task runs in rounds over its items, mostly tenants.

A task with a lease runs in the process that holds the lease. An item that fails pauses, longer after each
failure, and does not stop the others. If the database is away, the round ends, since all items need it.
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

_FIRST, _LONGEST = 1.0, 60.0  # seconds of the pause after the first failure of an item, and of the longest
_AGAIN = 1.0  # seconds after which `close` cancels again what has not stopped
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
    """Counts and logs a failure of a background task; `about` goes into the log line."""
    _FAILURES.labels(task).inc()
    extra = {"task": task, **about}
    if isinstance(error, NgsiLdError):
        log.warning("work in the background has to wait", extra={**extra, "reason": error.detail})
    else:
        log.error("work in the background failed", extra=extra, exc_info=error)


async def one() -> Iterable[str]:
    """The items of a task without items: one, the empty string."""
    return ("",)


@dataclass(slots=True)
class Task:
    """A periodic task. A round calls `work` for each item; the next begins `seconds` after its end."""

    name: str
    work: Callable[[str], Awaitable[object]]
    seconds: float
    items: Items = one
    lease: Lease | None = None
    failing: dict[str, tuple[int, float]] = field(default_factory=dict)  # item: (failures, end of the pause)

    async def round(self) -> bool:
        """Does one round, if this process holds the lease. Returns whether no item is failing.

        Raises Unavailable, and all errors of a task without items.
        """
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
            failures = self.failing.get(item, (0, 0.0))[0] + 1
            pause = min(_LONGEST, _FIRST * 2.0 ** (failures - 1)) if item else 0.0
            self.failing[item] = failures, asyncio.get_running_loop().time() + pause
            if not item or isinstance(error, Unavailable):
                raise
            note_failure(self.name, error, item=item)
        else:
            self.failing.pop(item, None)


class Runner:
    """Runs the background tasks of one process, each in an asyncio task of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: list[Task] = []
        self._running: list[asyncio.Task[None]] = []

    def add(self, task: Task) -> None:
        """Adds a task; to be called before `start`."""
        self._tasks.append(task)

    def start(self) -> None:
        """Starts all tasks."""
        self._running = [asyncio.create_task(self._forever(task)) for task in self._tasks]

    async def close(self) -> None:
        """Stops all tasks and releases their leases, so that other processes can take them at once."""
        unfinished = set(self._running)
        while unfinished:  # the driver may swallow a cancellation
            for running in unfinished:
                running.cancel()
            _, unfinished = await asyncio.wait(unfinished, timeout=_AGAIN)
        for lease in (task.lease for task in self._tasks if task.lease is not None):
            try:
                with reported():
                    await lease.give_up()
            except NgsiLdError as error:  # the lease expires without it
                log.info("a lease could not be given up", extra={"reason": error.detail})

    async def _forever(self, task: Task) -> None:
        failed = 0
        while True:
            pause = task.seconds
            try:
                if await task.round():
                    _LAST.labels(task.name).set(self._clock.server_seconds())
                failed = 0
            except Exception as error:  # no failure may end the task; the next round may succeed
                note_failure(task.name, error)
                pause = min(_FIRST * 2.0**failed, max(_FIRST, task.seconds))
                failed = min(failed + 1, 10)
            await asyncio.sleep(pause)
