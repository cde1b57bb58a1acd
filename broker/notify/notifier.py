"""The notifier: finds the subscriptions that a change triggers, and hands committed entries to delivery."""

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
    """See `ports.ChangeSink`. Each process has one. `indexes` are by tenant, shared with the deliverer."""

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
        self._turns: list[str] = []  # the tenants left in this round of the reconciliation
        self._surveyed: dict[str, str] = {}  # by tenant, the last entity that it has read
        self._pending: set[str] = set()  # tenants where it has found entries of this process
        deliverer.refresh = self._refresh

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """See `ports.ChangeSink.at_epoch`. An older epoch comes from an older read, or from a backup."""
        index = self._indexes.setdefault(tenant, Index())
        if (index.epoch, index.mark) == (epoch, mark):
            return
        async with self._loading.setdefault(tenant, asyncio.Lock()):
            if (index.epoch, index.mark) != (epoch, mark):
                self._learn(tenant, await self._since(tenant, index))

    async def changed(self, tenant: str, changes: SubscriptionChanges) -> None:
        """Applies a change of subscriptions that this process has made itself."""
        await _prepare(changes)
        index = self._indexes.setdefault(tenant, Index())
        if (index.epoch + 1, index.mark) == (changes.epoch, changes.before):
            self._learn(tenant, changes)
        elif index.epoch >= 0:
            await self.at_epoch(tenant, changes.epoch, changes.mark)

    async def refresh(self) -> None:
        """Reads the changes of subscriptions by other processes, for tenants with deliveries under way.

        Their subscriptions may be deleted or paused by now.
        """
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
        """Takes up the entries of dead processes.

        `inherit` hands their entries to this process in the store, and returns whether there are any;
        `tenants` returns all tenants. If a call fails halfway, the next one takes up everything again.
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
            except Exception as error:  # perhaps only this tenant is damaged: the others must not wait for it
                self._may_have_inherited = True
                if isinstance(error, Unavailable):
                    raise
                log.exception("entries cannot be taken up", extra={"tenant": tenant})

    def lapsed(self) -> None:
        """The lease of this process ran out: other processes may have adopted its entries."""
        self._may_have_inherited = True
        self._deliverer.lapsed()

    async def reconcile(self) -> None:
        """Searches the store for entries of this process that memory lacks: a page each of a few tenants."""
        for _ in range(min(_TENANTS, len(self._indexes))):
            self._turns = self._turns or list(self._indexes)
            tenant = self._turns.pop()
            after = self._surveyed.pop(tenant, "")
            if rest := await self._survey(tenant, after, is_adopted=False):
                self._surveyed[tenant] = rest

    async def tallied(self, tenant: str, subscription_id: str) -> None:
        """See `Deliverer.tallied`."""
        await self._deliverer.tallied(tenant, subscription_id)

    async def close(self) -> None:
        """Stops delivery; what is not delivered stays in the store for other processes."""
        await self._deliverer.close()

    async def _take_up(self, tenant: str) -> None:
        """Loads all entries of this process; what is in memory already stays as it is."""
        await self._reload(tenant)
        after: str | None = ""
        while after is not None:
            after = await self._survey(tenant, after, is_adopted=True)

    async def _survey(self, tenant: str, after: str, *, is_adopted: bool) -> str | None:
        """Hands a page of entities with entries of this process to delivery.

        Returns the last entity if more may follow, else None.
        """
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
        """Reads all changes of subscriptions: a dead process may have known more of them."""
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
    """Loads the library of geometries if a `geoQ` needs it: otherwise the next write would wait 0.1 s."""
    if any(subscription.body.geo_q is not None for subscription in changes.changed):
        await asyncio.to_thread(load_geometries)
