"""Delivery: one lane for each endpoint of a tenant, and what goes through it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Set
from contextlib import contextmanager
from functools import partial
from typing import Any

from broker.core import instant
from broker.core.errors import Unavailable
from broker.core.notification import Subscriber
from broker.notify.backlog import Backlog
from broker.notify.holds import Holds, part
from broker.notify.index import Index
from broker.notify.lane import Delivery, Lane
from broker.notify.messages import Messages
from broker.notify.settler import Settler
from broker.ports.changes import Entry
from broker.ports.delivery import DeliveryFailed, Message, Outbox, Sender

log = logging.getLogger(__name__)
_DRAIN = 5.0  # seconds that deliveries on their way get when the broker stops
_GLANCE = 0.1  # seconds that who asks for the tallies waits for a receiver's answer at most
_PAUSE = 1.0  # seconds before the outbox is asked again when the database was away

Place = tuple[str, str]


class Deliverer:
    """Takes entries to the endpoints of their subscribers.

    `senders` are by the scheme of the endpoint; `now` gives the time in seconds.
    """

    def __init__(
        self,
        indexes: dict[str, Index],
        outbox: Outbox,
        backlog: Backlog,
        messages: Messages,
        senders: Mapping[str, Sender],
        new_lane: Callable[..., Lane],
        *,
        timeout: float,
        now: Callable[[], float],
    ) -> None:
        self._indexes = indexes
        self._outbox = outbox
        self._messages = messages
        self._senders = senders
        self._new_lane = new_lane
        self._timeout = timeout
        self._now = now
        self.holds = Holds(outbox, self.offer)
        self.refresh: Callable[[str], Awaitable[None]]  # learns what changed about a tenant's subscriptions
        self._settler = Settler(outbox, backlog)
        self._lanes: dict[Place, Lane] = {}
        self._sending: dict[tuple[str, str], set[asyncio.Task[Any]]] = {}  # by tenant and subscription
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, entry: Entry, subscription_id: str) -> None:
        """Takes an entry for one of the subscriptions that it is due to."""
        to = self._indexes[entry.tenant].subscribers.get(subscription_id)
        if to is None:  # deleted since
            self._settler.told(entry, subscription_id)
            return
        lane = self._lane(entry.tenant, to.uri)
        if to.is_paused:
            lane.park(subscription_id)
        lane.offer(Delivery(entry, subscription_id))

    @property
    def tenants(self) -> set[str]:
        """The tenants that something is under way for."""
        return {tenant for tenant, _ in self._lanes}

    def changed(self, tenant: str, old: Subscriber) -> None:
        """Does what the change of a subscription asks of its deliveries; `old` is how it was before."""
        new = self._indexes[tenant].subscribers.get(old.id)
        lane = self._lanes.get((tenant, old.uri))
        if lane is None or (new and (new.uri, new.is_paused) == (old.uri, old.is_paused)):
            return
        if new is None:
            if lane.release(old.id, cancel=True) is not None:
                self._run(self._forget_all(tenant, old.id))
        elif new.uri != old.uri:
            if (start := lane.release(old.id, cancel=True)) is not None:
                self._move(tenant, new, start)
        elif new.is_paused:
            lane.park(old.id)
        else:
            lane.unpark(old.id)
        self._tend((tenant, old.uri), lane)

    def _move(self, tenant: str, to: Subscriber, start: str) -> None:
        """Has another lane take on a subscription's deliveries, from an entry's id on."""
        lane = self._lane(tenant, to.uri)
        lane.leave(to.id, start)
        if to.is_paused:
            lane.park(to.id)
        self._tend((tenant, to.uri), lane)

    async def _forget_all(self, tenant: str, subscription_id: str) -> None:
        try:
            await self._outbox.forget(tenant, subscription_id)
        except Unavailable:  # whoever comes upon what is left finds that nobody wants it
            log.info("what was due to a deleted subscription stays for now", extra={"id": subscription_id})

    async def tallied(self, tenant: str, subscription_id: str) -> None:
        """Returns when what this process tells a subscription just now is told, and written down.

        It does not wait for long: a receiver may take its time.
        """
        if sending := self._sending.get((tenant, subscription_id)):
            await asyncio.wait(set(sending), timeout=_GLANCE)
        await self._settler.written()

    async def close(self) -> None:
        """Stops; what is not told stays in the outbox."""
        await self.holds.close()
        await asyncio.gather(*(lane.close(_DRAIN) for lane in self._lanes.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._settler.close()
        for sender in set(self._senders.values()):
            await sender.close()

    def _lane(self, tenant: str, uri: str) -> Lane:
        place = (tenant, uri)
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = self._new_lane(self._send, partial(self._over, place))
        return lane

    async def _send(self, delivery: Delivery) -> None:
        """One attempt; raises DeliveryFailed. A subscription that is gone counts as told."""
        tenant = delivery.entry.tenant
        to = self._indexes[tenant].subscribers.get(delivery.subscription)
        if delivery.is_late:
            await self._look_again(tenant)
            to = self._indexes[tenant].subscribers.get(delivery.subscription)
        if to is None:
            return
        if to.is_paused:
            raise DeliveryFailed("the subscription is paused")
        now = instant.of_micros(round(self._now() * 1_000_000))
        try:
            with self._noted(tenant, to.id):
                async for message in self._messages.of(delivery.entry, to, now):
                    await self._post(message, to)
                    self._settler.attempt(tenant, to.id, now, failed=False)
        except DeliveryFailed as failure:
            log.info(
                "a notification was not taken",
                extra={"subscription": to.id, "reason": str(failure)},
            )
            self._settler.attempt(tenant, to.id, now, failed=True)
            failure.rest = to.cooldown or 0.0
            raise

    async def _post(self, message: Message, to: Subscriber) -> None:
        sender = self._senders[to.uri.partition(":")[0].lower()]
        await sender.send(message, to.timeout or self._timeout)

    @contextmanager
    def _noted(self, tenant: str, subscription_id: str) -> Iterator[None]:
        """Knows that this task is telling a subscription something."""
        key, task = (tenant, subscription_id), asyncio.current_task()
        assert task is not None
        sending = self._sending.setdefault(key, set())
        sending.add(task)
        try:
            yield
        finally:
            sending.remove(task)
            if not sending:
                del self._sending[key]

    async def _look_again(self, tenant: str) -> None:
        """Before something is tried again, another process may have deleted the subscription."""
        try:
            await self.refresh(tenant)
        except Unavailable as error:
            raise DeliveryFailed(f"the database is away: {error.detail}") from error

    def _over(self, place: Place, lane: Lane, delivery: Delivery, given_up: str | None) -> None:
        """A delivery is done: its lane is refilled when there is room, and forgotten when it is idle."""
        self._settler.told(delivery.entry, delivery.subscription, given_up=given_up)
        self._tend(place, lane)

    def _tend(self, place: Place, lane: Lane) -> None:
        if lane.wants_more:
            self._run(self._refill(place, lane))
        else:
            self._forget(place, lane)

    async def _refill(self, place: Place, lane: Lane) -> None:
        """Takes on what was left in the outbox, until the lane is full or nothing is left."""
        while lane.wants_more:
            try:
                await lane.refill(partial(self._left, place))
            except Exception as error:
                if not isinstance(error, Unavailable):
                    log.exception("the outbox cannot be read; trying again")
                await asyncio.sleep(_PAUSE)
        self._forget(place, lane)

    def _forget(self, place: Place, lane: Lane) -> None:
        if lane.is_idle and self._lanes.get(place) is lane:
            del self._lanes[place]

    async def _left(
        self, place: Place, start: str, subscriptions: Set[str], limit: int
    ) -> tuple[list[Delivery], str | None]:
        """What was left in the outbox for these subscriptions, from an entry's id on; where the rest begins.

        What has to wait for another process is passed over: it is held, and will be offered.
        """
        with self._settler.watched() as told:
            entries = await self._outbox.mine(place[0], start, sorted(subscriptions), limit)
            deliveries = self._still_here(place, entries, subscriptions)
            parts = [part(one.entry, one.subscription) for one in deliveries]
            blocked = await self._outbox.blocked(place[0], parts) if parts else set()
        free = [
            one
            for one, its in zip(deliveries, parts, strict=True)
            if its.id not in blocked
            and one.name not in told
            and not self.holds.has(one.entry, one.subscription)
        ]
        return free, entries[-1].id + "\0" if len(entries) == limit else None

    def _still_here(self, place: Place, entries: list[Entry], subscriptions: Set[str]) -> list[Delivery]:
        """The deliveries of entries to subscriptions that still belong here; the others are sent on."""
        tenant, uri = place
        subscribers = self._indexes[tenant].subscribers
        found = []
        for entry in entries:
            for one in sorted(entry.due & subscriptions):
                if one in subscribers and subscribers[one].uri == uri:
                    found.append(Delivery(entry, one))
                else:
                    self.offer(entry, one)
        return found

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
