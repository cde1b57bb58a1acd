"""Reads by id, coalesced: all ids wanted while one batch is on its way go into the next one's `$in`."""

import asyncio
from collections.abc import Callable

from broker.core import Entity
from broker.store import commands
from broker.store.codec import decode_alive
from broker.store.tenants import Tenant

Waiting = dict[str, list[asyncio.Future[Entity | None]]]


class Reads:
    """Entities of one tenant by id, in as few round trips as the load allows.

    A lone read starts at once: nothing waits for company. Callers for the same id share one entity,
    since nobody changes an entity in place.
    """

    def __init__(self, tenant: Tenant, batch: int, now: Callable[[], str], in_flight: int = 2) -> None:
        self._entities = tenant.entities
        self._now = now
        self._batch = batch
        self._free = in_flight
        self._wanted: Waiting = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, entity_id: str) -> Entity | None:
        """The entity of this id, None if there is none."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Entity | None] = loop.create_future()
        if not self._wanted and self._free:
            loop.call_soon(self._start)
        self._wanted.setdefault(entity_id, []).append(future)
        return await future

    def _start(self) -> None:
        while self._free and self._wanted:
            self._free -= 1
            task = asyncio.create_task(self._serve(self._take()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> Waiting:
        if len(self._wanted) <= self._batch:
            wanted, self._wanted = self._wanted, {}
            return wanted
        return {key: self._wanted.pop(key) for key in list(self._wanted)[: self._batch]}

    async def _serve(self, wanted: Waiting) -> None:
        try:
            found = await self._fetch(list(wanted))
            for entity_id, futures in wanted.items():
                for future in futures:
                    if not future.done():
                        future.set_result(found.get(entity_id))
        except Exception as error:  # whatever it is, nobody may wait for ever
            for future in (one for futures in wanted.values() for one in futures if not one.done()):
                future.set_exception(error)
        finally:
            self._free += 1
            self._start()

    async def _fetch(self, ids: list[str]) -> dict[str, Entity]:
        # The `type` keeps out the bookkeeping that lies beside the entities.
        found = await commands.find(self._entities, {"_id": {"$in": ids}, "type": {"$exists": True}})
        now = self._now()
        entities = [decode_alive(document, now) for document in found]
        return {entity["id"]: entity for entity in entities if entity is not None}
