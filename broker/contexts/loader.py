"""Compiled contexts by the @context value that requests name."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import urljoin

import orjson

from broker.contexts.compiler import compile_context
from broker.contexts.fetch import Fetcher
from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import is_core

_COMPILED = 500  # contexts kept compiled, and documents kept in memory; the least used are dropped
_DOCUMENTS = 200
_REMOTE = 50  # remote documents that one context may be made of


class DocumentStore(Protocol):
    """Where fetched documents outlive the process, and the host that they came from."""

    async def load(self, url: str) -> Json | None: ...

    async def save(self, url: str, document: Json) -> None: ...


class Contexts:
    """See `ports.ContextLoader`."""

    def __init__(self, fetcher: Fetcher, store: DocumentStore) -> None:
        self._fetcher = fetcher
        self._store = store
        self._core = compile_context(None, {})
        self._compiled: OrderedDict[bytes, Context] = OrderedDict()
        self._documents: OrderedDict[str, Json] = OrderedDict()
        self._fetching: dict[str, asyncio.Task[Json]] = {}

    @property
    def core(self) -> Context:
        """See `ports.ContextLoader.core`."""
        return self._core

    async def resolve(self, source: Json) -> Context:
        """See `ports.ContextLoader.resolve`. Compiled once for each distinct @context."""
        if source is None or is_core(source) or source == []:
            return self._core
        key = orjson.dumps(source)
        if (known := self._compiled.get(key)) is not None:
            self._compiled.move_to_end(key)
            return known
        documents = await self._gather(source)
        compiled = await asyncio.to_thread(compile_context, source, documents)  # a large one takes a while
        self._compiled[key] = compiled
        if len(self._compiled) > _COMPILED:
            self._compiled.popitem(last=False)
        return compiled

    async def _gather(self, source: Json) -> dict[str, Json]:
        """Every remote document that the context is made of, by URL."""
        found: dict[str, Json] = {}
        missing = list(_urls(source, ""))
        while missing:
            url = missing.pop()
            if url not in found:
                if len(found) >= _REMOTE:
                    raise BadRequestData(f"@context: made of more than {_REMOTE} remote documents")
                found[url] = await self._document(url)
                missing += _urls(found[url]["@context"], url)
        return found

    async def _document(self, url: str) -> Json:
        if (known := self._documents.get(url)) is not None:
            self._documents.move_to_end(url)
            return known
        task = self._fetching.get(url)
        if task is None:  # one fetch at a time for each URL, whoever asks
            task = self._fetching[url] = asyncio.create_task(self._get(url))
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return await asyncio.shield(task)

    async def _get(self, url: str) -> Json:
        document = await self._store.load(url)
        if document is None:
            document = await self._fetcher.fetch(url)
            await self._store.save(url, document)
        self._documents[url] = document
        if len(self._documents) > _DOCUMENTS:
            self._documents.popitem(last=False)
        return document


def _urls(source: Json, base: str) -> Iterator[str]:
    """The remote documents that an @context names at this level, by URLs relative to its own."""
    for part in source if isinstance(source, list) else [source]:
        url = part.get("@import") if isinstance(part, dict) else part
        if isinstance(url, str):
            if not is_core(url):
                yield urljoin(base, url)
        elif isinstance(part, dict):
            continue
        elif part is not None:
            raise BadRequestData("@context: expected URLs and objects")
