"""Builds the room that notifies: subscriptions, triggers, timers and delivery."""

import ssl
from functools import partial

from broker.config import Settings
from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine_base import Bounds
from broker.egress import Egress
from broker.main.base import Base
from broker.notify.backlog import Backlog
from broker.notify.deliverer import Deliverer
from broker.notify.delivery_settings import DeliverySettings
from broker.notify.http import HttpSender
from broker.notify.index import Index
from broker.notify.lane import Retry
from broker.notify.messages import Messages
from broker.notify.mqtt import MqttSender
from broker.notify.notifier import Notifier
from broker.notify.periodic import TimerLoop
from broker.ports.changes import SubscriptionChanges
from broker.ports.delivery import Sender
from broker.store.pending.dead_letters import DeadLetterLimits, MongoDeadLetters
from broker.store.pending.outbox import MongoOutbox
from broker.store.registry.processes import Processes
from broker.store.registry.subscriptions import MongoSubscriptions
from broker.store.registry.timers import MongoTimers, Schedule
from broker.store.wire.client import Session

_COUNT = 0.5  # seconds between checks whether pending entries must be counted
_RECONCILE = 5.0  # seconds between searches for own entries that are not in memory
_REFRESH = 1.0  # seconds between checks for changed subscriptions, while notifications are delivered


class NotifyRoom:
    """Subscriptions, timers, notifier and dead letters. `open` builds the parts that need messages."""

    def __init__(self, base: Base) -> None:
        self._base, settings = base, base.settings
        self.schedule = Schedule(base.client, settings.database, base.clock)
        self.subscriptions = MongoSubscriptions(base.client, base.tenants, self.schedule)
        self.timers = MongoTimers(
            base.client, self.schedule, base.tenants, settings.process_id, lease=settings.process_lease
        )

    async def open(self, messages: Messages) -> None:
        """Builds the notifier and what depends on it; `begin` starts the work."""
        await self.schedule.open()
        base, settings = self._base, self._base.settings
        self.notifier = self._new_notifier(messages)
        base.stack.push_async_callback(self.notifier.close)
        self.periods = TimerLoop(
            self.timers, self.subscriptions, self.notifier, settings.process_id, base.clock
        )
        self.subscriptions.on_change(self._changed)
        self.schedule.on_timer(self.periods.expect)
        self.dead_letters = MongoDeadLetters(
            base.client, base.tenants, self.notifier, base.clock, settings.process_id
        )

    def sessions(self) -> list[Session]:
        """The sessions of this room's transactions, which other processes end if this one dies."""
        return [self.subscriptions.session, self.timers.session, self.dead_letters.session]

    def begin(self, processes: Processes) -> None:
        """Starts the background work: adopts entries of dead processes, and fires timers."""

        async def inherit() -> bool:
            has_inherited = await processes.inherit(self._base.tenants)
            self.periods.wake()
            return has_inherited

        adopt = partial(self.notifier.adopt, inherit, self._base.tenants.names)
        self._base.repeat("adopt", adopt, self._base.settings.process_lease / 3)
        self._base.repeat("refresh", self.notifier.refresh, _REFRESH)
        self._base.repeat("reconcile", self.notifier.reconcile, _RECONCILE)
        self._base.repeat("periods", self.periods.round_and_wait, 0)

    async def _changed(self, tenant: str, changes: SubscriptionChanges) -> None:
        await self.notifier.changed(tenant, changes)
        self.periods.wake()

    def _new_notifier(self, messages: Messages) -> Notifier:
        base, settings = self._base, self._base.settings
        indexes: dict[str, Index] = {}
        kept = DeadLetterLimits(settings.undelivered_age, settings.undelivered_limit, base.clock)
        outbox = MongoOutbox(base.tenants, settings.process_id, kept)
        backlog = Backlog(outbox, settings.outbox_limit)
        base.repeat("backlog", backlog.count, _COUNT)
        means = _means(settings)
        senders = _senders(settings, base.egress)
        deliverer = Deliverer(indexes, outbox, backlog, messages, senders, means, base.clock)
        return Notifier(indexes, self.subscriptions, outbox, deliverer, backlog)


def _senders(settings: Settings, egress: Egress) -> dict[str, Sender]:
    tls = ssl.create_default_context(cafile=settings.notification_ca)
    http = HttpSender(egress, tls, settings.notification_refusals or ())
    mqtt = MqttSender(egress, tls)
    return {"http": http, "https": http, "mqtt": mqtt, "mqtts": mqtt}


def _means(settings: Settings) -> DeliverySettings:
    concurrency = settings.lane_concurrency
    return DeliverySettings(
        settings.process_id,
        Memory(settings.deliveries_limit, settings.lane_limit, concurrency),
        Bounds(),
        Retry(
            settings.notification_retry_first, settings.notification_retry_cap, settings.notification_max_age
        ),
        concurrency,
        settings.notification_timeout,
    )
