"""The machine against a model: one process and the store, in steps of Hypothesis' choice.

The simulation has more workers and faults; here every interleaving is as likely as any other, and a failure
shrinks to a few steps. What the machine asks for is done in two steps: the store is read, or written, in one
and the machine hears of it in another.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.core.delivery.effects import Effect, Fill, Forget, Load, Offer, Settle, Withdraw
from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import Memory
from broker.core.delivery.machine import Machine
from broker.core.delivery.machine_base import Bounds
from broker.core.delivery.stream import State, Stream
from tests.simulation.world import TENANT, Receivers, Record, Store, Way

ME, OTHER = "p1", "p2"
entities, subscriptions = st.sampled_from(["e1", "e2"]), st.sampled_from(["s1", "s2", "s3"])
uris = st.sampled_from(["u1", "u2"])
number = st.integers(0, 100)


class Deliveries(RuleBasedStateMachine):
    """The machine of process p1; p2 commits, too, and what is p2's is settled or adopted."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store({one: Way("u1") for one in ("s1", "s2", "s3")})
        self.receivers = Receivers(self.store)
        self.memory = Memory(4, 3, 1)
        self.machine = Machine(ME, self.store.ways.get, self.memory, Bounds(unsettled=4, idle=12, page=1))
        self.offered: dict[Stream, None] = {}
        self.sending: list[Stream] = []
        self.unsettled: list[Settle] = []
        self.written: list[Settle] = []
        self.unread: list[Load | Fill] = []
        self.read: list[tuple[Load | Fill, Any]] = []
        self.now, self.rev = 0.0, 0

    def perform(self) -> None:
        """Takes down what the machine wants."""
        effects, self.machine.effects = self.machine.effects, []
        for one in effects:
            self.note(one)

    def note(self, effect: Effect) -> None:
        """Takes one effect down."""
        match effect:
            case Offer(stream):
                assert stream not in self.offered
                self.offered[stream] = None
            case Withdraw(stream):
                del self.offered[stream]
            case Settle():
                if effect.reason is not None:
                    self.receivers.end(effect.entry, effect.subscription)
                self.unsettled.append(effect)
            case Load() | Fill():
                self.unread.append(effect)
            case Forget(subscription):
                self.store.forget(ME, subscription)
                self.machine.forgotten(subscription)

    @rule(entity=entities, due=st.sets(subscriptions, min_size=1), by=st.sampled_from([ME, ME, OTHER]))
    def commit(self, entity: str, due: set[str], by: str) -> None:
        """A process commits."""
        active = {one for one in due if one in self.store.ways and not self.store.ways[one].is_paused}
        if not active:
            return
        self.rev += 1
        earlier, is_whole = self.store.earlier(entity)
        record = Record(f"{self.rev:016x}{by}", self.rev, self.rev, by, set(active), frozenset(active))
        self.store.append(entity, record)
        self.receivers.expect(entity, record)
        if by == ME:
            entry = Entry(record.id, TENANT, entity, self.rev, self.rev, by, set(active), {})
            self.machine.committed(entry, earlier, is_whole, self.now)
            self.perform()

    @rule()
    def other_delivers(self) -> None:
        """The other process delivers the first that it may, and settles it."""
        for entity, records in self.store.pending.items():
            for one in records:
                for who in sorted(one.due) if one.by == OTHER else ():
                    if not any(who in before.due for before in records if before.rev < one.rev):
                        entry = Entry(one.id, TENANT, entity, one.rev, one.at, OTHER, set())
                        self.receivers.take(entry, who, is_certain=True)
                        return self.store.remove(entity, one.id, who)
        return None

    @rule()
    def adopt(self) -> None:
        """What is the other's becomes this process's."""
        for entity in list(self.store.pending):
            self.store.adopt(entity, (OTHER,), ME)
        for entity, due in self.store.page(ME, "", None, 100):
            self.machine.found(entity, due, is_adopted=True)
        self.perform()

    @precondition(lambda self: self.offered and not self.machine.is_stalled)
    @rule(n=number)
    def start(self, n: int) -> None:
        """A lane has a turn for a stream."""
        stream = list(self.offered)[n % len(self.offered)]
        del self.offered[stream]
        assert stream.state is State.OFFERED
        assert self.store.ways[stream.subscription] == Way(stream.buffer.uri)
        self.machine.started(stream)
        self.sending.append(stream)

    @precondition(lambda self: self.sending)
    @rule(n=number, how=st.sampled_from(["taken", "taken", "failed", "refused"]))
    def end(self, n: int, how: str) -> None:
        """An attempt ends."""
        stream = self.sending.pop(n % len(self.sending))
        if how == "taken":
            self.receivers.take(stream.entry, stream.subscription, is_certain=True)
            self.machine.taken(stream, self.now)
        elif how == "refused":
            self.machine.taken(stream, self.now, "refused")
        else:
            self.machine.failed(stream, self.now)
        self.perform()

    @rule(uri=uris)
    def expire(self, uri: str) -> None:
        """A lane fails, and what is older than the last few commits is too old."""
        self.machine.expired(uri, self.rev - 5, "too old", self.now)
        self.perform()

    @precondition(lambda self: self.unsettled)
    @rule(n=number)
    def write(self, n: int) -> None:
        """The store takes down that something is over."""
        one = self.unsettled.pop(n % len(self.unsettled))
        self.store.remove(one.entry.entity_id, one.entry.id, one.subscription)
        self.written.append(one)

    @precondition(lambda self: self.written)
    @rule()
    def settle(self) -> None:
        """The machine hears of it."""
        written, self.written = self.written, []
        self.machine.settled(written)
        self.perform()

    @precondition(lambda self: self.unread)
    @rule(n=number)
    def look(self, n: int) -> None:
        """The store is read."""
        one = self.unread.pop(n % len(self.unread))
        if isinstance(one, Load):
            self.read.append(
                (one, self.store.load(one.entity_id, one.subscriptions, one.after, is_recheck=one.is_recheck))
            )
        else:
            page = self.store.page(ME, one.after, one.subscriptions, one.limit)
            self.read.append((one, [entity for entity, _ in page]))

    @precondition(lambda self: self.read)
    @rule(n=number)
    def answer(self, n: int) -> None:
        """The machine hears of it."""
        one, found = self.read.pop(n % len(self.read))
        if isinstance(one, Load):
            entries, is_whole = found
            self.machine.loaded(one.entity_id, entries, is_whole, self.now)
        else:
            self.machine.filled(one.uri, found, is_last=len(found) < one.limit)
        self.perform()

    @rule()
    def tick(self) -> None:
        """Time passes."""
        self.now += 1.0
        self.machine.tick(self.now)
        self.perform()

    @rule(who=subscriptions, uri=uris, is_paused=st.booleans())
    def change(self, who: str, uri: str, is_paused: bool) -> None:
        """A subscription is changed."""
        if (before := self.store.ways.get(who)) is not None:
            self.store.ways[who] = Way(uri, is_paused)
            self.machine.changed(who, before, self.store.ways[who])
            self.perform()

    @precondition(lambda self: len(self.store.ways) > 1)
    @rule(who=subscriptions)
    def delete(self, who: str) -> None:
        """A subscription is deleted."""
        if (before := self.store.ways.pop(who, None)) is not None:
            self.machine.changed(who, before, None)
            self.perform()

    @rule()
    def lapse(self) -> None:
        """Its lease ran out, and nobody noticed before it did itself."""
        self.machine.lapsed()
        for entity, due in self.store.page(ME, "", None, 100):
            self.machine.found(entity, due, is_adopted=True)
        self.perform()

    @invariant()
    def memory_is_bounded(self) -> None:
        """No more is held than may be, but for what was on its way when it was moved."""
        buffers = self.machine._table.buffers.values()
        assert self.memory.held == sum(stock.held for stock in buffers)
        assert self.memory.held <= 4 + len(buffers) + len(self.sending)
        blocked = sum(stream.places for stock in buffers for stream in stock.waiting)
        assert blocked == sum(stock.blocked for stock in buffers)

    def teardown(self) -> None:
        """When all goes well, everything comes to an end."""
        for who, way in list(self.store.ways.items()):
            self.change(who, way.uri, is_paused=False)
        for _ in range(1000):
            self.adopt()
            if not self.store.pending:
                break
            self.go_on()
        assert not self.store.pending, "it does not end"
        self.receivers.check_all(self.store.ways.keys())

    def go_on(self) -> None:
        """One round in which everything is done that can be."""
        self.tick()
        while self.unread:
            self.look(0)
        while self.read:
            self.answer(0)
        while self.offered and not self.machine.is_stalled:
            self.start(0)
        while self.sending:
            self.end(0, "taken")
        while self.unsettled:
            self.write(0)
        self.settle()


Deliveries.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestDeliveries = Deliveries.TestCase
