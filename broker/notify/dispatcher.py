"""The dispatcher: drives the machine of one tenant, and carries out its effects."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from itertools import islice
from typing import Any

from broker.core.delivery.effects import Effect, Fill, Forget, Load, Offer, Proceed, Settle, Withdraw
from broker.core.delivery.machine import Machine
from broker.core.delivery.machine_base import Route
from broker.core.delivery.stream import Stream
from broker.notify.backlog import Backlog
from broker.notify.delivery_settings import DeliverySettings
from broker.notify.insist import insist
from broker.notify.lane import Lane
from broker.notify.settler import Settler
from broker.ports.changes import Entry
from broker.ports.delivery import Outbox, Pending, PendingRequest

_AT_ONCE = 100  # entities in one load
_SIDE_BY_SIDE = 4  # loads at the same time
_OF_EACH, _FEW = 32, 4  # entries of one entity in a load, and in a recheck


class Dispatcher:
    """All that is under way for one tenant: its machine, lanes, settler, and reads of the store.

    `route` returns where entries of a subscription go; None if it is gone. `send(stream, is_late)` makes one
    attempt, as in `Lane`. `server_time` is in µs.
    """

    def __init__(
        self,
        tenant: str,
        settings: DeliverySettings,
        route: Callable[[str], Route | None],
        outbox: Outbox,
        backlog: Backlog,
        send: Callable[[Stream, bool], Awaitable[None]],
        server_time: Callable[[], int],
    ) -> None:
        self._tenant = tenant
        self._settings = settings
        self._outbox = outbox
        self._send = send
        self._server_time = server_time
        self._machine = Machine(settings.process, route, settings.memory, settings.bounds)
        self.settler = Settler(tenant, outbox, backlog, self._settled)
        self._lanes: dict[str, Lane] = {}
        self._wanted: dict[str, Load] = {}
        self._loading = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._tick: asyncio.TimerHandle | None = None
        self._tick_at = 0.0  # since uvloop's handles of calls without delay do not know their time
        self._loop = asyncio.get_running_loop()

    @property
    def is_busy(self) -> bool:
        """Whether any lane is at work."""
        return bool(self._lanes)

    # Events from outside

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """See `ports.ChangeSink.committed`."""
        self._machine.committed(entry, earlier, is_whole, self._loop.time())
        self._perform()

    def found(self, entity_id: str, subscriptions: Collection[str], *, is_adopted: bool) -> None:
        """See `Machine.found`."""
        self._machine.found(entity_id, subscriptions, is_adopted=is_adopted)
        self._perform()

    def changed(self, subscription: str, before: Route, after: Route | None) -> None:
        """See `Machine.changed`."""
        self._machine.changed(subscription, before, after)
        self._perform()

    def lapsed(self) -> None:
        """See `Machine.lapsed`."""
        self._machine.lapsed()
        self._perform()

    # Events from lanes

    @property
    def is_stalled(self) -> bool:
        """See `Machine.is_stalled`."""
        return self._machine.is_stalled

    def started(self, stream: Stream) -> None:
        """See `DeliveryEvents.started`."""
        self._machine.started(stream)

    def taken(self, stream: Stream, reason: str | None) -> None:
        """See `DeliveryEvents.taken`."""
        self._machine.taken(stream, self._loop.time(), reason)
        self._perform()

    def failed(self, stream: Stream, uri: str, reason: str) -> None:
        """See `DeliveryEvents.failed`."""
        now = self._loop.time()
        self._machine.failed(stream, now)
        oldest = self._server_time() - round(self._settings.retry.max_age * 1_000_000)
        self._machine.expired(uri, oldest, reason, now)
        self._perform()

    def idle(self, uri: str) -> None:
        """See `DeliveryEvents.idle`."""
        self._lanes.pop(uri, None)

    async def close(self, grace: float) -> None:
        """Cancels attempts after `grace` seconds, then writes down results. The rest stays in the store."""
        if self._tick is not None:
            self._tick.cancel()
        await asyncio.gather(*(lane.close(grace) for lane in self._lanes.values()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.settler.close()

    # Effects of the machine

    def _perform(self) -> None:
        while effects := self._machine.effects:
            self._machine.effects = []
            for effect in effects:
                self._perform_one(effect)
        self._load()
        self._plan()

    def _perform_one(self, effect: Effect) -> None:
        match effect:
            case Offer(stream):
                self._lane(stream.buffer.uri).offer(stream)
            case Withdraw(stream, uri):
                self._lane(uri).withdraw(stream)
            case Settle():
                self.settler.settle(effect)
            case Load(entity_id):
                self._wanted[entity_id] = effect
            case Fill():
                self._run(self._fill(effect))
            case Forget(subscription):
                self._run(self._forget(subscription))
            case Proceed():
                for lane in list(self._lanes.values()):
                    lane.proceed()

    def _lane(self, uri: str) -> Lane:
        lane = self._lanes.get(uri)
        if lane is None:
            retry, concurrency = self._settings.retry, self._settings.concurrency
            lane = Lane(uri, self, self._send, concurrency=concurrency, retry=retry)
            self._lanes[uri] = lane
        return lane

    def _load(self) -> None:
        while self._wanted and self._loading < _SIDE_BY_SIDE:
            loads = {name: self._wanted.pop(name) for name in list(islice(self._wanted, _AT_ONCE))}
            self._loading += 1
            self._run(self._load_all(loads))

    async def _load_all(self, loads: dict[str, Load]) -> None:
        """Loads entities together; if that fails, each by itself, so that one failure delays no others."""
        try:
            try:
                self._loaded(loads, await insist(lambda: self._read(loads), "load", tries=1))
            except Exception:
                for entity_id, load in loads.items():
                    self._run(self._load_one({entity_id: load}))
        finally:
            self._loading -= 1
            self._perform()

    async def _load_one(self, load: dict[str, Load]) -> None:
        self._loaded(load, await insist(lambda: self._read(load), "load"))
        self._perform()

    async def _read(self, loads: dict[str, Load]) -> dict[str, Pending]:
        wanted = {
            entity_id: PendingRequest(load.subscriptions, load.after, _FEW if load.is_recheck else _OF_EACH)
            for entity_id, load in loads.items()
        }
        return await self._outbox.load(self._tenant, wanted)

    def _loaded(self, loads: dict[str, Load], replies: dict[str, Pending]) -> None:
        nothing = Pending(())
        for entity_id in loads:
            pending = replies.get(entity_id, nothing)
            self._machine.loaded(entity_id, pending.entries, pending.is_whole, self._loop.time())

    async def _fill(self, fill: Fill) -> None:
        page = await insist(
            lambda: self._outbox.page(self._tenant, fill.after, fill.subscriptions, fill.limit), "page"
        )
        self._machine.filled(fill.uri, page, is_last=len(page) < fill.limit)
        self._perform()

    async def _forget(self, subscription: str) -> None:
        await insist(lambda: self._outbox.forget(self._tenant, subscription), "forget")
        self._machine.forgotten(subscription)

    def _settled(self, effects: Sequence[Settle]) -> None:
        self._machine.settled(effects)
        self._perform()

    def _plan(self) -> None:
        """Plans the next `tick` of the machine."""
        at = self._machine.next_tick
        if at is not None and (self._tick is None or at < self._tick_at):
            if self._tick is not None:
                self._tick.cancel()
            self._tick, self._tick_at = self._loop.call_at(at, self._tick_now), at

    def _tick_now(self) -> None:
        self._tick = None
        self._machine.tick(self._loop.time())
        self._perform()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
