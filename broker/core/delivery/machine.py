"""The machine: the deliveries of one tenant in one process. Events are methods; what they ask for are effects."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core.delivery.book import Book
from broker.core.delivery.effects import Effect, Fill, Forget, Load, Offer, Proceed, Settle, Withdraw
from broker.core.delivery.entry import Entry
from broker.core.delivery.looks import SHORTEST, Looks
from broker.core.delivery.stock import Memory, Stock
from broker.core.delivery.stream import Line, State, Stream


class Route(Protocol):
    """Where what is due to a subscription goes; while it is paused, that stays in the store."""

    @property
    def uri(self) -> str: ...

    @property
    def is_paused(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one machine: deliveries that may be over and not settled, streams remembered that have nothing
    pending, and entities in one page of the store."""

    unsettled: int = 20_000
    idle: int = 20_000
    page: int = 100


class Machine:
    """Knows what may be sent, and what is settled.

    `process` is its own name; `route` gives where a subscription's deliveries go now, None if it is gone. What
    an event asks for is in `effects` after it. Times are in seconds.
    """

    def __init__(
        self, process: str, route: Callable[[str], Route | None], memory: Memory, bounds: Bounds
    ) -> None:
        self._process = process
        self._route = route
        self._bounds = bounds
        self._book = Book(memory, bounds.idle)
        self._looks = Looks()
        self._now = 0.0
        self._searching: dict[Stock, None] = {}  # those that may have to begin a search
        self._forgetting: set[str] = set()
        self.unsettled = 0
        self.effects: list[Effect] = []

    # What is pending

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool, now: float) -> None:
        """This process committed an entry; `earlier`: what was pending of the entity then, in order.

        Not `is_whole`: the store holds still earlier ones.
        """
        self._now = now
        line = self._book.line(entry.entity_id)
        start = 0 if is_whole else earlier[0].rev if earlier else entry.rev
        last = {one: before for before in earlier for one in before.due}
        for subscription in tuple(entry.due):
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
        line = self._book.lines[entity_id]
        asked = line.answered()
        for subscription in asked:
            if (stream := line.streams.get(subscription)) is not None:
                self._unblock(stream)
                stream.expect_more(False)
        stopped: dict[str, bool] = {}  # the streams that take no more of it: whether another process is first
        more = set[str]()  # those of them with own entries after that
        for entry in entries:
            for subscription in entry.due & asked.keys():
                if subscription not in stopped:
                    self._take(line, entry, subscription, stopped)
                elif stopped[subscription] and entry.by == self._process:
                    more.add(subscription)
        last = entries[-1].rev if entries else 0
        for subscription, rev in asked.items():
            if subscription not in stopped:
                self._learn(line, subscription, max(last, rev) if is_whole else last, is_whole)
            if (stream := line.streams.get(subscription)) is not None:
                is_foreign = stopped.get(subscription, False)
                if not is_foreign:
                    line.pause = SHORTEST
                self._expect(stream, is_foreign and (subscription in more or not is_whole))
                self._advance(stream, foreign=is_foreign)
        self._tidy(line)

    def filled(self, uri: str, page: list[str], *, is_last: bool) -> None:
        """What `Fill` asked for; `is_last`: there are no more entities after these."""
        stock = self._book.stocks[uri]
        stock.turn(page, is_last=is_last)
        for entity_id in list(stock.loading):
            line = self._book.line(entity_id)
            line.wanted |= stock.round
            line.fillers[stock] = None
            self._tidy(line)
        self._tend(stock)

    def found(self, entity_id: str, subscriptions: Collection[str], *, is_adopted: bool) -> None:
        """The store holds entries of this process that are due to these; what is not in memory is loaded.

        `is_adopted`: that may be anything after what is known, else only where nothing is pending so far.
        """
        line = self._book.line(entity_id)
        for subscription in subscriptions:
            route, stream = self._route(subscription), line.streams.get(subscription)
            if route is None:
                self._forget(subscription)
            elif not route.is_paused:
                stock = self._book.stock(route.uri)
                is_covered = stock.seeks(subscription) or (stream is not None and not stream.is_idle)
                if is_adopted or not is_covered:
                    line.wanted.add(subscription)
                self._book.clear(stock)
        self._tidy(line)

    def tick(self, now: float) -> None:
        """Time passes: looks again at what other processes have to deliver first."""
        self._now = now
        for one in self._looks.take(now):
            if isinstance(one, Line):
                one.wanted |= one.waiting
                self._tidy(one)
            elif isinstance(one, Stock):
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
        stock = self._book.stocks.get(uri)
        for stream in list(stock.all()) if stock is not None else ():
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
                self._book.rest(effect.stream)
        self._book.evict()
        if was_stalled and not self.is_stalled:
            self.effects.append(Proceed())

    # Subscriptions

    def changed(self, subscription: str, before: Route, after: Route | None) -> None:
        """A subscription has another endpoint, is paused or active again, or is gone."""
        if after is None:
            self._release(subscription, before.uri)
            self._book.evict()
            return self._forget(subscription)
        if (after.uri, after.is_paused) == (before.uri, before.is_paused):
            return
        self._release(subscription, before.uri)
        if after.uri != before.uri:
            self._move(subscription, before.uri, after.uri)
        if not after.is_paused:
            stock = self._book.stock(after.uri)
            stock.again.add(subscription)
            self._tend(stock)
        self._book.evict()

    def forgotten(self, subscription: str) -> None:
        """What `Forget` asked for is done."""
        self._forgetting.discard(subscription)

    def lapsed(self) -> None:
        """Others may have taken over what is this process's: leaves all that is not being sent to the store.

        What is still to be delivered here is found again.
        """
        for stock in list(self._book.stocks.values()):
            for subscription in list(stock.streams):
                self._release(subscription, stock.uri)
        self._book.evict()

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
        stock = self._book.stock(route.uri)
        is_here = stream is not None and bool(stream.entries)
        if route.is_paused or not stock.admits(subscription, line.entity_id, is_here=is_here):
            if not route.is_paused:
                stock.leave(subscription, line.entity_id)
                self._searching[stock] = None
            return None
        return self._book.stream(line, subscription, route.uri)

    def _take(self, line: Line, entry: Entry, subscription: str, stopped: dict[str, bool]) -> None:
        """Takes a loaded entry into its stream, or notes that nothing more of that is taken."""
        route = self._route(subscription)
        if route is None or route.is_paused:
            stopped[subscription] = False
            return
        stream = self._book.stream(line, subscription, route.uri)
        if entry.rev <= stream.known:
            return
        if entry.by != self._process:
            stopped[subscription] = True
        elif self._makes_room(stream, entry):
            stream.insert(entry)
            stream.stock.is_fruitful = True
        else:
            stopped[subscription] = False

    def _makes_room(self, stream: Stream, entry: Entry) -> bool:
        """Whether there is room for a loaded entry.

        It takes the place of the newest one of its stream, or of streams that wait for another process.
        """
        stock = stream.stock
        if stock.room > 0 or stream.has(entry):
            return True
        if stream.entries and stream.entries[-1].rev > entry.rev:
            stream.drop(len(stream.entries) - 1)
            self._search(stock, stream.subscription)
        while stock.room <= 0 and stock.waiting:
            blocked = next(iter(stock.waiting))
            self._leave(blocked, 0)
            self._book.rest(blocked)
            self._search(stock, blocked.subscription)
        if stock.room <= 0:
            self._search(stock, stream.subscription)
        return stock.room > 0

    def _expect(self, stream: Stream, has_more: bool) -> None:
        """Comes back to what is pending after an entry of another process, or searches for it."""
        if has_more and not stream.has_more and stream.stock.room <= 0:
            self._search(stream.stock, stream.subscription)
        else:
            stream.expect_more(has_more)

    def _learn(self, line: Line, subscription: str, rev: int, is_whole: bool) -> None:
        """What is pending of a stream up to this rev is in memory; if that is not the whole, it loads on."""
        stream, route = line.streams.get(subscription), self._route(subscription)
        if not is_whole and route is not None and not route.is_paused:
            stream = self._book.stream(line, subscription, route.uri)
            line.wanted.add(subscription)
        if stream is not None:
            stream.known = max(stream.known, rev)

    def _go_on(self, stream: Stream) -> None:
        self._advance(stream)
        self._tend(stream.stock)
        self._tidy(stream.line)

    def _advance(self, stream: Stream, *, foreign: bool = False) -> None:
        """Offers the first entry, or sees to what is pending before it; `foreign`: at another process."""
        line, subscription = stream.line, stream.subscription
        self._unblock(stream)
        if stream.is_free:
            if stream.state is State.RESTING:
                stream.state = State.OFFERED
                self.effects.append(Offer(stream))
        elif not stream.entries and not stream.has_more:
            self._book.rest(stream)
        elif foreign:
            line.waiting.add(subscription)
            stream.block(True)
            self._looks.plan(line, self._now)
        else:
            line.wanted.add(subscription)

    def _over(self, entry: Entry, subscription: str, stream: Stream | None, reason: str | None) -> None:
        entry.due.discard(subscription)
        self.unsettled += 1
        if stream is not None:
            stream.unsettled += 1
        self.effects.append(Settle(entry, subscription, stream, reason, not entry.due))

    def _withdraw(self, stream: Stream) -> None:
        if stream.state is State.OFFERED:
            stream.state = State.RESTING
            self.effects.append(Withdraw(stream))

    def _search(self, stock: Stock, subscription: str) -> None:
        """Something of a subscription is left in the store, to be searched for."""
        stock.again.add(subscription)
        self._searching[stock] = None

    def _unblock(self, stream: Stream) -> None:
        stream.line.waiting.discard(stream.subscription)
        stream.block(False)

    def _leave(self, stream: Stream, start: int) -> None:
        """Leaves a stream from an entry on to the store."""
        if start == 0:
            self._withdraw(stream)
        self._unblock(stream)
        stream.leave(start)

    def _release(self, subscription: str, uri: str) -> None:
        """Leaves what a lane has of a subscription to the store, but for what is being sent."""
        stock = self._book.stocks.get(uri)
        if stock is None:
            return
        stock.cease(subscription)
        for stream in list(stock.streams.get(subscription, {}).values()):
            self._leave(stream, 1 if stream.state is State.SENDING else 0)
            self._book.rest(stream)
        self._tend(stock)

    def _move(self, subscription: str, old: str, new: str) -> None:
        stock = self._book.stocks.get(old)
        if stock is not None:
            for stream in list(stock.streams.get(subscription, {}).values()):
                stock.remove(stream)
                self._book.stock(new).add(stream)
            self._tend(stock)

    def _forget(self, subscription: str) -> None:
        if subscription not in self._forgetting:
            self._forgetting.add(subscription)
            self.effects.append(Forget(subscription))

    def _tend(self, stock: Stock) -> None:
        """Searches on for what was left in the store."""
        if stock.search():
            limit = max(1, min(self._bounds.page, stock.room))
            self.effects.append(Fill(stock.uri, stock.cursor, frozenset(stock.round), limit))
        elif stock.is_tired:
            self._looks.plan(stock, self._now)
        else:
            self._book.clear(stock)

    def _tidy(self, line: Line) -> None:
        """Begins the load that is wanted of a line; if there is none, those who had it loaded go on."""
        if line.wanted and line.asked is None:
            line.ask()
            assert line.asked is not None
            self.effects.append(Load(line.entity_id, frozenset(line.asked), line.after))
        elif line.is_quiet:
            while line.fillers:
                stock = line.fillers.popitem()[0]
                stock.loading.discard(line.entity_id)
                self._tend(stock)
            self._book.tidy(line)
        while self._searching:
            self._tend(self._searching.popitem()[0])
        self._book.evict()
