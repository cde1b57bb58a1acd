"""Loads and caches compiled contexts, by the @context value of requests.

The documents of a context are read from the storage, or fetched, once; from then on a request costs one
dictionary lookup. When a stored @context changes, every worker evicts it (`forget`) before the client that
changed it gets its response (`store.registry.announcements`). So no request has to check whether anything
changed.
"""

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urljoin
from uuid import uuid4

import orjson

from broker.contexts.compiler import BASE, compile_context
from broker.contexts.fetch import Fetcher
from broker.contexts.hits import Hits
from broker.core import Json
from broker.core.errors import BadRequestData, LdContextNotAvailable, NgsiLdError
from broker.core.jsonld.context import Context, core
from broker.core.jsonld.core_context import is_core
from broker.ports.contexts import CACHED, ContextKey, StoredContext

log = logging.getLogger(__name__)
_COMPILED = 500  # compiled contexts in the LRU cache
_DOCUMENTS = 200  # documents in the LRU cache
_REMOTE = 50  # remote documents that one context may refer to
_SHORTEST = 60.0  # seconds; the minimum lifetime of a document, whatever its host says
_RETRY = 60.0  # seconds until a failed renewal of a document is retried
_LOCAL = re.compile(r"(?:https?://[^/?#]+)?/ngsi-ld/v1/jsonldContexts/([^/?#]+)/?")

# The cache key of a context: a URL, or inline JSON; with the tenant if it refers to hosted @contexts.
Name = str | bytes | tuple[str, str | bytes]


class ContextStore(Protocol):
    """The stored @contexts, which survive restarts of the process and outages of their hosts."""

    async def get(self, key: ContextKey) -> StoredContext | None:
        """The @context stored under this key; None if there is none."""

    async def put(self, context: StoredContext) -> StoredContext:
        """Stores the @context unless its key is taken.

        Returns the @context stored under the key afterwards.
        """

    async def replace(self, old: StoredContext, new: StoredContext) -> bool:
        """Replaces `old` by `new`; False, with no effect, if `old` is no longer stored."""


@dataclass(slots=True)
class _Compiled:
    """A compiled context. `made_of`: the stored @contexts it was compiled from. `until`: expiry (seconds)."""

    context: Context
    made_of: tuple[ContextKey, ...]
    until: float


class Contexts:
    """See `ports.ContextLoader`.

    `now()`: the time in seconds. `lifetime`: seconds, for fetched documents whose host specifies none.
    `hits`: counts the stored @contexts that are used.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        store: ContextStore,
        hits: Hits,
        now: Callable[[], float],
        *,
        lifetime: float = 86_400.0,
    ) -> None:
        self._fetcher = fetcher
        self._store = store
        self._hits = hits
        self._now = now
        self._lifetime = lifetime
        self._core = core()
        self._compiled: OrderedDict[Name, _Compiled] = OrderedDict()
        self._documents: OrderedDict[ContextKey, StoredContext] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[StoredContext]] = {}
        self._renewing: set[asyncio.Task[None]] = set()
        self._evictions = 0  # calls of `forget`

    @property
    def core(self) -> Context:
        """See `ports.ContextLoader.core`."""
        return self._core

    async def resolve(self, source: Json, tenant: str = "") -> Context:
        """See `ports.ContextLoader.resolve`. It compiles each distinct @context once."""
        if source is None or source == []:
            return self._core
        name = source if type(source) is str else orjson.dumps(source)
        compiled = self._find(name) or self._find((tenant, name))
        if compiled is None:
            if is_core(source):
                return self._core
            compiled = await self._compile(name, source, tenant)
        now = self._now()
        if compiled.until < now:
            self._renew(compiled, now)
        self._hits.note(compiled.made_of, now)
        return compiled.context

    def forget(self, keys: Collection[ContextKey] | None) -> None:
        """Evicts these @contexts and the contexts compiled from them; None: evicts all."""
        self._evictions += 1
        if keys is None:
            self._compiled.clear()
            self._documents.clear()
            return
        for key in keys:
            self._documents.pop(key, None)
        for name in [
            name for name, compiled in self._compiled.items() if not set(keys).isdisjoint(compiled.made_of)
        ]:
            del self._compiled[name]

    async def fetch(self, url: str) -> StoredContext:
        """The @context that is at a URL now; it is not stored. Raises as `Fetcher.fetch`."""
        fetched = await self._fetcher.fetch(url)
        now = self._now()
        lifetime = self._lifetime if fetched.lifetime is None else max(fetched.lifetime, _SHORTEST)
        return StoredContext(uuid4().hex, CACHED, fetched.document, now, url=url, expires=now + lifetime)

    async def check(self, context: StoredContext) -> None:
        """Returns if `resolve` could use this @context, were it stored under its key.

        LdContextNotAvailable or BadRequestData otherwise, as there.
        """
        documents = await self._gather(context.document["@context"], context.tenant, context.url or "")
        await asyncio.to_thread(compile_context, context.document["@context"], _contents(documents))

    async def close(self) -> None:
        """Cancels fetches and renewals."""
        tasks = [*self._renewing, *self._fetching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _find(self, name: Name) -> _Compiled | None:
        compiled = self._compiled.get(name)
        if compiled is not None:
            self._compiled.move_to_end(name)
        return compiled

    async def _compile(self, name: str | bytes, source: Json, tenant: str) -> _Compiled:
        evictions = self._evictions
        documents = await self._gather(source, tenant, "")
        context = await asyncio.to_thread(compile_context, source, _contents(documents))  # may take long
        made_of = tuple(dict.fromkeys(stored.key for stored in documents.values()))
        expiries = (stored.expires for stored in documents.values() if stored.expires is not None)
        compiled = _Compiled(context, made_of, min(expiries, default=float("inf")))
        if evictions == self._evictions:  # otherwise it may be compiled from evicted documents
            is_shared = not any(map(local_id, documents))
            self._compiled[name if is_shared else (tenant, name)] = compiled
            if len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        return compiled

    async def _gather(self, source: Json, tenant: str, base: str) -> dict[str, StoredContext]:
        """The documents that an @context refers to, directly or not, by URL. `base`: its own URL."""
        documents: dict[str, StoredContext] = {}
        missing = list(urls(source, base))
        while missing:
            url = missing.pop()
            name = absolute(url)
            if name not in documents:
                if len(documents) >= _REMOTE:
                    raise BadRequestData(f"@context: made of more than {_REMOTE} remote documents")
                documents[name] = await self._local(url, tenant) or await self._cached(url)
                missing += urls(documents[name].document["@context"], url)
        return documents

    async def _local(self, url: str, tenant: str) -> StoredContext | None:
        """The @context that this broker hosts under a URL: the tenant's, otherwise the default tenant's.

        None if there is none; LdContextNotAvailable if the URL is relative, so that no other host can have
        it.
        """
        if (name := local_id(url)) is None:
            return None
        for owner in dict.fromkeys((tenant, "")):
            stored = await self._store.get((owner, name))
            if stored is not None and stored.kind != CACHED:
                return stored
        if url.startswith("/"):
            raise LdContextNotAvailable(f"{url}: this broker stores no such @context")
        return None

    async def _cached(self, url: str) -> StoredContext:
        if (known := self._documents.get(("", url))) is not None:
            self._documents.move_to_end(known.key)
            return known
        task = self._fetching.get(url)
        if task is None:  # concurrent requests for a URL share one fetch
            task = self._fetching[url] = asyncio.create_task(self._get(url))
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(task)

    async def _get(self, url: str) -> StoredContext:
        evictions = self._evictions
        stored = await self._store.get(("", url)) or await self._store.put(await self.fetch(url))
        if evictions == self._evictions:
            self._documents[stored.key] = stored
            if len(self._documents) > _DOCUMENTS:
                self._documents.popitem(last=False)
        return stored

    def _renew(self, compiled: _Compiled, now: float) -> None:
        """Renews the documents of a context in the background; no request waits for it (5.13.1)."""
        compiled.until = now + _RETRY
        for key in compiled.made_of:
            task = asyncio.create_task(self._renew_one(key, now))
            self._renewing.add(task)
            task.add_done_callback(self._renewing.discard)

    async def _renew_one(self, key: ContextKey, now: float) -> None:
        try:
            old = await self._store.get(key)
            if old is not None and old.url is not None and (old.expires or 0.0) < now:
                await self._store.replace(old, renewed(old, await self.fetch(old.url)))
            self.forget([key])
        except NgsiLdError as error:
            log.warning("an @context cannot be renewed; the old one is used", extra={"reason": error.detail})


def renewed(old: StoredContext, new: StoredContext) -> StoredContext:
    """The old @context with the document, `created` and `expires` of the new one."""
    return StoredContext(
        old.id, old.kind, new.document, new.created, old.tenant, old.url, new.expires, old.hits, old.used
    )


def local_id(url: str) -> str | None:
    """The local identifier in a URL of /ngsi-ld/v1/jsonldContexts/ on any host; None for other URLs."""
    match = _LOCAL.fullmatch(url)
    return match[1] if match else None


def absolute(url: str) -> str:
    """The absolute URL by which PyLD asks for a document. LdContextNotAvailable if it is no URL."""
    try:
        return urljoin(BASE, url)
    except ValueError as error:
        raise LdContextNotAvailable(f"{url}: not a URL") from error


def urls(source: Json, base: str) -> Iterator[str]:
    """Yields the URLs of the documents that an @context refers to directly, resolved against `base`.

    BadRequestData if a part is neither a URL nor an object.
    """
    for part in source if isinstance(source, list) else [source]:
        url = part.get("@import") if isinstance(part, dict) else part
        if isinstance(url, str):
            if not is_core(url):
                yield urljoin(base, url) if base else url
        elif isinstance(part, dict):
            continue
        elif part is not None:
            raise BadRequestData("@context: expected URLs and objects")


def _contents(documents: dict[str, StoredContext]) -> dict[str, Json]:
    return {url: stored.document for url, stored in documents.items()}
