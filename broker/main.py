"""The composition root: builds every room of one worker and runs it. The only module that knows them all.

`python -m broker.main` is a worker, with settings from the environment; the parent process starts it so.
"""

import asyncio
import gc
import logging
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial

import uvloop
from aiohttp import web

from broker.api.server import Front
from broker.config import Settings
from broker.contexts.fetch import Fetcher, FetchLimits
from broker.contexts.hits import Hits
from broker.contexts.loader import Contexts
from broker.contexts.storage import Storage
from broker.core import Entity, instant
from broker.core.entity.links import Join
from broker.core.entity.view import View
from broker.core.errors import NgsiLdError
from broker.core.temporal.recording import Recording
from broker.core.temporal.retention import parse as parse_retention
from broker.logs import setup_logs
from broker.notify.backlog import Backlog
from broker.notify.deliverer import Deliverer
from broker.notify.http import HttpSender
from broker.notify.index import Index
from broker.notify.lane import Lane, Retry, Room
from broker.notify.messages import Messages
from broker.notify.mqtt import MqttSender
from broker.notify.notifier import Notifier
from broker.notify.periods import Periods
from broker.notify.reports import Reports
from broker.operations.links import linked_entities
from broker.ports.broker import Broker, Limits
from broker.ports.changes import Clock, SubscriptionChanges
from broker.ports.delivery import Sender
from broker.store.advice import Advice
from broker.store.client import Session, open_database
from broker.store.commit import Committer
from broker.store.context_changes import ContextChanges
from broker.store.contexts import MongoContexts
from broker.store.discovery import MongoDiscovery
from broker.store.entities import MongoEntities
from broker.store.eraser import Eraser
from broker.store.history_reads import MongoTemporal
from broker.store.indexes import Declared, Indexes
from broker.store.outbox import MongoOutbox
from broker.store.packer import Packer, Packing
from broker.store.processes import Processes
from broker.store.subscriptions import MongoSubscriptions
from broker.store.sweeper import Sweeper
from broker.store.tenants import Tenants
from broker.store.timers import MongoTimers, Schedule
from broker.store.undelivered import Kept, MongoUndelivered
from broker.store.writer import Writer

log = logging.getLogger(__name__)
_COUNT = 0.5  # seconds between looks for whether the outbox is to be counted
_SWEEP = 1.0  # seconds between looks for what has expired
_FLUSH = 1.0  # seconds for which hits of @contexts are only counted here
_INDEXES = 10.0  # seconds between looks for tenants without the declared indexes
_PATIENCE = 1.0  # seconds before work that failed is tried again
_RETRY = 0.2  # seconds before changes of @contexts are followed again
_REFRESH = 1.0  # seconds between looks for subscriptions that changed while something is delivered


def run_worker(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    setup_logs(settings.log_level, settings.log_format)
    uvloop.run(_work(settings))


def ticking() -> Clock:
    """A clock in microseconds that never stands still, nor goes back."""
    last = 0

    def tick(at_least: int = 0) -> int:
        nonlocal last
        last = max(time.time_ns() // 1000, last + 1, at_least)
        return last

    return tick


async def _work(settings: Settings) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as stack:
        front = await build(settings, stack)
        runner = web.ServerRunner(front.server(), handle_signals=False, shutdown_timeout=10)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        _spare_the_collector()
        await web.TCPSite(runner, settings.host, settings.port, reuse_port=True, backlog=1024).start()
        await stop.wait()


def present() -> str:
    """The present instant."""
    return instant.of_micros(time.time_ns() // 1000)


def _spare_the_collector() -> None:
    """Entities come and go as trees of dicts, which reference counts free: looking for cycles is a waste."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)


async def build(settings: Settings, stack: AsyncExitStack) -> Front:
    """All rooms of one process, opened; `stack` closes them in the opposite order."""
    assert settings.mongo_uri is not None, "the parent process names the MongoDB"
    database = await open_database(settings.mongo_uri.get_secret_value(), stack)
    tenants = Tenants(database.client, settings.database)
    processes = Processes(database.client, settings.database, settings.process_id, settings.process_lease)
    stack.push_async_callback(processes.leave)
    schedule = Schedule(database.client, settings.database)
    await schedule.open()
    timers = MongoTimers(
        database.client, schedule, tenants, settings.process_id, lease=settings.process_lease
    )
    subscriptions = MongoSubscriptions(database.client, tenants, schedule)
    store = MongoContexts(database.client, settings.database, tenants)
    hits = Hits(store.add_hits)
    stack.push_async_callback(hits.flush)
    contexts = _contexts(settings, store, hits, stack)

    async def links(
        tenant: str, found: Sequence[Entity], shape: View, join: Join
    ) -> Sequence[tuple[Entity, View]]:
        return await linked_entities(broker, tenant, found, shape, join)

    def report(tenant: str, subscription_id: str) -> AsyncIterator[list[Entity]]:
        return Reports(subscriptions, entities).of(tenant, subscription_id)

    messages = Messages(contexts, links, report)
    notifier = _notifier(settings, tenants, subscriptions, messages, stack)
    stack.push_async_callback(notifier.close)
    clock = ticking()
    periods = Periods(timers, subscriptions, notifier, settings.process_id, partial(clock, 0))

    async def changed(tenant: str, what: SubscriptionChanges) -> None:
        await notifier.changed(tenant, what)
        periods.wake()

    subscriptions.tell(changed)
    committer = Committer(notifier, clock, settings.process_id, _recording(settings, contexts.core.expand))
    undelivered = MongoUndelivered(tenants, notifier, clock, settings.process_id)
    writer = Writer(tenants, committer, group=settings.group_size, limit=settings.queue_limit)
    stack.push_async_callback(writer.close)
    # Entered before the first commit: whoever finds this process dead ends these sessions.
    tasks = database.client[settings.database]["tasks"]
    packing = Packing(settings.pack_after or 0.0, lease=settings.process_lease)
    packer = Packer(tasks, tenants, settings.process_id, packing)
    sessions = [*writer.open(database.client, settings.groups_in_flight), subscriptions.open(), timers.open()]
    sessions.append(packer.open(database.client))
    await processes.enter(sessions)
    await tenants.obtain("")
    changes = ContextChanges(database.client, settings.database, settings.process_id, settings.process_lease)
    await changes.open()
    storage = Storage(contexts, store, hits, partial(changes.tell, contexts.forget), time.time)
    await storage.open()
    sweeper = Sweeper(tasks, tenants, writer, settings.process_id)

    async def inherit() -> bool:
        found = await processes.inherit(tenants)
        periods.wake()
        return found

    adopt = partial(notifier.adopt, inherit, tenants.names)
    _repeat(partial(_renew, processes, sessions), settings.process_lease / 3, stack)
    _repeat(adopt, settings.process_lease / 3, stack)
    _repeat(partial(changes.follow, contexts.forget), _RETRY, stack)
    _repeat(hits.flush, _FLUSH, stack)
    _repeat(sweeper.sweep_all, _SWEEP, stack)
    if settings.pack_after is not None:
        _repeat(packer.pack_all, settings.pack_interval, stack)
    if settings.retention:
        retention = parse_retention(settings.retention, contexts.core.expand)
        eraser = Eraser(tasks, tenants, settings.process_id, retention)
        _repeat(eraser.erase_all, settings.pack_interval, stack)
    declared = [_declared(one, contexts.core.expand) for one in settings.indexes or ()]
    if settings.indexes is not None:
        _repeat(Indexes(tenants, declared).make, _INDEXES, stack)
    _repeat(notifier.refresh, _REFRESH, stack)
    _repeat(periods.round_and_wait, 0, stack)
    entities = MongoEntities(
        tenants,
        writer,
        sweeper,
        batch=settings.read_batch,
        timeout=settings.query_timeout,
        candidates=settings.query_candidates,
        remembered=settings.rendering_bytes,
        now=present,
        advice=Advice(declared, settings.slow_query, contexts.core.compact),
    )
    discovery = MongoDiscovery(tenants, sweeper, timeout=settings.query_timeout)
    temporal = MongoTemporal(tenants, page=settings.temporal_page, timeout=settings.query_timeout)
    broker = Broker(
        entities,
        discovery,
        temporal,
        subscriptions,
        undelivered,
        notifier.tallied,
        contexts,
        storage,
        _limits(settings),
        database.ping,
        settings.alias,
        settings.public_url,
    )
    return Front(
        broker, settings.process_id, access_log=settings.access_log, origins=settings.cors_origins or ()
    )


def _declared(text: str, expand: Callable[[str], str]) -> Declared:
    """An index as the setting names it: an attribute, or attribute@type."""
    attr, _, of = text.partition("@")
    return Declared(expand(attr), expand(of) if of else None)


async def _renew(processes: Processes, sessions: list[Session]) -> None:
    if not await processes.renew():
        log.warning("the lease of this process ran out; it is entered again")
        await processes.enter(sessions)


def _repeat(work: Callable[[], Awaitable[None]], seconds: float, stack: AsyncExitStack) -> None:
    """Does something over and over in the background, until the stack closes."""
    task = asyncio.create_task(_forever(work, seconds))
    stack.callback(task.cancel)


async def _forever(work: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        pause = seconds
        try:
            await work()
        except NgsiLdError as error:
            log.warning("work in the background has to wait", extra={"reason": error.detail})
            pause = _PATIENCE
        except Exception:  # whatever it is, the next round may do better, and none must end them all
            log.exception("work in the background failed")
            pause = _PATIENCE
        await asyncio.sleep(pause)


def _contexts(settings: Settings, store: MongoContexts, hits: Hits, stack: AsyncExitStack) -> Contexts:
    limits = FetchLimits(
        settings.context_timeout,
        settings.context_max_bytes,
        settings.context_max_redirects,
        settings.context_allowed_hosts,
    )
    fetcher = Fetcher(limits)
    stack.push_async_callback(fetcher.close)
    contexts = Contexts(fetcher, store, hits, time.time, lifetime=settings.context_lifetime)
    stack.push_async_callback(contexts.close)
    return contexts


def _notifier(
    settings: Settings,
    tenants: Tenants,
    subscriptions: MongoSubscriptions,
    messages: Messages,
    stack: AsyncExitStack,
) -> Notifier:
    indexes: dict[str, Index] = {}
    kept = Kept(settings.undelivered_age, settings.undelivered_limit)
    outbox = MongoOutbox(tenants, settings.process_id, kept)
    backlog = Backlog(outbox, settings.outbox_limit)
    _repeat(backlog.count, _COUNT, stack)
    retry = Retry(
        settings.notification_retry_first, settings.notification_retry_cap, settings.notification_max_age
    )
    lane = partial(
        Lane,
        limit=settings.lane_limit,
        concurrency=settings.lane_concurrency,
        room=Room(settings.deliveries_limit),
        retry=retry,
        now=time.time,
    )
    tls = ssl.create_default_context(cafile=settings.notification_ca)
    http, mqtt = HttpSender(tls, settings.notification_refusals or ()), MqttSender(tls)
    senders: dict[str, Sender] = {"http": http, "https": http, "mqtt": mqtt, "mqtts": mqtt}
    deliverer = Deliverer(
        indexes,
        outbox,
        backlog,
        messages,
        senders,
        lane,
        timeout=settings.notification_timeout,
        now=time.time,
    )
    return Notifier(indexes, subscriptions, outbox, deliverer, backlog)


def _recording(settings: Settings, expand: Callable[[str], str]) -> Recording:
    return Recording(
        frozenset(map(expand, settings.unrecorded_types)), settings.delete_temporal_on_entity_delete
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.max_body_bytes,
        settings.queue_limit,
        settings.max_depth,
        settings.default_limit,
        settings.max_limit,
        settings.temporal_page,
        settings.max_linked,
        settings.collation,
    )


if __name__ == "__main__":
    run_worker(Settings())
