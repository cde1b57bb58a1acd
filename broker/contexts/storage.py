"""The storage of @contexts, for the operations of clause 5.13."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from hashlib import sha256
from typing import Protocol
from uuid import uuid4

import orjson

from broker.contexts.compiler import compile_context
from broker.contexts.hits import Hits
from broker.contexts.loader import Contexts, ContextStore, absolute, renewed, urls
from broker.core import Json
from broker.core.errors import LdContextNotAvailable, NgsiLdError
from broker.core.jsonld.core_context import CORE_CONTEXT_URL, core_context, is_core
from broker.ports.contexts import CACHED, HOSTED, IMPLICIT, ContextKey, StoredContext

PATH = "/ngsi-ld/v1/jsonldContexts/"
_LINKABLE = re.compile(r"[^\s<>\"\x00-\x20\x7f]{1,2000}")  # a URL that clients accept in a Link header
_NAMED = 1000  # ImplicitlyCreated @contexts that are known to be stored

Tell = Callable[[ContextKey], Awaitable[None]]


class Shelves(ContextStore, Protocol):
    """The store of @contexts, with the methods that only the storage needs."""

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """See `ports.ContextStorage.find`."""

    async def list(self, tenant: str, kind: str | None) -> list[StoredContext]:
        """See `ports.ContextStorage.list`."""

    async def remove(self, context: StoredContext) -> bool:
        """See `ports.ContextStorage.remove`."""


class Storage:
    """See `ports.ContextStorage`.

    `tell(key)` returns once every worker has evicted the @context of the key.
    """

    def __init__(
        self, loader: Contexts, store: Shelves, hits: Hits, tell: Tell, now: Callable[[], float]
    ) -> None:
        self._loader = loader
        self._store = store
        self._hits = hits
        self._tell = tell
        self._now = now
        self._named: dict[ContextKey, None] = {}  # ImplicitlyCreated @contexts known to be stored
        self._evictions = 0  # calls of `forget`

    async def open(self) -> None:
        """Stores the core @context, so that clients can list it like any other."""
        document = {"@context": core_context()}
        await self._store.put(StoredContext(uuid4().hex, CACHED, document, self._now(), url=CORE_CONTEXT_URL))

    async def add(self, tenant: str, source: Json) -> str:
        """See `ports.ContextStorage.add`. Documents that it refers to are fetched at its first use."""
        empty: dict[str, Json] = {absolute(url): {"@context": {}} for url in urls(source, "")}
        await asyncio.to_thread(compile_context, source, empty)
        context = StoredContext(uuid4().hex, HOSTED, {"@context": source}, self._now(), tenant)
        return (await self._store.put(context)).id

    async def url(self, tenant: str, source: Json, root: str) -> str:
        """See `ports.ContextStorage.url`. The core context is omitted, since every context contains it."""
        values = source if isinstance(source, list) else [source]
        parts = [value for value in values if value and not is_core(value)]
        if not parts:
            return CORE_CONTEXT_URL
        if len(parts) == 1 and isinstance(parts[0], str) and _LINKABLE.fullmatch(parts[0]):
            return root + parts[0] if parts[0].startswith("/") else parts[0]
        name = sha256(orjson.dumps(source, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        if (tenant, name) not in self._named:
            await self._name(StoredContext(name, IMPLICIT, {"@context": source}, self._now(), tenant))
        return root + PATH + name

    async def _name(self, context: StoredContext) -> None:
        evictions = self._evictions
        await self._store.put(context)
        if evictions == self._evictions:  # otherwise it may have been deleted meanwhile
            self._named[context.key] = None
            if len(self._named) > _NAMED:
                del self._named[next(iter(self._named))]

    def forget(self, keys: Collection[ContextKey] | None) -> None:
        """Evicts the knowledge that these @contexts are stored; None: that any is."""
        self._evictions += 1
        for key in [*self._named] if keys is None else keys:
            self._named.pop(key, None)

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """See `ports.ContextStorage.find`. The core context of any version is found as ours."""
        await self._hits.flush()
        return await self._store.find(tenant, CORE_CONTEXT_URL if is_core(name) else name)

    async def list(self, tenant: str, kind: str | None) -> Sequence[StoredContext]:
        """See `ports.ContextStorage.list`."""
        await self._hits.flush()
        return await self._store.list(tenant, kind)

    def note(self, context: StoredContext) -> None:
        """See `ports.ContextStorage.note`."""
        self._hits.note([context.key], self._now())

    async def remove(self, context: StoredContext) -> bool:
        """See `ports.ContextStorage.remove`."""
        is_done = await self._store.remove(context)
        await self._tell(context.key)
        return is_done

    async def reload(self, context: StoredContext) -> None:
        """See `ports.ContextStorage.reload`. The core context is built in, so it is not fetched."""
        assert context.url is not None, "only a Cached @context can be fetched again"
        if is_core(context.url):
            return
        try:
            new = renewed(context, await self._loader.fetch(context.url))
            await self._loader.check(new)
        except LdContextNotAvailable:
            raise
        except NgsiLdError as error:
            raise LdContextNotAvailable(error.detail) from error
        await self._store.replace(context, new)
        await self._tell(context.key)
