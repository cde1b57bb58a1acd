"""The deliverer: makes the attempts to notify, for the dispatchers of all tenants."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from broker.clock import Clock
from broker.core.delivery.machine_base import Route
from broker.core.delivery.stream import Stream
from broker.core.errors import Unavailable
from broker.core.notification import Subscriber
from broker.notify.backlog import Backlog
from broker.notify.delivery_settings import DeliverySettings
from broker.notify.dispatcher import Dispatcher
from broker.notify.index import Index
from broker.notify.messages import Messages
from broker.ports.delivery import DeliveryFailed, Message, Outbox, Sender

log = logging.getLogger(__name__)
_DRAIN = 5.0  # seconds that running deliveries get when the broker stops
_GLANCE = 0.1  # seconds, at most, that a reader of the tallies waits for a receiver's answer
Who = tuple[str, str]  # a tenant and a subscription


class Deliverer:
    """Delivers entries to the endpoints of their subscribers.

    `indexes` are by tenant, `senders` by the scheme of the endpoint's URI.
    """

    def __init__(
        self,
        indexes: dict[str, Index],
        outbox: Outbox,
        backlog: Backlog,
        messages: Messages,
        senders: Mapping[str, Sender],
        settings: DeliverySettings,
        clock: Clock,
    ) -> None:
        self._indexes = indexes
        self._outbox = outbox
        self._backlog = backlog
        self._messages = messages
        self._senders = senders
        self._settings = settings
        self._clock = clock
        self.refresh: Callable[[str], Awaitable[None]]  # reads the changes of a tenant's subscriptions
        self._dispatchers: dict[str, Dispatcher] = {}
        self._sending: dict[Who, int] = {}  # attempts under way
        self._watched: dict[Who, asyncio.Event] = {}  # set when none is under way any more

    def of(self, tenant: str) -> Dispatcher:
        """The dispatcher of a tenant; a new one if there is none."""
        dispatcher = self._dispatchers.get(tenant)
        if dispatcher is None:
            dispatcher = self._dispatchers[tenant] = self._new(tenant)
        return dispatcher

    @property
    def busy(self) -> list[str]:
        """The tenants for which deliveries are under way."""
        return [tenant for tenant, dispatcher in self._dispatchers.items() if dispatcher.is_busy]

    def changed(self, tenant: str, old: Subscriber) -> None:
        """Adapts the deliveries of a subscription that changed. `old`: its subscriber before the change."""
        if (dispatcher := self._dispatchers.get(tenant)) is not None:
            dispatcher.changed(old.id, old, self._indexes[tenant].subscribers.get(old.id))

    def lapsed(self) -> None:
        """The lease ran out: other processes may have adopted the entries of this one."""
        for dispatcher in self._dispatchers.values():
            dispatcher.lapsed()

    async def tallied(self, tenant: str, subscription: str) -> None:
        """Returns when the running attempts at a subscription have ended and their tallies are written.

        Or earlier, after a bounded time, since a receiver may be slow.
        """
        who = tenant, subscription
        if who in self._sending:
            event = self._watched.setdefault(who, asyncio.Event())
            try:
                async with asyncio.timeout(_GLANCE):
                    await event.wait()
            except TimeoutError:
                log.debug("a receiver is slow", extra={"subscription": subscription})
        if (dispatcher := self._dispatchers.get(tenant)) is not None:
            await dispatcher.settler.written()

    async def close(self) -> None:
        """Stops; what is not delivered stays in the store."""
        await asyncio.gather(*(dispatcher.close(_DRAIN) for dispatcher in self._dispatchers.values()))
        for sender in set(self._senders.values()):
            await sender.close()

    def _new(self, tenant: str) -> Dispatcher:
        index, send = self._indexes[tenant], partial(self._send, tenant)

        def route(subscription: str) -> Route | None:
            return index.subscribers.get(subscription)

        return Dispatcher(
            tenant, self._settings, route, self._outbox, self._backlog, send, self._clock.server
        )

    async def _send(self, tenant: str, stream: Stream, is_late: bool) -> None:
        """Makes one attempt; DeliveryFailed if it fails. If the subscription is gone, it counts as delivered.

        `is_late`: the endpoint has failed since its last success.
        """
        if is_late:
            await self._refresh(tenant)
        to = self._indexes[tenant].subscribers.get(stream.subscription)
        if to is None:
            return
        if to.is_paused:
            raise DeliveryFailed("the subscription is paused")
        settler = self.of(tenant).settler
        now = self._clock.present()
        try:
            with self._attempting((tenant, to.id)):
                async for message in self._messages.of(stream.entry, to, now):
                    await self._post(message, to)
                    settler.attempt(to.id, now, failed=False)
        except DeliveryFailed as failure:
            reason = {"subscription": to.id, "reason": failure.detail}
            log.info("a notification was not delivered", extra=reason)
            settler.attempt(to.id, now, failed=True)
            failure.rest = to.cooldown or 0.0
            raise

    async def _post(self, message: Message, to: Subscriber) -> None:
        sender = self._senders[to.uri.partition(":")[0].lower()]
        await sender.send(message, to.timeout or self._settings.timeout)

    @contextmanager
    def _attempting(self, who: Who) -> Iterator[None]:
        """Counts an attempt at a subscription as under way."""
        self._sending[who] = self._sending.get(who, 0) + 1
        try:
            yield
        finally:
            self._sending[who] -= 1
            if not self._sending[who]:
                del self._sending[who]
                if (event := self._watched.pop(who, None)) is not None:
                    event.set()

    async def _refresh(self, tenant: str) -> None:
        """Reads the subscriptions before a retry: another process may have deleted or paused this one."""
        try:
            await self.refresh(tenant)
        except Unavailable as error:
            raise DeliveryFailed(f"the database is away: {error.detail}") from error
