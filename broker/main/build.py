"""Builds the rooms of a worker, from the lowest to the highest."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from broker.api.server import HttpBinding
from broker.config import Settings
from broker.core import Entity
from broker.core.entity.linked_entities import Join
from broker.core.entity.view import View
from broker.main.base import Base
from broker.main.contexts import ContextRoom
from broker.main.federation import FederationRoom
from broker.main.notify import NotifyRoom
from broker.main.store import StoreRoom
from broker.notify.messages import Messages
from broker.notify.reports import Reports
from broker.operations.linked_entities import linked_entities
from broker.ports.broker import Broker, Limits
from broker.store.background.clock_check import ClockCheck
from broker.store.registry.processes import Processes
from broker.store.wire.client import open_database


async def build(settings: Settings, stack: AsyncExitStack) -> HttpBinding:
    """The HTTP binding of a worker, with all rooms behind it. `stack` closes them in reverse order."""
    assert settings.mongo_uri is not None, "the parent process names the MongoDB"
    base = Base(settings, await open_database(settings.mongo_uri.get_secret_value(), stack), stack)
    clock_check = ClockCheck(base.database, base.clock)
    await clock_check.look()
    processes = Processes(base.client, settings.database, settings.process_id, settings.process_lease)
    stack.push_async_callback(processes.leave)
    contexts, notify = ContextRoom(base), NotifyRoom(base)
    federation = FederationRoom(base, processes, contexts.contexts)

    # Notifications read linked entities and reports, from rooms that are built below.
    async def links(
        tenant: str, entities: Sequence[Entity], view: View, join: Join
    ) -> Sequence[tuple[Entity, View]]:
        return await linked_entities(broker, tenant, entities, view, join)

    def report(tenant: str, subscription_id: str) -> AsyncIterator[list[Entity]]:
        return Reports(notify.subscriptions, store.entities).of(tenant, subscription_id)

    await notify.open(Messages(contexts.contexts, links, report))
    core = contexts.contexts.core
    store = StoreRoom(base, notify.notifier, notify.schedule, core.expand, core.compact)
    # Registered before the first commit: if this process dies, other processes end these sessions.
    sessions = [*store.sessions(), *notify.sessions(), *federation.sessions()]
    await processes.enter(sessions)
    await base.tenants.obtain("")
    await base.open()
    await contexts.open()
    federation.begin()
    store.begin(processes, sessions)
    notify.begin(processes)
    base.repeat("clock", clock_check.look, settings.process_lease / 3)
    base.runner.start()
    stack.push_async_callback(base.runner.close)
    broker = _broker(base, contexts, notify, federation, store)
    origins = settings.cors_origins or ()
    return HttpBinding(broker, settings.process_id, access_log=settings.access_log, origins=origins)


def _broker(
    base: Base, contexts: ContextRoom, notify: NotifyRoom, federation: FederationRoom, store: StoreRoom
) -> Broker:
    return Broker(
        store.entities,
        store.discovery,
        store.temporal,
        notify.subscriptions,
        notify.dead_letters,
        federation.registrations,
        federation.sources,
        notify.notifier.tallied,
        contexts.contexts,
        contexts.storage,
        _limits(base.settings),
        base.database.ping,
        base.clock,
        base.settings.alias,
        base.settings.public_url,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_body_bytes,
        settings.queue_limit,
        settings.max_depth,
        min(settings.default_limit, settings.max_limit),
        settings.max_limit,
        settings.temporal_page,
        settings.max_linked,
        settings.collation,
        settings.federation_deadline,
        settings.federation_sources,
        settings.federation_purge == "as_asked",
    )
