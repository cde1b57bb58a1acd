"""Builds the room that stores: entities, history, and their background tasks."""

import logging
from collections.abc import Callable
from functools import partial

from broker.config import Settings
from broker.core.temporal.recording import Recording
from broker.core.temporal.retention import parse as parse_retention
from broker.main.base import Base
from broker.notify.notifier import Notifier
from broker.store.background.lease import Lease
from broker.store.entities.discovery import MongoDiscovery
from broker.store.entities.entity_store import MongoEntities, ReadLimits
from broker.store.entities.sweeper import Sweeper
from broker.store.history.eraser import Eraser
from broker.store.history.evolution_store import MongoTemporal
from broker.store.history.packer import Packer, Packing
from broker.store.pending.reaper import Reaper
from broker.store.query.advice import Advice
from broker.store.query.indexes import Declared, Indexes
from broker.store.registry.processes import Processes
from broker.store.registry.timers import Schedule
from broker.store.wire.client import Session
from broker.store.writes.commit import Committer
from broker.store.writes.plan import Planner
from broker.store.writes.writer import Writer

log = logging.getLogger(__name__)
_REAP = 10.0  # seconds between rounds of the reaper, which removes marks of documents without pending entries
_SWEEP = 1.0  # seconds between rounds of the sweeper, which deletes expired entities
_INDEXES = 10.0  # seconds between checks for tenants without the declared indexes

Expand = Callable[[str], str]


class StoreRoom:
    """Entities and history, with one writer. `expand`, `compact`: of the core context."""

    def __init__(
        self, base: Base, notifier: Notifier, schedule: Schedule, expand: Expand, compact: Expand
    ) -> None:
        self._base, self._expand, self._notifier = base, expand, notifier
        settings, tenants = base.settings, base.tenants
        planner = Planner(notifier, base.clock, settings.process_id, _recording(settings, expand))
        committer = Committer(planner, schedule)
        self._writer = Writer(
            tenants,
            committer,
            group=settings.group_size,
            limit=settings.queue_limit,
            in_flight=settings.groups_in_flight,
        )
        base.stack.push_async_callback(self._writer.close)
        packing = Packing(settings.pack_after or 0.0, lease=settings.process_lease)
        self._packer = Packer(base.tasks, tenants, settings.process_id, packing, base.clock)
        self._sweeper = Sweeper(base.tasks, tenants, self._writer, settings.process_id, base.clock)
        self._declared = [_declared(text, expand) for text in settings.indexes or ()]
        self.entities = self._new_entities(compact)
        self.discovery = MongoDiscovery(tenants, self._sweeper, timeout=settings.query_timeout)
        self.temporal = MongoTemporal(
            tenants, page=settings.temporal_page, timeout=settings.query_timeout, clock=base.clock
        )

    def sessions(self) -> list[Session]:
        """The sessions of this room's transactions, which other processes end if this one dies."""
        return [*self._writer.sessions, self._packer.session]

    def begin(self, processes: Processes, sessions: list[Session]) -> None:
        """Starts the background tasks, and the renewal of the lease of this process and its sessions."""
        base, settings = self._base, self._base.settings
        base.repeat("renew", partial(self._renew, processes, sessions), settings.process_lease / 3)
        base.repeat_for_tenants(
            "reap",
            Reaper(base.tenants).reap,
            _REAP,
            Lease(base.tasks, "reap", settings.process_id, _REAP * 3),
        )
        base.repeat_for_tenants("sweep", self._sweeper.sweep, _SWEEP, self._sweeper.lease)
        if settings.pack_after is not None:
            packer = self._packer
            base.repeat_for_tenants("pack", packer.pack_tenant, settings.pack_interval, packer.lease)
        if settings.retention:
            retention = parse_retention(settings.retention, self._expand)
            eraser = Eraser(base.tasks, base.tenants, settings.process_id, retention, base.clock)
            base.repeat_for_tenants("erase", eraser.erase_tenant, settings.pack_interval, eraser.lease)
        if settings.indexes is not None:
            base.repeat_for_tenants("index", Indexes(base.tenants, self._declared).make, _INDEXES)

    async def _renew(self, processes: Processes, sessions: list[Session]) -> None:
        if not await processes.renew():
            log.warning("the lease of this process expired; it is registered again")
            await processes.enter(sessions)
            self._notifier.lapsed()

    def _new_entities(self, compact: Expand) -> MongoEntities:
        settings = self._base.settings
        limits = ReadLimits(
            settings.read_batch, settings.query_timeout, settings.query_candidates, settings.rendering_bytes
        )
        advice = Advice(self._declared, settings.slow_query, compact)
        return MongoEntities(
            self._base.tenants, self._writer, self._sweeper, limits, advice, self._base.clock.expiring
        )


def _recording(settings: Settings, expand: Expand) -> Recording:
    return Recording(
        frozenset(map(expand, settings.unrecorded_types)), settings.delete_temporal_on_entity_delete
    )


def _declared(text: str, expand: Expand) -> Declared:
    """The index that a setting names: `attribute` or `attribute@type`."""
    attr, _, type_name = text.partition("@")
    return Declared(expand(attr), expand(type_name) if type_name else None)
