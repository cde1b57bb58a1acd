"""The notifier: finds what a change is due to, and hands it on in an order that holds across processes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from broker.core.change import Change
from broker.core.errors import Unavailable
from broker.core.lang.geo import load_geometries
from broker.notify.backlog import Backlog
from broker.notify.deliverer import Deliverer
from broker.notify.index import Index
from broker.ports.changes import Entry, SubscriptionChanges, Triggered
from broker.ports.delivery import Outbox
from broker.ports.subscriptions import SubscriptionStore

log = logging.getLogger(__name__)
_PAGE = 200  # entities in one page of a survey
_TENANTS = 20  # tenants that one reconciliation looks at


class Notifier:
    """See `ports.ChangeSink`. One for each process."""

    def __init__(
        self,
        indexes: dict[str, Index],
        subscriptions: SubscriptionStore,
        outbox: Outbox,
        deliverer: Deliverer,
        backlog: Backlog,
    ) -> None:
        self._indexes = indexes
        self._store = subscriptions
        self._outbox = outbox
        self._deliverer = deliverer
        self._backlog = backlog
        self._loading: dict[str, asyncio.Lock] = {}
        self._may_have_inherited = False
        self._turns: list[str] = []  # the tenants of this round of the reconciliation
        self._surveyed: dict[str, str] = {}  # the entity that it has come to in each
        self._pending: set[str] = set()  # tenants in which it has found own entries
        deliverer.refresh = self._refresh

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """See `ports.ChangeSink.at_epoch`. An older epoch was just read too early, or is that of a backup."""
        index = self._indexes.setdefault(tenant, Index())
        if (index.epoch, index.mark) == (epoch, mark):
            return
        async with self._loading.setdefault(tenant, asyncio.Lock()):
            if (index.epoch, index.mark) != (epoch, mark):
                self._learn(tenant, await self._since(tenant, index))

    async def changed(self, tenant: str, changes: SubscriptionChanges) -> None:
        """Learns of a change of subscriptions that this process made itself."""
        await _prepare(changes)
        index = self._indexes.setdefault(tenant, Index())
        if (index.epoch + 1, index.mark) == (changes.epoch, changes.before):
            self._learn(tenant, changes)
        elif index.epoch >= 0:
            await self.at_epoch(tenant, changes.epoch, changes.mark)

    async def refresh(self) -> None:
        """Learns of changes that others made, where deliveries are under way: nobody may want them now."""
        for tenant in self._pending.union(self._deliverer.busy):
            await self._refresh(tenant)

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """See `ports.ChangeSink.triggered`."""
        triggered = self._indexes[tenant].triggered(change)
        if triggered:
            self._backlog.admit(tenant)
        return triggered

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """See `ports.ChangeSink.committed`."""
        self._backlog.added(entry.tenant)
        self._deliverer.of(entry.tenant).committed(entry, earlier, is_whole)

    async def adopt(
        self, inherit: Callable[[], Awaitable[bool]], tenants: Callable[[], Awaitable[list[str]]]
    ) -> None:
        """Takes over the entries that `inherit` brings.

        If it fails in the middle, the next call takes over what this one may have been given.
        """
        was_interrupted, self._may_have_inherited = self._may_have_inherited, True
        if not await inherit() and not was_interrupted:
            self._may_have_inherited = False
            return
        names = await tenants()
        self._may_have_inherited = False
        for tenant in names:
            try:
                await self._take_up(tenant)
            except Exception as error:  # of this tenant alone, perhaps: the others are not to wait for it
                self._may_have_inherited = True
                if isinstance(error, Unavailable):
                    raise
                log.exception("entries cannot be taken up", extra={"tenant": tenant})

    def lapsed(self) -> None:
        """The lease of this process ran out: others may have taken over its entries."""
        self._may_have_inherited = True
        self._deliverer.lapsed()

    async def reconcile(self) -> None:
        """Rechecks, a page of a few tenants at a time, for own entries that nobody knows of any more."""
        for _ in range(min(_TENANTS, len(self._indexes))):
            self._turns = self._turns or list(self._indexes)
            tenant = self._turns.pop()
            after = self._surveyed.pop(tenant, "")
            if rest := await self._survey(tenant, after, is_adopted=False):
                self._surveyed[tenant] = rest

    async def tallied(self, tenant: str, subscription_id: str) -> None:
        """See `ports.Broker`."""
        await self._deliverer.tallied(tenant, subscription_id)

    async def close(self) -> None:
        """Stops delivering; what is not told stays in the outbox for others."""
        await self._deliverer.close()

    async def _take_up(self, tenant: str) -> None:
        """Takes up all entries of this process: what is in memory already stays as it is."""
        await self._reload(tenant)
        after: str | None = ""
        while after is not None:
            after = await self._survey(tenant, after, is_adopted=True)

    async def _survey(self, tenant: str, after: str, *, is_adopted: bool) -> str | None:
        """One page of the entities that this process has entries of; the last one, if there may be more."""
        page = await self._outbox.survey(tenant, after, _PAGE)
        if page:
            self._pending.add(tenant)
            await self._refresh(tenant)
        elif not after:
            self._pending.discard(tenant)
        for entity_id, subscriptions in page:
            self._deliverer.of(tenant).found(entity_id, subscriptions, is_adopted=is_adopted)
        return page[-1][0] if len(page) == _PAGE else None

    async def _reload(self, tenant: str) -> None:
        """Learns of every subscription that the dead may have known."""
        index = self._indexes.setdefault(tenant, Index())
        async with self._loading.setdefault(tenant, asyncio.Lock()):
            self._learn(tenant, await self._since(tenant, index))

    async def _since(self, tenant: str, index: Index) -> SubscriptionChanges:
        changes = await self._store.since(tenant, index.epoch, index.mark)
        await _prepare(changes)
        return changes

    async def _refresh(self, tenant: str) -> None:
        await self.at_epoch(tenant, *await self._store.current_epoch(tenant))

    def _learn(self, tenant: str, changes: SubscriptionChanges) -> None:
        for old in self._indexes[tenant].update(changes).values():
            self._deliverer.changed(tenant, old)


async def _prepare(changes: SubscriptionChanges) -> None:
    """Loads what a `geoQ` takes before the first write is compared with one: the write would wait 0.1 s."""
    if any(one.body.geo_q is not None for one in changes.changed):
        await asyncio.to_thread(load_geometries)
