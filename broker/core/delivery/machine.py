"""The machine: the deliveries of one tenant in one process. Its events are methods; they add effects."""

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
    """The reply to a load while the machine reads it. All dicts and sets are by subscription.

    - `asked`: see `Line`. `last`: the rev of the last loaded entry. `is_whole`: no entries follow it.
    - `stopped`: the streams that take no more of its entries; True if an entry of another process comes next.
    - `ahead`: the rev of that entry. `more`: the streams with entries of this process after that entry.
    """

    asked: dict[str, int]
    last: int
    is_whole: bool
    stopped: dict[str, bool] = field(default_factory=dict)
    ahead: dict[str, int] = field(default_factory=dict)
    more: set[str] = field(default_factory=set)

    def complete_up_to(self, subscription: str) -> int:
        """The rev up to which the reply has all that is pending for a subscription."""
        return max(self.last, self.asked[subscription]) if self.is_whole else self.last


class Machine(MachineBase):
    """Decides what is sent, loaded and settled. `now` is in seconds of a monotonic clock, everywhere."""

    # What is pending

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool, now: float) -> None:
        """Event: this process committed an entry; `earlier`: the entity's pending entries then, in order.

        `is_whole`: there were no others; else the store has some before `earlier`.
        """
        self._now = now
        line = self._table.line(entry.entity_id)
        start = 0 if is_whole else earlier[0].rev if earlier else entry.rev
        last = {subscription: before for before in earlier for subscription in before.subscriptions}
        for subscription in tuple(entry.subscriptions):
            stream = self._admitted(line, entry, subscription)
            if stream is not None:
                before = last.get(subscription)
                is_gap = before is not None and before.rev > stream.known
                stream.append(entry, is_known=stream.known >= start and not is_gap)
                self._advance(stream, foreign=before is not None and before.by != self._process)
        self._tidy(line)

    def loaded(self, entity_id: str, entries: Sequence[Entry], is_whole: bool, now: float) -> None:
        """Event: the reply to `Load`, in order. `is_whole`: no entries of the load follow these."""
        self._now = now
        line = self._table.lines[entity_id]
        reply = LoadReply(line.answered(), entries[-1].rev if entries else 0, is_whole)
        for stream in filter(None, map(line.streams.get, reply.asked)):
            self._unblock(stream)
            stream.expect_more(False)
        for entry in entries:
            for subscription in entry.subscriptions & reply.asked.keys():
                if subscription not in reply.stopped:
                    self._take(line, entry, subscription, reply)
                elif reply.stopped[subscription] and entry.by == self._process:
                    reply.more.add(subscription)
        line.see(reply.ahead)
        for subscription in reply.asked:
            self._conclude(line, subscription, reply)
        self._tidy(line)

    def filled(self, uri: str, page: list[str], *, is_last: bool) -> None:
        """Event: the page that `Fill` asked for. `is_last`: no entities follow these."""
        buffer = self._table.buffers[uri]
        buffer.turn(page, is_last=is_last)
        for entity_id in list(buffer.loading):
            line = self._table.line(entity_id)
            line.wanted |= buffer.round
            line.fillers[buffer] = None
            self._tidy(line)
        self._tend(buffer)

    def found(self, entity_id: str, subscriptions: Collection[str], *, is_adopted: bool) -> None:
        """Event: the store has entries of this process, of one entity, for these subscriptions.

        `is_adopted`: all these streams are loaded, since any entry after `known` may have been adopted. Else
        only those that are idle (`Stream.is_idle`), and that no search will find.
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
        """Event: time passes. Loads again what waits for other processes, and ends the pauses of searches."""
        self._now = now
        for item in self._rechecks.take(now):
            if isinstance(item, Line):
                item.wanted |= item.waiting
                self._tidy(item)
            elif isinstance(item, LaneBuffer):
                item.is_rested = True
                self._tend(item)

    @property
    def next_tick(self) -> float | None:
        """When to call `tick`; None if nothing waits for time."""
        return self._rechecks.next

    # Attempts, and what is settled

    @property
    def is_stalled(self) -> bool:
        """Whether lanes must not start deliveries: too many are over and not settled."""
        return self.unsettled >= self._bounds.unsettled

    def started(self, stream: Stream) -> None:
        """Event: the first entry of an offered stream is being sent."""
        stream.state = State.SENDING

    def taken(self, stream: Stream, now: float, reason: str | None = None) -> None:
        """Event: what was started was delivered; with a `reason`, it is a dead letter instead."""
        self._now = now
        self._over(stream.pop(), stream.subscription, stream, reason)
        self._go_on(stream)

    def failed(self, stream: Stream, now: float) -> None:
        """Event: what was started failed. It is offered again, unless its subscription is paused or gone."""
        self._now = now
        stream.state = State.RESTING
        route = self._route(stream.subscription)
        if route is None or route.is_paused:
            self._leave(stream, 0)
        self._go_on(stream)

    def expired(self, uri: str, oldest: int, reason: str, now: float) -> None:
        """Event: the lane of `uri` failed. Its entries older than `oldest` (µs) become dead letters.

        Only entries that may be sent, from the first of each stream on, and none that is being sent.
        """
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
        """Event: these are written down. No load that begins from now on shows them."""
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
        """Event: a subscription changed its endpoint, is paused or active again, or is gone (None)."""
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
            buffer.next_round.add(subscription)
            self._tend(buffer)
        self._table.evict()

    def forgotten(self, subscription: str) -> None:
        """Event: what `Forget` asked for is done."""
        self._forgetting.discard(subscription)

    def lapsed(self) -> None:
        """Event: the lease of this process ran out, so other processes may have adopted its entries.

        Drops all that is not being sent. What still belongs to this process is found again in the store.
        """
        for buffer in list(self._table.buffers.values()):
            for subscription in list(buffer.streams):
                self._release(subscription, buffer.uri)
        self._table.evict()

    # Steps of the events

    def _admitted(self, line: Line, entry: Entry, subscription: str) -> Stream | None:
        """The stream that a committed entry is to be added to.

        None if the entry is over for the subscription, stays in the store, or is in memory already. Settles
        it if the subscription is gone; notes for the search that it stays in the store.
        """
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

    def _take(self, line: Line, entry: Entry, subscription: str, reply: LoadReply) -> None:
        """Adds a loaded entry to its stream, or notes that the stream takes no more of the load."""
        route = self._route(subscription)
        if route is None or route.is_paused:
            reply.stopped[subscription] = False
            return
        stream = self._table.stream(line, subscription, route.uri)
        if entry.rev <= stream.known:
            return
        if entry.by != self._process:
            reply.stopped[subscription] = True
            reply.ahead[subscription] = entry.rev
        elif self._makes_room(stream, entry):
            stream.insert(entry)
            stream.buffer.is_fruitful = True
        else:
            reply.stopped[subscription] = False

    def _conclude(self, line: Line, subscription: str, reply: LoadReply) -> None:
        """Ends a load for one stream: raises `known`, asks for the rest if there is more, and moves on."""
        stream, route = line.streams.get(subscription), self._route(subscription)
        is_blocked = reply.stopped.get(subscription, False)
        if subscription not in reply.stopped:
            if not reply.is_whole and route is not None and not route.is_paused:
                stream = self._table.stream(line, subscription, route.uri)
                line.wanted.add(subscription)
            if stream is not None:
                stream.known = max(stream.known, reply.complete_up_to(subscription))
        if stream is not None:
            if not is_blocked:
                line.pause = SHORTEST
            may_be_more = is_blocked and (subscription in reply.more or not reply.is_whole)
            self._expect(stream, may_be_more and not stream.waits)
            self._advance(stream, foreign=is_blocked)
