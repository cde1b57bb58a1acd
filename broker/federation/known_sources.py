"""The context sources of all tenants, in the memory of a worker.

The sources of a tenant are loaded at their first use, and from then on a request costs a look into a dict: no
read of the database. A change is announced to all workers, and each reads from the log what changed. A worker
that may have missed an announcement reads the epoch before each use, until it has caught up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from broker.core.errors import NonexistentTenant, Unavailable
from broker.core.federation.origin import Origin
from broker.core.federation.source_tally import SourceTally
from broker.core.federation.step import Reply, Step
from broker.core.lang.geo import load_geometries
from broker.federation.source_index import SourceIndex
from broker.federation.tallies import Tallies
from broker.ports.sources import Registry, SourceChanges, SourceLog

log = logging.getLogger(__name__)

_AT_ONCE = 100  # sources that are put into an index without a pause

Ask = Callable[[Origin, Sequence[Step]], Awaitable[list[Reply]]]


class KnownSources:
    """See `ports.Sources`.

    `is_current()`: whether this process has heard of every acknowledged change of a registration.
    """

    def __init__(
        self, source_log: SourceLog, ask: Ask, is_current: Callable[[], bool], tallies: Tallies
    ) -> None:
        self._log = source_log
        self._ask = ask
        self._tallies = tallies
        self._is_current = is_current
        self._loaded: dict[str, SourceIndex] = {}
        self._refreshes: dict[str, _Refreshes] = {}

    async def of(self, tenant: str) -> Registry | None:
        """See `ports.Sources.of`."""
        index = self._loaded.get(tenant)
        if index is None or not self._is_current():
            await self._refresh(tenant)
            index = self._loaded.get(tenant)
        return index if index is not None and index.sources else None

    async def ask(self, origin: Origin, steps: Sequence[Step]) -> list[Reply]:
        """See `ports.Sources.ask`."""
        replies = await self._ask(origin, steps)
        self._tallies.note(origin.tenant, replies)
        return replies

    async def tallies(self, tenant: str, registration_ids: Collection[str]) -> Mapping[str, SourceTally]:
        """See `ports.Sources.tallies`."""
        return await self._tallies.of(tenant, registration_ids)

    async def changed(self, tenants: Collection[str] | None) -> None:
        """Returns once the sources of these tenants, or of all, are as they are stored or not in memory."""
        for tenant in [*self._refreshes] if tenants is None else tenants:
            if tenant in self._refreshes:
                await self._refresh_or_drop(tenant)

    async def check(self, now: str) -> None:
        """Looks for changes that were committed and never announced, and drops sources that have expired."""
        await self.changed(None)
        for index in self._loaded.values():
            index.drop_expired(now)

    async def close(self) -> None:
        """Stops what is being loaded."""
        for refreshes in [*self._refreshes.values()]:
            await refreshes.close()

    async def _refresh_or_drop(self, tenant: str) -> None:
        """What cannot be read is no longer in memory: its next use will fail, or the use after that."""
        try:
            await self._refresh(tenant)
        except Unavailable:
            raise
        except Exception:
            log.exception("the context sources of a tenant cannot be read", extra={"tenant": tenant})
            self._loaded.pop(tenant, None)

    async def _refresh(self, tenant: str) -> None:
        """Reads what has changed until now."""
        refreshes = self._refreshes.get(tenant)
        if refreshes is None:
            refreshes = _Refreshes(lambda: self._read(tenant), lambda: self._rest(tenant))
            self._refreshes[tenant] = refreshes
        await refreshes.next()

    def _rest(self, tenant: str) -> None:
        """Nothing is remembered of what is not loaded: anybody may ask for a tenant of any name."""
        if tenant not in self._loaded:
            del self._refreshes[tenant]

    async def _read(self, tenant: str) -> None:
        index = self._loaded.get(tenant) or SourceIndex()
        try:
            changes = await self._log.since(tenant, index.epoch, index.mark)
        except NonexistentTenant:
            return
        if any(source.areas for source in changes.changed):
            await asyncio.to_thread(load_geometries)
        self._loaded[tenant] = await _updated(index, changes)


async def _updated(index: SourceIndex, changes: SourceChanges) -> SourceIndex:
    """The index after changes; a new one if they are all that there is. Others get a turn in between."""
    updated = SourceIndex() if changes.whole else index
    for start in range(0, len(changes.changed), _AT_ONCE):
        part = changes.changed[start : start + _AT_ONCE]
        updated.update(SourceChanges(updated.epoch, part, mark=updated.mark))
        await asyncio.sleep(0)
    updated.update(replace(changes, changed=()))
    return updated


class _Refreshes:
    """Runs `work` one at a time; who comes while it runs waits for the next run, together with others.

    `rest()` is called when no run is left.
    """

    def __init__(self, work: Callable[[], Awaitable[None]], rest: Callable[[], None]) -> None:
        self._work = work
        self._rest = rest
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def next(self) -> None:
        """Returns after a run that began after this call. A caller that is cancelled stops no run."""
        if self._next is None:
            self._next = asyncio.create_task(self._run())
            self._running.add(self._next)
            self._next.add_done_callback(self._ended)
        await asyncio.shield(self._next)

    async def close(self) -> None:
        """Cancels all runs."""
        tasks = [*self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        async with self._turn:
            self._next = None
            await self._work()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # those who wait raise it; if nobody does any more, the next use tries again
        if not self._running:
            self._rest()
