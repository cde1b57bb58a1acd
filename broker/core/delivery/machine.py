"""The machine: the deliveries of one tenant in one process. Events are methods, and lead to effects."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from broker.core.delivery.effects import Proceed, Settle
from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import LaneBuffer
from broker.core.delivery.machine_base import MachineBase, Route
from broker.core.delivery.rechecks import SHORTEST
from broker.core.delivery.stream import Line, State, Stream


@dataclass(slots=True)
class LoadReply:
    """What a load tells: up to the rev `last`, or all there is.

    `asked`: see `Line`. `stopped`: the streams that take no more of it, and whether that is because another
    process comes first; `ahead`: the revs of what that one has first; `more`: those of them that have own
    entries after that.
    """

    asked: dict[str, int]
    last: int
    is_whole: bool
    stopped: dict[str, bool] = field(default_factory=dict)
    ahead: dict[str, int] = field(default_factory=dict)
    more: set[str] = field(default_factory=set)

    def tells_up_to(self, subscription: str) -> int:
        """The rev up to which it tells all that is pending."""
        return max(self.last, self.asked[subscription]) if self.is_whole else self.last


class Machine(MachineBase):
    """Knows what may be sent, and what is settled. Times are in seconds."""

    # What is pending

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool, now: float) -> None:
        """This process committed an entry; `earlier`: what was pending of the entity then, in order.

        Not `is_whole`: the store holds still earlier ones.
        """
        self._now = now
        line = self._table.line(entry.entity_id)
        start = 0 if is_whole else earlier[0].rev if earlier else entry.rev
        last = {one: before for before in earlier for one in before.subscriptions}
        for subscription in tuple(entry.subscriptions):
            stream = self._admitted(line, entry, subscription)
            if stream is not None:
                before = last.get(subscription)
                is_gap = before is not None and before.rev > stream.known
                stream.append(entry, is_known=stream.known >= start and not is_gap)
                self._advance(stream, foreign=before is not None and before.by != self._process)
        self._tidy(line)

    def loaded(self, entity_id: str, entries: Sequence[Entry], is_whole: bool, now: float) -> None:
        """What `Load` asked for, in order; not `is_whole`: there is more after these."""
        self._now = now
        line = self._table.lines[entity_id]
        answer = LoadReply(line.answered(), entries[-1].rev if entries else 0, is_whole)
        for stream in filter(None, map(line.streams.get, answer.asked)):
            self._unblock(stream)
            stream.expect_more(False)
        for entry in entries:
            for subscription in entry.subscriptions & answer.asked.keys():
                if subscription not in answer.stopped:
                    self._take(line, entry, subscription, answer)
                elif answer.stopped[subscription] and entry.by == self._process:
                    answer.more.add(subscription)
        line.see(answer.ahead)
        for subscription in answer.asked:
            self._conclude(line, subscription, answer)
        self._tidy(line)

    def filled(self, uri: str, page: list[str], *, is_last: bool) -> None:
        """What `Fill` asked for; `is_last`: there are no more entities after these."""
        buffer = self._table.buffers[uri]
        buffer.turn(page, is_last=is_last)
        for entity_id in list(buffer.loading):
            line = self._table.line(entity_id)
            line.wanted |= buffer.round
            line.fillers[buffer] = None
            self._tidy(line)
        self._tend(buffer)

    def found(self, entity_id: str, subscriptions: Collection[str], *, is_adopted: bool) -> None:
        """The store holds entries of this process that are due to these; what is not in memory is loaded.

        `is_adopted`: that may be anything after what is known, else only where nothing is pending so far.
        """
        line = self._table.line(entity_id)
        for subscription in subscriptions:
            route, stream = self._route(subscription), line.streams.get(subscription)
            if route is None:
                self._forget(subscription)
            elif not route.is_paused:
                buffer = self._table.buffer(route.uri)
                is_covered = buffer.seeks(subscription) or (stream is not None and not stream.is_idle)
                if is_adopted or not is_covered:
                    line.wanted.add(subscription)
                self._table.clear(buffer)
        self._tidy(line)

    def tick(self, now: float) -> None:
        """Time passes: rechecks again at what other processes have to deliver first."""
        self._now = now
        for one in self._looks.take(now):
            if isinstance(one, Line):
                one.wanted |= one.waiting
                self._tidy(one)
            elif isinstance(one, LaneBuffer):
                one.is_rested = True
                self._tend(one)

    @property
    def next_tick(self) -> float | None:
        """When `tick` is to be called, if ever."""
        return self._looks.next

    # What becomes of it

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is to be started: too much is over and not settled."""
        return self.unsettled >= self._bounds.unsettled

    def started(self, stream: Stream) -> None:
        """The first entry of a stream that was offered is being sent."""
        stream.state = State.SENDING

    def taken(self, stream: Stream, now: float, reason: str | None = None) -> None:
        """What was started was taken, or refused for good: that is the reason."""
        self._now = now
        self._over(stream.pop(), stream.subscription, stream, reason)
        self._go_on(stream)

    def failed(self, stream: Stream, now: float) -> None:
        """What was started failed. Its turn comes again, unless the subscription is paused or gone by now."""
        self._now = now
        stream.state = State.RESTING
        route = self._route(stream.subscription)
        if route is None or route.is_paused:
            self._leave(stream, 0)
        self._go_on(stream)

    def expired(self, uri: str, oldest: int, reason: str, now: float) -> None:
        """The lane failed: what is older than this (µs), and first in its stream, becomes a dead letter."""
        self._now = now
        buffer = self._table.buffers.get(uri)
        for stream in list(buffer.all()) if buffer is not None else ():
            while stream.is_free and stream.state is not State.SENDING:
                if stream.entry.at >= oldest:
                    break
                self._withdraw(stream)
                self._over(stream.pop(), stream.subscription, stream, reason)
            self._go_on(stream)

    def settled(self, effects: Sequence[Settle]) -> None:
        """These are written down: no load that begins from now on shows them."""
        was_stalled = self.is_stalled
        self.unsettled -= len(effects)
        for effect in effects:
            if effect.stream is not None:
                effect.stream.unsettled -= 1
                self._table.rest(effect.stream)
        self._table.evict()
        if was_stalled and not self.is_stalled:
            self.effects.append(Proceed())

    # Subscriptions

    def changed(self, subscription: str, before: Route, after: Route | None) -> None:
        """A subscription has another endpoint, is paused or active again, or is gone."""
        if after is None:
            self._release(subscription, before.uri)
            self._table.evict()
            return self._forget(subscription)
        if (after.uri, after.is_paused) == (before.uri, before.is_paused):
            return
        self._release(subscription, before.uri)
        if after.uri != before.uri:
            self._move(subscription, before.uri, after.uri)
        if not after.is_paused:
            buffer = self._table.buffer(after.uri)
            buffer.again.add(subscription)
            self._tend(buffer)
        self._table.evict()

    def forgotten(self, subscription: str) -> None:
        """What `Forget` asked for is done."""
        self._forgetting.discard(subscription)

    def lapsed(self) -> None:
        """Others may have taken over what is this process's: leaves all that is not being sent to the store.

        What is still to be delivered here is found again.
        """
        for buffer in list(self._table.buffers.values()):
            for subscription in list(buffer.streams):
                self._release(subscription, buffer.uri)
        self._table.evict()

    # How it is done

    def _admitted(self, line: Line, entry: Entry, subscription: str) -> Stream | None:
        """The stream that takes an entry just committed; None if it is over, left in the store, or here."""
        stream = line.streams.get(subscription)
        if stream is not None and (entry.rev <= stream.known or stream.has(entry)):
            return None
        route = self._route(subscription)
        if route is None:
            self._over(entry, subscription, None, None)
            return None
        buffer = self._table.buffer(route.uri)
        is_here = stream is not None and bool(stream.entries)
        if route.is_paused or not buffer.admits(subscription, line.entity_id, is_here=is_here):
            if not route.is_paused:
                buffer.leave(subscription, line.entity_id)
                self._searching[buffer] = None
            return None
        return self._table.stream(line, subscription, route.uri)

    def _take(self, line: Line, entry: Entry, subscription: str, answer: LoadReply) -> None:
        """Takes a loaded entry into its stream, or notes that the stream takes no more of the load."""
        route = self._route(subscription)
        if route is None or route.is_paused:
            answer.stopped[subscription] = False
            return
        stream = self._table.stream(line, subscription, route.uri)
        if entry.rev <= stream.known:
            return
        if entry.by != self._process:
            answer.stopped[subscription] = True
            answer.ahead[subscription] = entry.rev
        elif self._makes_room(stream, entry):
            stream.insert(entry)
            stream.buffer.is_fruitful = True
        else:
            answer.stopped[subscription] = False

    def _conclude(self, line: Line, subscription: str, answer: LoadReply) -> None:
        """What a load tells of a stream, beyond its entries. If it was not the whole, more is loaded."""
        stream, route = line.streams.get(subscription), self._route(subscription)
        is_blocked = answer.stopped.get(subscription, False)
        if subscription not in answer.stopped:
            if not answer.is_whole and route is not None and not route.is_paused:
                stream = self._table.stream(line, subscription, route.uri)
                line.wanted.add(subscription)
            if stream is not None:
                stream.known = max(stream.known, answer.tells_up_to(subscription))
        if stream is not None:
            if not is_blocked:
                line.pause = SHORTEST
            may_be_more = is_blocked and (subscription in answer.more or not answer.is_whole)
            self._expect(stream, may_be_more and not stream.waits)
            self._advance(stream, foreign=is_blocked)
