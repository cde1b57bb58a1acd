"""The notifier: finds what a change is due to, and hands it on in an order that holds across processes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from broker.core import instant
from broker.core.change import Change
from broker.core.errors import Unavailable
from broker.notify.deliverer import Deliverer
from broker.notify.index import Index
from broker.ports import Due, Entry, Outbox, SubscriptionStore

_LOOK_AGAIN = 0.05  # seconds between looks for whether another process is through with an entity
_PAGE = 500  # entries read from the outbox at once


class Notifier:
    """See `ports.ChangeSink`. One for each process.

    An entity that another process wrote last may still have notifications under way there; what comes
    after them is held here until they are gone from the outbox.
    """

    def __init__(
        self,
        indexes: dict[str, Index],
        subscriptions: SubscriptionStore,
        outbox: Outbox,
        deliverer: Deliverer,
    ) -> None:
        self._indexes = indexes
        self._store = subscriptions
        self._outbox = outbox
        self._deliverer = deliverer
        self._loading: dict[str, asyncio.Lock] = {}
        self._held: dict[tuple[str, str], list[Entry]] = {}
        self._order = asyncio.Lock()  # what is adopted is offered before anything that waits for it
        self._tasks: set[asyncio.Task[None]] = set()

    async def at_epoch(self, tenant: str, epoch: int) -> None:
        """See `ports.ChangeSink.at_epoch`."""
        index = self._indexes.setdefault(tenant, Index())
        if index.epoch >= epoch:
            return
        async with self._loading.setdefault(tenant, asyncio.Lock()):
            if index.epoch < epoch:
                index.update(await self._store.since(tenant, index.epoch))

    def due(self, tenant: str, change: Change) -> list[Due]:
        """See `ports.ChangeSink.due`."""
        return self._indexes[tenant].due(change, instant.micros(change.now))

    def throttled(self, tenant: str, subscription: str, last: int) -> None:
        """See `ports.ChangeSink.throttled`."""
        self._indexes[tenant].fired(subscription, last)

    def committed(self, entries: Sequence[Entry]) -> None:
        """See `ports.ChangeSink.committed`."""
        check: list[Entry] = []
        for entry in entries:
            key = (entry.tenant, entry.entity["id"])
            if key in self._held:
                self._held[key].append(entry)
            elif entry.foreign:
                self._held[key] = [entry]
                check.append(entry)
            else:
                self._deliverer.offer(entry)
        if check:
            task = asyncio.create_task(self._wait_for_others(check))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def adopt(
        self, inherit: Callable[[], Awaitable[bool]], tenants: Callable[[], Awaitable[list[str]]]
    ) -> None:
        """Takes over the entries that `inherit` brings, in order, before anything newer of their entities."""
        async with self._order:
            if await inherit():
                for tenant in await tenants():
                    await self._take_up(tenant)

    async def close(self) -> None:
        """Stops delivering; what is not told stays in the outbox for others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliverer.close()

    async def _take_up(self, tenant: str) -> None:
        """Offers all entries of this process that are in the outbox. Some may be on their way: told twice."""
        await self.at_epoch(tenant, 0)
        after: str | None = ""
        while after is not None:
            entries = await self._outbox.mine(tenant, after, (), _PAGE)
            for entry in entries:
                if (tenant, entry.entity["id"]) not in self._held:
                    self._deliverer.offer(entry)
            after = entries[-1].id + "\0" if len(entries) == _PAGE else None

    async def _wait_for_others(self, entries: list[Entry]) -> None:
        """Offers entries once no other process has an earlier one of the same entity to tell of."""
        while entries:
            async with self._order:
                blocked = await self._blocked(entries)
                for entry in entries:
                    if entry.id not in blocked:
                        self._let_go(entry)
            entries = [entry for entry in entries if entry.id in blocked]
            if entries:
                await asyncio.sleep(_LOOK_AGAIN)

    def _let_go(self, entry: Entry) -> None:
        for held in self._held.pop((entry.tenant, entry.entity["id"])):
            self._deliverer.offer(held)

    async def _blocked(self, entries: list[Entry]) -> set[str]:
        try:
            return await self._outbox.blocked(entries[0].tenant, entries)
        except Unavailable:
            return {entry.id for entry in entries}
