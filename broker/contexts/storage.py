"""The @contexts that the broker stores, for the operations of clause 5.13."""

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
_LINKABLE = re.compile(r"[^\s<>\"\x00-\x20\x7f]{1,2000}")  # what a client takes in a Link header
_NAMED = 1000

Tell = Callable[[ContextKey], Awaitable[None]]


class Shelves(ContextStore, Protocol):
    """The store, with what the storage needs beyond the loader."""

    async def find(self, tenant: str, name: str) -> StoredContext | None: ...

    async def list(self, tenant: str, kind: str | None) -> list[StoredContext]: ...

    async def remove(self, one: StoredContext) -> bool: ...


class Storage:
    """See `ports.ContextStorage`. `tell` returns when every worker has forgotten what was under a key."""

    def __init__(
        self, loader: Contexts, store: Shelves, hits: Hits, tell: Tell, now: Callable[[], float]
    ) -> None:
        self._loader = loader
        self._store = store
        self._hits = hits
        self._tell = tell
        self._now = now
        self._named: dict[ContextKey, None] = {}  # ImplicitlyCreated ones that are stored
        self._forgotten = 0  # how often something was

    async def open(self) -> None:
        """Stores the core @context, so that clients find it like any other."""
        document = {"@context": core_context()}
        await self._store.put(StoredContext(uuid4().hex, CACHED, document, self._now(), url=CORE_CONTEXT_URL))

    async def add(self, tenant: str, source: Json) -> str:
        """See `ports.ContextStorage.add`. What it refers to is not fetched before it is used."""
        empty: dict[str, Json] = {absolute(url): {"@context": {}} for url in urls(source, "")}
        await asyncio.to_thread(compile_context, source, empty)
        one = StoredContext(uuid4().hex, HOSTED, {"@context": source}, self._now(), tenant)
        return (await self._store.put(one)).id

    async def url(self, tenant: str, source: Json, root: str) -> str:
        """See `ports.ContextStorage.url`. The core, which is part of every context, needs no mention."""
        parts = [
            one for one in (source if isinstance(source, list) else [source]) if one and not is_core(one)
        ]
        if not parts:
            return CORE_CONTEXT_URL
        if len(parts) == 1 and isinstance(parts[0], str) and _LINKABLE.fullmatch(parts[0]):
            return root + parts[0] if parts[0].startswith("/") else parts[0]
        name = sha256(orjson.dumps(source, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
        if (tenant, name) not in self._named:
            await self._name(StoredContext(name, IMPLICIT, {"@context": source}, self._now(), tenant))
        return root + PATH + name

    async def _name(self, one: StoredContext) -> None:
        forgotten = self._forgotten
        await self._store.put(one)
        if forgotten == self._forgotten:  # else it may have been deleted meanwhile
            self._named[one.key] = None
            if len(self._named) > _NAMED:
                del self._named[next(iter(self._named))]

    def forget(self, keys: Collection[ContextKey] | None) -> None:
        """Forgets that these @contexts are stored; None: all of them."""
        self._forgotten += 1
        for key in [*self._named] if keys is None else keys:
            self._named.pop(key, None)

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """See `ports.ContextStorage.find`. The core is one, of whatever version."""
        await self._hits.flush()
        return await self._store.find(tenant, CORE_CONTEXT_URL if is_core(name) else name)

    async def list(self, tenant: str, kind: str | None) -> Sequence[StoredContext]:
        """See `ports.ContextStorage.list`."""
        await self._hits.flush()
        return await self._store.list(tenant, kind)

    def note(self, one: StoredContext) -> None:
        """See `ports.ContextStorage.note`."""
        self._hits.note([one.key], self._now())

    async def remove(self, one: StoredContext) -> bool:
        """See `ports.ContextStorage.remove`."""
        is_done = await self._store.remove(one)
        await self._tell(one.key)
        return is_done

    async def reload(self, one: StoredContext) -> None:
        """See `ports.ContextStorage.reload`. The core is built in: there is nothing to fetch."""
        assert one.url is not None, "only a Cached one can be fetched again"
        if is_core(one.url):
            return
        try:
            new = renewed(one, await self._loader.fetch(one.url))
            await self._loader.check(new)
        except LdContextNotAvailable:
            raise
        except NgsiLdError as error:
            raise LdContextNotAvailable(error.detail) from error
        await self._store.replace(one, new)
        await self._tell(one.key)
