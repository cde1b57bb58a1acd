"""Entities of one tenant by id, whole or as they are shown."""

import logging
from collections.abc import Callable
from typing import Any

from broker.core import Entity
from broker.ports.entities import Renderer, Undecodable
from broker.store.entities.coalesced_reads import Reads
from broker.store.entities.renderings import Renderings
from broker.store.wire import commands
from broker.store.wire.codec import UNREAD, decode_alive
from broker.store.wire.tenants import Tenant

log = logging.getLogger(__name__)
Document = dict[str, Any]
Whole = tuple[Entity, int, bool]  # an entity, its version, and whether something of it will expire


class Lookups:
    """Coalesced reads of whole entities, and of their versions alone where a rendering is remembered."""

    def __init__(self, tenant: Tenant, renderings: Renderings, *, batch: int, now: Callable[[], str]) -> None:
        self._tenant = tenant
        self._renderings = renderings
        self._now = now
        self._whole = Reads(self._fetch_whole, batch)
        self._versions = Reads(self._fetch_versions, batch)

    async def entity(self, entity_id: str) -> Entity | None:
        """The entity of this id, None if there is none. Shared: nobody changes an entity in place."""
        found = await self._whole.get(entity_id)
        return None if found is None else found[0]

    async def shown(self, entity_id: str, renderer: Renderer) -> bytes | None:
        """The entity as the renderer shows it."""
        key = (self._tenant.name, entity_id, renderer)
        if self._renderings.has(key):
            version = await self._versions.get(entity_id)
            if version is None:
                return None
            if (text := self._renderings.get(key, version)) is not None:
                return text
        found = await self._whole.get(entity_id)
        if found is None:
            return None
        entity, version, is_transient = found
        text = renderer.render(entity)
        if not is_transient:
            self._renderings.put(key, version, text)
        return text

    async def _fetch_whole(self, ids: list[str]) -> dict[str, Whole | Exception]:
        now = self._now()
        found: dict[str, Whole | Exception] = {}
        for document in await self._find(ids, projection=UNREAD):
            entity_id, version, is_transient = document["_id"], document.get("rev", 0), "due" in document
            try:
                entity = decode_alive(document, now)
            except Undecodable as fault:
                log.error("%s", fault, extra={"entity": entity_id}, exc_info=fault.__cause__)
                found[entity_id] = fault
                continue
            if entity is not None:
                found[entity_id] = (entity, version, is_transient)
        return found

    async def _fetch_versions(self, ids: list[str]) -> dict[str, int | Exception]:
        documents = await self._find(ids, projection={"rev": 1})
        return {one["_id"]: one.get("rev", 0) for one in documents}

    async def _find(self, ids: list[str], **options: Any) -> list[Document]:
        # The `type` keeps out the bookkeeping that lies beside the entities.
        wanted = {"_id": {"$in": ids}, "type": {"$exists": True}}
        return await commands.find(self._tenant.entities, wanted, **options)
