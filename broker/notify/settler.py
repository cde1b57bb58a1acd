"""The settler: writes down in batches that deliveries are over, while the next ones are sent."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from broker.core.delivery.effects import Settle
from broker.notify.backlog import Backlog
from broker.notify.insist import insist
from broker.ports.changes import Settled, Tally
from broker.ports.delivery import Outbox

_GATHER = 0.02  # seconds between two batches: most entries are then over for all their subscriptions
_SHORT = 0.2  # seconds, at most, that a reader of the tallies waits for them
_TALLY = 0.25  # seconds between two writes of the tallies
_LAST = 5.0  # seconds that the last write may take when the broker stops


class Settler:
    """Settles the deliveries of one tenant, and retries each write until it succeeds.

    A delivery that is over is written at once if none has been written just before; else it waits for the
    next batch. Tallies wait longer. `done` is called with the effects that are written down.
    """

    def __init__(
        self, tenant: str, outbox: Outbox, backlog: Backlog, done: Callable[[Sequence[Settle]], None]
    ) -> None:
        self._tenant = tenant
        self._outbox = outbox
        self._backlog = backlog
        self._done = done
        self._over: list[Settle] = []
        self._tallies: dict[str, Tally] = {}
        self._tallied = 0.0
        self._hurry = asyncio.Event()
        self._is_asked = False  # for the tallies
        self._writing: asyncio.Task[None] | None = None

    def settle(self, effect: Settle) -> None:
        """Adds a delivery that is over to the next batch."""
        self._over.append(effect)
        self._begin()

    def attempt(self, subscription: str, now: str, *, failed: bool) -> None:
        """Counts an attempt to notify in the tally of the subscription (5.2.14.2). `now`: its time."""
        tally = self._tallies.setdefault(subscription, Tally())
        tally.sent += 1
        tally.last_notification = now
        if failed:
            tally.failed += 1
            tally.last_failure = now
        else:
            tally.last_success = now
        self._begin()

    async def written(self) -> None:
        """Returns when all that is known by now is written down, or after a short time."""
        if self._writing is not None:
            self._ask()
            await asyncio.wait((self._writing,), timeout=_SHORT)

    async def close(self) -> None:
        """Writes what is left. Gives up after some seconds if the database does not take it."""
        if (writing := self._writing) is not None:
            self._ask()
            await asyncio.wait((writing,), timeout=_LAST)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    def _ask(self) -> None:
        self._is_asked = True
        self._hurry.set()

    def _begin(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        await asyncio.sleep(0)  # one batch for all that this turn of the event loop brings
        while self._over or self._tallies:
            over, self._over = self._over, []
            settled = _settled(over, self._due_tallies())
            if over or settled.tallies:
                await insist(partial(self._outbox.settle, self._tenant, settled), "settle")
                for _ in range(sum(map(len, settled.finished.values()))):
                    self._backlog.removed(self._tenant)
                self._done(over)
            if self._over:
                await self._wait(_GATHER)
            elif self._tallies:
                await self._wait(self._tallied + _TALLY - asyncio.get_running_loop().time())
        self._writing = None

    def _due_tallies(self) -> dict[str, Tally]:
        """Takes the tallies, if it is time to write them; else none."""
        self._hurry.clear()
        now = asyncio.get_running_loop().time()
        if not self._is_asked and now < self._tallied + _TALLY:
            return {}
        tallies, self._tallies, self._tallied, self._is_asked = self._tallies, {}, now, False
        return tallies

    async def _wait(self, seconds: float) -> None:
        """Waits for more, unless somebody asks for the tallies."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return


def _settled(over: Sequence[Settle], tallies: dict[str, Tally]) -> Settled:
    """The batch to write, by entity and entry."""
    settled = Settled(tallies=tallies)
    for effect in over:
        entry = effect.entry
        if effect.reason is not None:
            settled.dead_letters.append((entry, effect.subscription, effect.reason))
        if effect.is_finished:
            settled.finished.setdefault(entry.entity_id, []).append(entry.id)
        else:
            parts = settled.partly.setdefault(entry.entity_id, {})
            parts.setdefault(entry.id, []).append(effect.subscription)
    return settled
