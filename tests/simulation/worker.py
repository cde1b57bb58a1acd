"""A worker of a simulation: the machine, and the simplest lanes, settler and client of the store."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from broker.core.delivery.effects import Effect, Fill, Forget, Load, Offer, Proceed, Settle, Withdraw
from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine import Machine
from broker.core.delivery.machine_base import Bounds
from broker.core.delivery.stream import State, Stream
from tests.simulation.world import TENANT, Receivers, Record, Store, Time, Violation, Way

LANE, FEW, CONCURRENCY, MEMORY, UNSETTLED, IDLE, PAGE = 3, 1, 2, 6, 8, 6, 2
AGE = 20.0  # seconds after which a notification is too old
_BATCH = 0.02  # seconds in which what is over is collected
_LATE = 0.3  # seconds


class Trouble:
    """How likely it is that a call of the store fails, before or after it did what it was to do."""

    def __init__(self) -> None:
        self.error = 0.0
        self.lost = 0.0


class Lane:
    """The streams that wait for their turn at one endpoint, and how many are being sent."""

    def __init__(self) -> None:
        self.ready: deque[Stream] = deque()
        self.sending = 0
        self.failures = 0
        self.is_resting = False


class Worker:
    """One process. `skew`: by how many seconds its clock is wrong."""

    def __init__(self, name: str, time: Time, store: Store, receivers: Receivers, trouble: Trouble) -> None:
        self.name = name
        self.time = time
        self.store = store
        self.receivers = receivers
        self.trouble = trouble
        self.is_dead = self.is_stopped = False
        self.skew = 0.0
        self.ways: dict[str, Way] = dict(store.ways)
        self.memory = Memory(MEMORY, LANE, FEW)
        self.machine = self.new_machine()
        self.lanes: dict[str, Lane] = {}
        self.writing: set[str] = set()
        self.unwritten: list[Settle] = []
        self.is_settling = False
        self._missed: list[Callable[[], None]] = []
        self._tick: float | None = None
        self._survey = ""

    def new_machine(self) -> Machine:
        """The machine; a mutant has another one."""
        return Machine(self.name, lambda one: self.ways.get(one), self.memory, Bounds(UNSETTLED, IDLE, PAGE))

    # Its life

    def stop(self) -> None:
        """SIGSTOP: what comes in waits."""
        self.is_stopped = True

    def go_on(self) -> None:
        """SIGCONT."""
        self.is_stopped = False
        missed, self._missed = self._missed, []
        for one in missed:
            self.later(0.0, one)

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Plans something that this process does, if it lives."""

        def act() -> None:
            if self.is_stopped:
                self._missed.append(act)
            elif not self.is_dead:
                what()
                self.perform()

        self.time.after(seconds, act)

    def call(self, apply: Callable[[], Any], done: Callable[[Any], None], *, pause: float = 0.1) -> None:
        """A call of the store, repeated until there is an answer; it may take effect more than once."""
        r, trouble = self.time.r, self.trouble

        def serve() -> None:
            if r.random() < trouble.error:
                self.later(pause, again)
                return
            answer = apply()
            if r.random() < trouble.lost:
                self.later(pause, again)
            else:
                self.later(r.random() * 0.01, lambda: done(answer))

        def again() -> None:
            self.call(apply, done, pause=min(2 * pause, 2.0))

        self.time.after(r.random() * 0.01, serve)

    # What it writes

    def write(self, entity_id: str) -> None:
        """A change of an entity, due to some subscriptions."""
        if entity_id in self.writing or self.is_dead:
            return
        self.writing.add(entity_id)
        self.later(0.0, lambda: self._read(entity_id))

    def _read(self, entity_id: str) -> None:
        def read() -> Any:
            return self.store.revs.get(entity_id, 0), dict(self.store.ways), self.store.earlier(entity_id)

        self.call(read, lambda found: self._commit(entity_id, *found))

    def _commit(
        self, entity_id: str, rev: int, ways: dict[str, Way], pending: tuple[list[Entry], bool]
    ) -> None:
        """A guarded update, which is retryable: its outcome is told, however long that takes."""
        self.learn(ways)
        r, now = self.time.r, round((self.time.now + self.skew) * 1e6)
        mine = max(now, rev + 1)
        active = sorted(one for one, way in ways.items() if not way.is_paused)
        due = frozenset(r.sample(active, r.randint(1, len(active)))) if active else frozenset()
        record = Record(f"{mine:016x}{self.name}", mine, round(self.time.now * 1e6), self.name, set(due), due)
        outcome: list[bool] = []
        asked = self.time.now

        def apply() -> object:
            if not outcome:
                outcome.append(self.store.revs.get(entity_id, 0) == rev)
                if outcome[0]:
                    self.store.revs[entity_id] = mine
                    if due:
                        self.store.append(entity_id, record)
                        self.receivers.expect(entity_id, record)
            return outcome[0]

        def done(is_through: object) -> None:
            if not is_through:
                return self._read(entity_id)
            self.writing.discard(entity_id)
            if self.time.now - asked > _LATE:
                self.store.late.add(record.id)
            if due:
                self.announce(self._announced(entity_id, record), *pending)

        self.call(apply, done)

    def _announced(self, entity_id: str, record: Record) -> Entry:
        return Entry(record.id, TENANT, entity_id, record.rev, record.at, self.name, set(record.wanted), {})

    def announce(self, entry: Entry, earlier: list[Entry], is_whole: bool) -> None:
        """The machine hears of a commit."""
        self.machine.committed(entry, earlier, is_whole, self.time.now)

    # What it knows

    def learn(self, ways: dict[str, Way]) -> None:
        """The subscriptions, as they were in the store."""
        old, self.ways = self.ways, dict(ways)
        for one, way in old.items():
            if (new := ways.get(one)) != way:
                self.machine.changed(one, way, new)

    def refresh(self) -> None:
        """Asks for the subscriptions."""
        self.call(lambda: dict(self.store.ways), lambda ways: self.learn(ways))

    def lapse(self) -> None:
        """It finds that its lease ran out."""
        self.machine.lapsed()
        self.survey("")

    def survey(self, after: str | None = None) -> None:
        """Rechecks for own entries: from an entity on all, or one page of them now and then."""
        is_all = after is not None
        start = self._survey if after is None else after

        def read() -> Any:
            return dict(self.store.ways), self.store.page(self.name, start, None, PAGE)

        def done(found: Any) -> None:
            ways, page = found
            self.learn(ways)
            for entity_id, subscriptions in page:
                self.machine.found(entity_id, subscriptions, is_adopted=is_all)
            rest = page[-1][0] if len(page) == PAGE else ""
            if not is_all:
                self._survey = rest
            elif rest:
                self.survey(rest)

        self.call(read, done)

    # What it does

    def perform(self) -> None:
        """Does what the machine wants."""
        effects, self.machine.effects = self.machine.effects, []
        for one in effects:
            self._perform(one)
        if effects:
            self._check()
        at = self.machine.next_tick
        if at is not None and (self._tick is None or at < self._tick):
            self._tick = at
            self.later(max(0.0, at - self.time.now), self._ticked)

    def _ticked(self) -> None:
        self._tick = None
        self.machine.tick(self.time.now)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Offer(stream):
                self._offer(stream)
            case Withdraw(stream, uri):
                self.lanes[uri].ready.remove(stream)
            case Settle():
                self._over(effect)
            case Load():
                self._load(effect)
            case Fill():
                self._fill(effect)
            case Forget(subscription):
                self.call(
                    lambda: self.store.forget(self.name, subscription),
                    lambda _: self.machine.forgotten(subscription),
                )
            case Proceed():
                for lane in self.lanes.values():
                    self._start(lane)

    def _offer(self, stream: Stream) -> None:
        lane = self.lanes.setdefault(stream.buffer.uri, Lane())
        if stream in lane.ready:
            raise Violation("a stream is offered twice")
        lane.ready.append(stream)
        self.later(0.0, lambda: self._start(lane))

    def _load(self, load: Load) -> None:
        self.call(
            lambda: self.store.load(
                load.entity_id, load.subscriptions, load.after, is_recheck=load.is_recheck
            ),
            lambda found: self.machine.loaded(load.entity_id, found[0], found[1], self.time.now),
        )

    def _fill(self, fill: Fill) -> None:
        self.call(
            lambda: [e for e, _ in self.store.page(self.name, fill.after, fill.subscriptions, fill.limit)],
            lambda page: self.machine.filled(fill.uri, page, is_last=len(page) < fill.limit),
        )

    def _over(self, effect: Settle) -> None:
        if effect.reason is not None:
            self.receivers.end(effect.entry, effect.subscription)
        self.unwritten.append(effect)
        if not self.is_settling:
            self.is_settling = True
            self.later(_BATCH, self.settle)

    def settle(self) -> None:
        """Writes down what is over, over and over until it is."""
        batch, self.unwritten = self.unwritten, []

        def apply() -> object:
            for one in self.time.r.sample(batch, len(batch)):
                self.store.remove(one.entry.entity_id, one.entry.id, one.subscription)
                if self.time.r.random() < self.trouble.error / 2:
                    return False  # a part of it
            return True

        def done(is_through: object) -> None:
            if not is_through:
                return self.call(apply, done)
            self.machine.settled(batch)
            self.is_settling = bool(self.unwritten)
            if self.is_settling:
                self.later(_BATCH, self.settle)

        self.call(apply, done)

    def _start(self, lane: Lane) -> None:
        limit = 1 if lane.failures else CONCURRENCY
        while lane.ready and lane.sending < limit and not lane.is_resting and not self.machine.is_stalled:
            stream = lane.ready.popleft()
            if stream.state is not State.OFFERED:
                raise Violation("what is not offered is sent")
            way = self.ways.get(stream.subscription)
            if way is None or way.is_paused or way.uri != stream.buffer.uri:
                raise Violation("a subscription is told that is paused, gone or elsewhere")
            self.machine.started(stream)
            lane.sending += 1
            self._send(lane, stream, stream.entry, stream.buffer.uri)

    def _send(self, lane: Lane, stream: Stream, entry: Entry, uri: str) -> None:
        r = self.time.r
        how = self.receivers.behaviour.get(uri, "well")
        if how == "moody":
            how = r.choice(("well", "dead", "slow", "late", "refuses"))
        delay = r.random() * (2.0 if how in ("slow", "late") else 0.02)
        taken = replace(entry, subscriptions=set())

        def arrive() -> None:
            if how in ("well", "slow", "late"):
                self.receivers.take(taken, stream.subscription, is_certain=how != "late")

        def answer() -> None:
            lane.sending -= 1
            if how in ("well", "slow"):
                lane.failures = 0
                self.machine.taken(stream, self.time.now)
            elif how == "refuses":
                lane.failures = 0
                self.machine.taken(stream, self.time.now, "refused")
            else:
                self._failed(lane, stream, uri)
            self._start(lane)

        self.time.after(delay, arrive)
        self.later(delay + r.random() * 0.01, answer)

    def _failed(self, lane: Lane, stream: Stream, uri: str) -> None:
        self.machine.failed(stream, self.time.now)
        oldest = round((self.time.now - AGE) * 1e6)
        self.machine.expired(uri, oldest, "too old", self.time.now)
        if not lane.is_resting:
            lane.failures += 1
            lane.is_resting = True

            def rested() -> None:
                lane.is_resting = False
                self._start(lane)

            self.later(min(0.1 * 2**lane.failures, 3.0), rested)

    # What must hold

    def _check(self) -> None:
        book = self.machine._table
        if self.memory.held > MEMORY + (FEW + CONCURRENCY) * len(book.buffers):
            raise Violation(f"{self.memory.held} deliveries in memory")
        if any(stock.held > LANE + CONCURRENCY for stock in book.buffers.values()):
            raise Violation("a lane holds too much")
        streams = sum(len(line.streams) for line in book.lines.values())
        busy = self.memory.held + self.machine.unsettled
        loading = sum(len(line.streams) for line in book.lines.values() if not line.is_quiet)
        if streams > IDLE + busy + loading:
            raise Violation(f"{streams} streams in memory, {busy} of them busy")

    def check_rest(self) -> None:
        """Nothing is left in memory but what is idle."""
        book = self.machine._table
        held = sum(stream.places for line in book.lines.values() for stream in line.streams.values())
        if held != self.memory.held or held != sum(stock.held for stock in book.buffers.values()):
            raise Violation(f"{self.memory.held} deliveries are counted, {held} are there")
        if held or self.machine.unsettled or any(stock.is_behind for stock in book.buffers.values()):
            raise Violation(f"{self.name} does not come to rest")
        if any(lane.ready or lane.sending for lane in self.lanes.values()):
            raise Violation(f"a lane of {self.name} does not come to rest")
