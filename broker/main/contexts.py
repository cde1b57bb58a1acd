"""Builds the room of @contexts: loader, storage, hits, and eviction in all workers after a change."""

from collections.abc import Collection
from functools import partial

from broker.config import Settings
from broker.contexts.fetch import Fetcher, FetchLimits
from broker.contexts.hits import Hits
from broker.contexts.loader import Contexts
from broker.contexts.storage import Storage
from broker.main.base import Base
from broker.ports.contexts import ContextKey
from broker.store.registry.context_changes import ContextChanges
from broker.store.registry.contexts import MongoContexts

_FLUSH = 1.0  # seconds between writes of hits to the database
_RETRY = 0.2  # seconds until changes of @contexts are followed again after a failure


class ContextRoom:
    """The loader of @contexts and their storage."""

    def __init__(self, base: Base) -> None:
        self._base, settings = base, base.settings
        store = MongoContexts(base.client, settings.database, base.tenants)
        self._hits = Hits(store.add_hits)
        base.stack.push_async_callback(self._hits.flush)
        fetcher = Fetcher(_limits(settings))
        base.stack.push_async_callback(fetcher.close)
        now, lifetime = base.clock.seconds, settings.context_lifetime
        self.contexts = Contexts(fetcher, store, self._hits, now, lifetime=lifetime)
        base.stack.push_async_callback(self.contexts.close)
        self._changes = ContextChanges(
            base.client, settings.database, settings.process_id, settings.process_lease, base.clock
        )
        tell = partial(self._changes.tell, self._forget)
        self.storage = Storage(self.contexts, store, self._hits, tell, now)

    async def open(self) -> None:
        """Begins to follow changes of @contexts, and stores the core @context."""
        await self._changes.open()
        await self.storage.open()
        self._base.repeat("contexts", partial(self._changes.follow, self._forget), _RETRY)
        self._base.repeat("hits", self._hits.flush, _FLUSH)

    def _forget(self, keys: Collection[ContextKey] | None) -> None:
        self.contexts.forget(keys)
        self.storage.forget(keys)


def _limits(settings: Settings) -> FetchLimits:
    return FetchLimits(
        settings.context_timeout,
        settings.context_max_bytes,
        settings.context_max_redirects,
        settings.context_allowed_hosts,
    )
