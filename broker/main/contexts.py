"""Builds the room of @contexts: loader, storage, hits, and eviction in all workers after a change."""

from collections.abc import Collection
from functools import partial

from broker.config import Settings
from broker.contexts.fetch import Fetcher, FetchLimits
from broker.contexts.hits import Hits
from broker.contexts.loader import Contexts
from broker.contexts.storage import Storage
from broker.main.base import Base
from broker.store.registry.announcements import Key
from broker.store.registry.contexts import MongoContexts

_FLUSH = 1.0  # seconds between writes of hits to the database
_KIND = "context"  # of announcements


class ContextRoom:
    """The loader of @contexts and their storage."""

    def __init__(self, base: Base) -> None:
        self._base, settings = base, base.settings
        store = MongoContexts(base.client, settings.database, base.tenants)
        self._hits = Hits(store.add_hits)
        base.stack.push_async_callback(self._hits.flush)
        fetcher = Fetcher(base.egress, _limits(settings))
        base.stack.push_async_callback(fetcher.close)
        now, lifetime = base.clock.seconds, settings.context_lifetime
        self.contexts = Contexts(fetcher, store, self._hits, now, lifetime=lifetime)
        base.stack.push_async_callback(self.contexts.close)
        base.announcements.on(_KIND, self._forget)
        tell = partial(base.announcements.announce, _KIND)
        self.storage = Storage(self.contexts, store, self._hits, tell, now)

    async def open(self) -> None:
        """Stores the core @context."""
        await self.storage.open()
        self._base.repeat("hits", self._hits.flush, _FLUSH)

    async def _forget(self, keys: Collection[Key] | None) -> None:
        names = None if keys is None else [(tenant, name) for tenant, name in keys]
        self.contexts.forget(names)
        self.storage.forget(names)


def _limits(settings: Settings) -> FetchLimits:
    return FetchLimits(
        settings.context_timeout,
        settings.context_max_bytes,
        settings.context_max_redirects,
        settings.context_allowed_hosts,
    )
