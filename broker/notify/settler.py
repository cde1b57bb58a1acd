"""The settler: writes down what became of deliveries, many at once, while the next ones are on their way."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from broker.core.delivery.effects import Settle
from broker.notify.backlog import Backlog
from broker.notify.insist import insist
from broker.ports.changes import Settled, Tally
from broker.ports.delivery import Outbox

_GATHER = 0.02  # seconds between two writes of what is over: most entries are then finished
_SHORT = 0.2  # seconds that who asks for the tallies waits for them at most
_TALLY = 0.25  # seconds between two writes of the tallies
_LAST = 5.0  # seconds that the last write may take when the broker stops


class Settler:
    """Writes down what is over in one tenant, and never forgets it: a write is tried until it is through.

    What comes alone is written at once; where much comes, each write waits a little for more. Tallies wait
    longer. `done` is told what is written down.
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
        """Something is over."""
        self._over.append(effect)
        self._begin()

    def attempt(self, subscription: str, now: str, *, failed: bool) -> None:
        """Counts an attempt to notify (5.2.14.2)."""
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
            await asyncio.gather(writing, return_exceptions=True)

    def _ask(self) -> None:
        self._is_asked = True
        self._hurry.set()

    def _begin(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        await asyncio.sleep(0)  # all that this turn of the loop brings goes along
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
        """The tallies, if it is time for them."""
        self._hurry.clear()
        now = asyncio.get_running_loop().time()
        if not self._is_asked and now < self._tallied + _TALLY:
            return {}
        tallies, self._tallies, self._tallied, self._is_asked = self._tallies, {}, now, False
        return tallies

    async def _wait(self, seconds: float) -> None:
        """Lets more come, unless somebody is in a hurry."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return


def _settled(over: Sequence[Settle], tallies: dict[str, Tally]) -> Settled:
    """What is to be written."""
    settled = Settled(tallies=tallies)
    for one in over:
        entry = one.entry
        if one.reason is not None:
            settled.dead_letters.append((entry, one.subscription, one.reason))
        if one.is_finished:
            settled.finished.setdefault(entry.entity_id, []).append(entry.id)
        else:
            parts = settled.partly.setdefault(entry.entity_id, {})
            parts.setdefault(entry.id, []).append(one.subscription)
    return settled
