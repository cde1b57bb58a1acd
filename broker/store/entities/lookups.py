"""Reads entities of one tenant by id, decoded or rendered."""

import logging
from collections.abc import Callable
from typing import Any

from broker.core import Entity
from broker.ports.entities import Renderer, Undecodable
from broker.store.entities.renderings import Renderings
from broker.store.wire import commands
from broker.store.wire.coalesced_reads import Reads
from broker.store.wire.codec import UNREAD, decode_alive
from broker.store.wire.tenants import Tenant

log = logging.getLogger(__name__)
Document = dict[str, Any]
Whole = tuple[Entity, int, bool]  # an entity, its revision, and whether a part of it will expire


class Lookups:
    """Coalesced reads of entities; of their revisions only, where the cache has a rendering."""

    def __init__(self, tenant: Tenant, renderings: Renderings, *, batch: int, now: Callable[[], str]) -> None:
        self._tenant = tenant
        self._renderings = renderings
        self._now = now
        self._whole = Reads(self._fetch_whole, batch)
        self._revs = Reads(self._fetch_revs, batch)

    async def entity(self, entity_id: str) -> Entity | None:
        """The entity of this id; None if there is none. Callers share it, so they must not change it.

        Undecodable if it is stored, but damaged.
        """
        whole = await self._whole.get(entity_id)
        return None if whole is None else whole[0]

    async def shown(self, entity_id: str, renderer: Renderer) -> bytes | None:
        """The rendering of the entity of this id, which may be empty; None if there is no such entity.

        Undecodable if it is damaged.
        """
        key = (self._tenant.name, entity_id, renderer)
        if self._renderings.has(key):
            rev = await self._revs.get(entity_id)
            if rev is None:
                return None
            if (text := self._renderings.get(key, rev)) is not None:
                return text
        whole = await self._whole.get(entity_id)
        if whole is None:
            return None
        entity, rev, is_transient = whole
        text = renderer.render(entity)
        if not is_transient:
            self._renderings.put(key, rev, text)
        return text

    async def _fetch_whole(self, ids: list[str]) -> dict[str, Whole | Exception]:
        now = self._now()
        entities: dict[str, Whole | Exception] = {}
        for document in await self._find(ids, projection=UNREAD):
            entity_id, rev, is_transient = document["_id"], document.get("rev", 0), "due" in document
            try:
                entity = decode_alive(document, now)
            except Undecodable as fault:
                log.error("%s", fault, extra={"entity": entity_id}, exc_info=fault.__cause__)
                entities[entity_id] = fault
                continue
            if entity is not None:
                entities[entity_id] = (entity, rev, is_transient)
        return entities

    async def _fetch_revs(self, ids: list[str]) -> dict[str, int | Exception]:
        documents = await self._find(ids, projection={"rev": 1})
        return {document["_id"]: document.get("rev", 0) for document in documents}

    async def _find(self, ids: list[str], **options: Any) -> list[Document]:
        # `type` excludes the documents of entities that do not exist now, and that of the epoch.
        wanted = {"_id": {"$in": ids}, "type": {"$exists": True}}
        return await commands.find(self._tenant.entities, wanted, **options)
