"""Writes down what became of deliveries: many at once, while the next ones are already on their way."""

import asyncio
import logging

from broker.core.errors import Unavailable
from broker.notify.backlog import Backlog
from broker.ports import Entry, Outbox, Settled, Tally

log = logging.getLogger(__name__)
_PAUSE = 1.0  # seconds before a write is tried again
_TRIES = 5
_SHORT = 0.2  # seconds that who asks for the tallies waits for them at most
_LAST = 5.0  # seconds that the last write may take when the broker stops


class Settler:
    """Collects the ends of deliveries for each tenant, and writes them to the outbox in batches.

    What is lost here by a crash is told again: at least once, never less. So a batch that the database
    refuses is tried again a few times and then forgotten, rather than in the way of all others.
    """

    def __init__(self, outbox: Outbox, backlog: Backlog) -> None:
        self._outbox = outbox
        self._backlog = backlog
        self._open: dict[str, Settled] = {}
        self._writing: asyncio.Task[None] | None = None

    def told(self, entry: Entry, subscription: str, *, given_up: str | None = None) -> None:
        """This subscription needs to be told of this entry no more."""
        settled = self._of(entry.tenant)
        entry.due.discard(subscription)
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
        tally = self._of(tenant).tallies.setdefault(subscription, Tally())
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
            await asyncio.wait((self._writing,), timeout=_SHORT)

    async def close(self) -> None:
        """Writes what is left, if the database takes it soon."""
        if (writing := self._writing) is not None:
            await asyncio.wait((writing,), timeout=_LAST)
            writing.cancel()

    def _of(self, tenant: str) -> Settled:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return self._open.setdefault(tenant, Settled())

    async def _write(self) -> None:
        await asyncio.sleep(0)  # all that this turn of the loop brings goes along
        while self._open:
            batch, self._open = self._open, {}
            for tenant, settled in batch.items():
                await self._settle(tenant, settled)
        self._writing = None

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
