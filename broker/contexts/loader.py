"""Compiled contexts by the @context value that requests name.

What a context is made of is looked up in the storage, or fetched, once; from then on a request costs a look
into a table. Whatever changes in the storage is told by `forget` to every worker before the one who changed
it is answered (`store.context_changes`), so no request has to ask whether anything changed.
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
_COMPILED = 500  # contexts kept compiled, and documents kept in memory; the least used are dropped
_DOCUMENTS = 200
_REMOTE = 50  # remote documents that one context may be made of
_SHORTEST = 60.0  # seconds for which a document is used, however short-lived its host says it is
_RETRY = 60.0  # seconds before a document is fetched again that could not be
_LOCAL = re.compile(r"(?:https?://[^/?#]+)?/ngsi-ld/v1/jsonldContexts/([^/?#]+)/?")

Name = str | bytes | tuple[str, str | bytes]


class ContextStore(Protocol):
    """Where @contexts outlive the process, and the host that they came from."""

    async def get(self, key: ContextKey) -> StoredContext | None:
        """The one under this key."""

    async def put(self, one: StoredContext) -> StoredContext:
        """Stores one, unless there is one under its key; the one that is there now."""

    async def replace(self, old: StoredContext, new: StoredContext) -> bool:
        """Puts one in place of another; False if that is there no more, and then nothing is done."""


@dataclass(slots=True)
class _Compiled:
    """A context, the stored ones that it is made of, and until when (seconds) these are good."""

    context: Context
    made_of: tuple[ContextKey, ...]
    until: float


class Contexts:
    """See `ports.ContextLoader`. `now` gives the time in seconds, `lifetime` how long what is fetched is
    good if its host doesn't say; `hits` counts what is used."""

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
        self._forgotten = 0  # how often something was

    @property
    def core(self) -> Context:
        """See `ports.ContextLoader.core`."""
        return self._core

    async def resolve(self, source: Json, tenant: str = "") -> Context:
        """See `ports.ContextLoader.resolve`. Compiled once for each distinct @context."""
        if source is None or source == []:
            return self._core
        name = source if type(source) is str else orjson.dumps(source)
        found = self._find(name) or self._find((tenant, name))
        if found is None:
            if is_core(source):
                return self._core
            found = await self._compile(name, source, tenant)
        now = self._now()
        if found.until < now:
            self._renew(found, now)
        self._hits.note(found.made_of, now)
        return found.context

    def forget(self, keys: Collection[ContextKey] | None) -> None:
        """Forgets stored @contexts, and what was made of them; None: all of them."""
        self._forgotten += 1
        if keys is None:
            self._compiled.clear()
            self._documents.clear()
            return
        for key in keys:
            self._documents.pop(key, None)
        for name in [name for name, one in self._compiled.items() if not set(keys).isdisjoint(one.made_of)]:
            del self._compiled[name]

    async def fetch(self, url: str) -> StoredContext:
        """What is at a URL now, not stored yet."""
        fetched = await self._fetcher.fetch(url)
        now = self._now()
        lifetime = self._lifetime if fetched.lifetime is None else max(fetched.lifetime, _SHORTEST)
        return StoredContext(uuid4().hex, CACHED, fetched.document, now, url=url, expires=now + lifetime)

    async def check(self, one: StoredContext) -> None:
        """Raises what `resolve` would, if this were what is stored under its key."""
        found = await self._gather(one.document["@context"], one.tenant, one.url or "")
        await asyncio.to_thread(compile_context, one.document["@context"], _contents(found))

    async def close(self) -> None:
        """Stops what goes on in the background."""
        tasks = [*self._renewing, *self._fetching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _find(self, name: Name) -> _Compiled | None:
        found = self._compiled.get(name)
        if found is not None:
            self._compiled.move_to_end(name)
        return found

    async def _compile(self, name: str | bytes, source: Json, tenant: str) -> _Compiled:
        forgotten = self._forgotten
        found = await self._gather(source, tenant, "")
        context = await asyncio.to_thread(compile_context, source, _contents(found))  # takes a while if large
        made_of = tuple(dict.fromkeys(one.key for one in found.values()))
        until = min((one.expires for one in found.values() if one.expires is not None), default=float("inf"))
        compiled = _Compiled(context, made_of, until)
        if forgotten == self._forgotten:  # else it may be made of what is there no more
            is_everyones = not any(map(local_id, found))
            self._compiled[name if is_everyones else (tenant, name)] = compiled
            if len(self._compiled) > _COMPILED:
                self._compiled.popitem(last=False)
        return compiled

    async def _gather(self, source: Json, tenant: str, base: str) -> dict[str, StoredContext]:
        """Every document that the context refers to, by URL."""
        found: dict[str, StoredContext] = {}
        missing = list(urls(source, base))
        while missing:
            url = missing.pop()
            name = absolute(url)
            if name not in found:
                if len(found) >= _REMOTE:
                    raise BadRequestData(f"@context: made of more than {_REMOTE} remote documents")
                found[name] = await self._local(url, tenant) or await self._cached(url)
                missing += urls(found[name].document["@context"], url)
        return found

    async def _local(self, url: str, tenant: str) -> StoredContext | None:
        """The @context that this broker hosts under a URL: the tenant's, or else the default tenant's."""
        if (name := local_id(url)) is None:
            return None
        for owner in dict.fromkeys((tenant, "")):
            one = await self._store.get((owner, name))
            if one is not None and one.kind != CACHED:
                return one
        if url.startswith("/"):
            raise LdContextNotAvailable(f"{url}: this broker stores no such @context")
        return None

    async def _cached(self, url: str) -> StoredContext:
        if (known := self._documents.get(("", url))) is not None:
            self._documents.move_to_end(known.key)
            return known
        task = self._fetching.get(url)
        if task is None:  # one fetch at a time for each URL, whoever asks
            task = self._fetching[url] = asyncio.create_task(self._get(url))
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(task)

    async def _get(self, url: str) -> StoredContext:
        forgotten = self._forgotten
        one = await self._store.get(("", url)) or await self._store.put(await self.fetch(url))
        if forgotten == self._forgotten:
            self._documents[one.key] = one
            if len(self._documents) > _DOCUMENTS:
                self._documents.popitem(last=False)
        return one

    def _renew(self, compiled: _Compiled, now: float) -> None:
        """Brings up to date in the background what a context is made of; nobody waits for that (5.13.1)."""
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
    """What was fetched again, in place of what it was."""
    return StoredContext(
        old.id, old.kind, new.document, new.created, old.tenant, old.url, new.expires, old.hits, old.used
    )


def local_id(url: str) -> str | None:
    """The local identifier in a URL as this broker's, on whatever host."""
    found = _LOCAL.fullmatch(url)
    return found[1] if found else None


def absolute(url: str) -> str:
    """The URL by which the compiler asks for a document; LdContextNotAvailable if it is none."""
    try:
        return urljoin(BASE, url)
    except ValueError as error:
        raise LdContextNotAvailable(f"{url}: not a URL") from error


def urls(source: Json, base: str) -> Iterator[str]:
    """The remote documents that an @context names at this level, by URLs relative to its own."""
    for part in source if isinstance(source, list) else [source]:
        url = part.get("@import") if isinstance(part, dict) else part
        if isinstance(url, str):
            if not is_core(url):
                yield urljoin(base, url) if base else url
        elif isinstance(part, dict):
            continue
        elif part is not None:
            raise BadRequestData("@context: expected URLs and objects")


def _contents(found: dict[str, StoredContext]) -> dict[str, Json]:
    return {url: one.document for url, one in found.items()}
