"""Writes down what became of deliveries: many at once, while the next ones are already on their way."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from broker.core.errors import Unavailable
from broker.notify.backlog import Backlog
from broker.ports.changes import Entry, Settled, Tally
from broker.ports.delivery import Outbox

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds before a write is tried again
_TRIES = 5
_SHORT = 0.2  # seconds that who asks for the tallies waits for them at most
_GATHER = 0.02  # seconds between two writes of what was told: most entries are then told to all
_TALLY = 0.25  # seconds between two writes of the tallies
_LAST = 5.0  # seconds that the last write may take when the broker stops


Name = tuple[str, str]


class Settler:
    """Collects the ends of deliveries for each tenant, and writes them to the outbox in batches.

    What is lost here by a crash is told again: at least once, never less. So a batch that the database
    refuses is tried again a few times and then forgotten, rather than in the way of all others. What comes
    alone is written at once; where much comes, each write waits a little for more, unless other processes
    are likely to wait for it. Tallies wait longer.
    """

    def __init__(self, outbox: Outbox, backlog: Backlog) -> None:
        self._outbox = outbox
        self._backlog = backlog
        self._open: dict[str, Settled] = {}
        self._tallies: dict[str, dict[str, Tally]] = {}
        self._tallied = 0.0
        self._hurry = asyncio.Event()
        self._is_asked = False  # for the tallies
        self._unwritten: set[Name] = set()
        self._watchers: list[set[Name]] = []
        self._writing: asyncio.Task[None] | None = None

    @contextmanager
    def watched(self) -> Iterator[set[Name]]:
        """While the outbox is read: what was told, or is meanwhile, and may not be written down yet.

        It may still be in what is read, by entry id and subscription.
        """
        told = set(self._unwritten)
        self._watchers.append(told)
        try:
            yield told
        finally:
            self._watchers = [one for one in self._watchers if one is not told]

    def told(self, entry: Entry, subscription: str, *, given_up: str | None = None) -> None:
        """This subscription needs to be told of this entry no more."""
        settled = self._of(entry.tenant)
        name = entry.id, subscription
        for one in (self._unwritten, *self._watchers):
            one.add(name)
        settled.names.append(name)
        entry.due.discard(subscription)
        if entry.has_waited:
            self._hurry.set()
        if given_up is not None:
            settled.given_up.append((entry, subscription, given_up))
        if entry.due:
            settled.told.setdefault(entry.id, []).append(subscription)
        else:
            settled.told.pop(entry.id, None)
            settled.finished.append(entry.id)
            self._backlog.removed(entry.tenant)

    def attempt(self, tenant: str, subscription: str, now: str, *, failed: bool) -> None:
        """Counts an attempt to notify (5.2.14.2)."""
        self._begin()
        tally = self._tallies.setdefault(tenant, {}).setdefault(subscription, Tally())
        tally.sent += 1
        tally.last_notification = now
        if failed:
            tally.failed += 1
            tally.last_failure = now
        else:
            tally.last_success = now

    async def written(self) -> None:
        """Returns when what is known by now is written down; does not wait for long."""
        if self._writing is not None:
            self._ask()
            await asyncio.wait((self._writing,), timeout=_SHORT)

    async def close(self) -> None:
        """Writes what is left, if the database takes it soon."""
        if (writing := self._writing) is not None:
            self._ask()
            await asyncio.wait((writing,), timeout=_LAST)
            writing.cancel()

    def _ask(self) -> None:
        self._is_asked = True
        self._hurry.set()

    def _of(self, tenant: str) -> Settled:
        self._begin()
        return self._open.setdefault(tenant, Settled())

    def _begin(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        await asyncio.sleep(0)  # all that this turn of the loop brings goes along
        while self._open or self._tallies:
            for tenant, settled in self._batch().items():
                await self._settle(tenant, settled)
                self._unwritten.difference_update(settled.names)
            if self._open:
                await self._wait(_GATHER)
            elif self._tallies:
                await self._wait(self._tallied + _TALLY - asyncio.get_running_loop().time())
        self._writing = None

    def _batch(self) -> dict[str, Settled]:
        """What is to be written now: all that was told, and the tallies if it is time for them."""
        batch, self._open = self._open, {}
        self._hurry.clear()
        now = asyncio.get_running_loop().time()
        if self._is_asked or now >= self._tallied + _TALLY:
            for tenant, tallies in self._tallies.items():
                batch.setdefault(tenant, Settled()).tallies = tallies
            self._tallies, self._tallied, self._is_asked = {}, now, False
        return batch

    async def _wait(self, seconds: float) -> None:
        """Lets more come, unless somebody is in a hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def _settle(self, tenant: str, settled: Settled) -> None:
        refusals = 0
        while refusals < _TRIES:
            try:
                return await self._outbox.settle(tenant, settled)
            except Unavailable:
                log.warning("the outbox cannot be written; trying again")
            except Exception:
                log.exception("the outbox refuses what became of deliveries")
                refusals += 1
            await asyncio.sleep(_PAUSE)
