"""The store of entities: reads by id (coalesced) and by query, renderings, and writes (in groups)."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from broker.core import Entity
from broker.core.entity.update import Rule
from broker.core.lang.terms import has_absence
from broker.core.query import Query
from broker.core.temporal.revision import Revision
from broker.ports.entities import Page, Renderer, Undecodable
from broker.store.entities.lookups import Lookups
from broker.store.entities.renderings import Renderings
from broker.store.entities.sweeper import Sweeper
from broker.store.query.advice import Advice
from broker.store.query.collations import mongo_collation
from broker.store.query.conditions import all_of
from broker.store.query.distances import distances
from broker.store.query.ordering import page_key, plain_key, stages
from broker.store.query.selection import Selections
from broker.store.wire import commands
from broker.store.wire.codec import UNREAD, decode_alive, decode_entity
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Tenant, Tenants
from broker.store.writes.writer import Writer

log = logging.getLogger(__name__)
Document = dict[str, Any]
_REV = {"rev": 1, "due": 1}


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """The limits of reads.

    `batch`: entities in one coalesced read; `timeout`: seconds for a query; `candidates`: entities at most
    that a geoquery may have to check one by one; `cache`: bytes of the cache of renderings.
    """

    batch: int
    timeout: float
    candidates: int
    cache: int


class MongoEntities:
    """See `ports.EntityStore`. `now` returns the present instant."""

    def __init__(
        self,
        tenants: Tenants,
        writer: Writer,
        sweeper: Sweeper,
        limits: ReadLimits,
        advice: Advice,
        now: Callable[[], str],
    ) -> None:
        self._tenants = tenants
        self._writer = writer
        self._sweeper = sweeper
        self._batch = limits.batch
        self._timeout_ms = round(limits.timeout * 1000)
        self._selections = Selections(candidates=limits.candidates, timeout=limits.timeout)
        self._now = now
        self._advice = advice
        self._renderings = Renderings(limits.cache)
        self._lookups: dict[str, Lookups] = {}

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """See `ports.EntityStore.get`."""
        lookups = self._lookups.get(tenant) or await self._open(tenant)
        with reported():
            return await lookups.entity(entity_id)

    async def show(self, tenant: str, entity_id: str, renderer: Renderer) -> bytes | None:
        """See `ports.EntityStore.show`."""
        lookups = self._lookups.get(tenant) or await self._open(tenant)
        with reported():
            return await lookups.shown(entity_id, renderer)

    async def known(self, tenant: str) -> None:
        """See `ports.EntityStore.known`."""
        await self._tenants.get(tenant)

    async def find(self, tenant: str, query: Query) -> Page[Entity]:
        """See `ports.EntityStore.find`."""
        page = await self._page(tenant, query)
        documents = page.items
        if query.order is not None:
            ids = [document["_id"] for document in documents]
            whole = await self._again(tenant, query, ids)
            documents = [whole[entity_id] for entity_id in ids if entity_id in whole]
        return Page([*_decoded(documents)], page.more, page.after)

    async def show_page(self, tenant: str, query: Query, renderer: Renderer) -> Page[bytes]:
        """See `ports.EntityStore.show_page`.

        Reads only revisions at first if most renderings are likely in the cache, and then what is missing.
        """
        revs_first = query.order is not None or self._renderings.is_promising
        page = await self._page(tenant, query, _REV if revs_first else None)
        texts = {
            document["_id"]: self._renderings.get((tenant, document["_id"], renderer), document.get("rev", 0))
            for document in page.items
        }
        missing = [entity_id for entity_id, text in texts.items() if text is None]
        self._renderings.note(len(texts) - len(missing), len(texts))
        documents = page.items
        if revs_first and missing:
            documents = [*(await self._again(tenant, query, missing)).values()]
        for document in documents:
            entity_id = document["_id"]
            if texts[entity_id] is None:
                texts[entity_id] = self._render(tenant, document, renderer)
        return Page([text for text in texts.values() if text], page.more, page.after)

    async def count(self, tenant: str, query: Query) -> int:
        """See `ports.EntityStore.count`."""
        handle = await self._tenants.get(tenant)
        await self._sweeper.sweep_if_due(handle)
        with self._timed(query), reported():
            wanted = await self._selections.filter(handle, query)
            return await handle.entities.count_documents(wanted, maxTimeMS=self._timeout_ms)

    async def change(self, tenant: str, entity_id: str, rule: Rule | Revision) -> Any:
        """See `ports.EntityStore.change`."""
        return await self._writer.change(tenant, entity_id, rule)

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> list[Any]:
        """See `ports.EntityStore.change_many`."""
        return await self._writer.change_many(tenant, changes)

    async def _open(self, tenant: str) -> Lookups:
        handle = await self._tenants.get(tenant)
        self._lookups[tenant] = Lookups(handle, self._renderings, batch=self._batch, now=self._now)
        return self._lookups[tenant]

    def _render(self, tenant: str, document: Document, renderer: Renderer) -> bytes | None:
        """The rendering of a stored entity; None if it has expired or cannot be decoded.

        A transient entity is not cached: it may expire without a change of its revision.
        """
        key, rev = (tenant, document["_id"], renderer), document.get("rev", 0)
        is_lasting = "due" not in document
        try:
            entity = decode_alive(document, self._now())
        except Undecodable as fault:
            _left_out(fault)
            return None
        if entity is None:
            return None
        text = renderer.render(entity)
        if is_lasting:
            self._renderings.put(key, rev, text)
        return text

    async def _page(self, tenant: str, query: Query, shown: Document | None = None) -> Page[Document]:
        """The page of documents that match a query. `shown` is the projection; None for whole documents.

        Sweeps and reads again while a document has parts that have expired. If the query has an order,
        documents hold their revision, `due` and sort keys only.
        """
        handle = await self._tenants.get(tenant)
        if query.offset or (query.q is not None and has_absence(query.q)):
            await self._sweeper.sweep_if_due(handle)
        swept = set[str]()  # ids; what is still there after a sweep cannot be decoded, so stays
        while True:
            with self._timed(query):
                documents = await self._read(handle, query, shown)
            transient = [document for document in documents if "due" in document]
            now = self._now() if transient else ""
            expired = {document["_id"] for document in transient if document["due"] <= now}
            if expired <= swept:
                break
            swept |= expired
            await self._sweeper.sweep(tenant)
        page, more = documents[: query.limit], len(documents) > query.limit
        return Page(page, more, page_key(query.order, page[-1]) if more else None)

    async def _read(self, tenant: Tenant, query: Query, shown: Document | None) -> list[Document]:
        """The documents of a page, and one more, which tells that there is a next page."""
        with reported():
            wanted = await self._selections.filter(tenant, query)
        order = query.order
        skip, limit = 0 if query.after else query.offset, query.limit + 1
        if order is not None:
            measured = await distances(tenant.entities, order, wanted, self._timeout_ms / 1000)
            pipeline = stages(order, wanted, (query.after, skip, limit), _REV, measured)
            options: Document = {"allowDiskUse": True, "maxTimeMS": self._timeout_ms}
            if order.collation is not None:
                options["collation"] = mongo_collation(order.collation)
            with reported():
                return await commands.aggregate(tenant.entities, pipeline, **options)
        if query.after is not None:
            wanted = all_of([wanted, {"_id": {"$gt": plain_key(query.after)}}])
        options = {"sort": {"_id": 1}, "skip": skip, "limit": limit}
        return await self._find(tenant, wanted, options | {"projection": shown or UNREAD})

    async def _again(self, tenant: str, query: Query, ids: list[str]) -> dict[str, Document]:
        """Whole documents by id, of those that still match the query."""
        handle = await self._tenants.get(tenant)
        with reported():
            wanted = await self._selections.filter(handle, query)
        by_id = {"$and": [wanted, {"_id": {"$in": ids}}]}
        documents = await self._find(handle, by_id, {"projection": UNREAD})
        return {document["_id"]: document for document in documents}

    @contextmanager
    def _timed(self, query: Query) -> Iterator[None]:
        """Reports the duration of a query to `Advice`, whether the query succeeds or fails."""
        began = perf_counter()
        try:
            yield
        finally:
            self._advice.note(query, perf_counter() - began)

    async def _find(self, tenant: Tenant, wanted: Document, options: Document) -> list[Document]:
        with reported():
            return await commands.find(tenant.entities, wanted, maxTimeMS=self._timeout_ms, **options)


def _decoded(documents: Iterable[Document]) -> Iterator[Entity]:
    """The entities of documents. Omits and logs those that cannot be decoded, so that the others are read."""
    for document in documents:
        try:
            yield decode_entity(document)
        except Undecodable as fault:
            _left_out(fault)


def _left_out(fault: Undecodable) -> None:
    log.error("%s: it is left out", fault, exc_info=fault)
