"""The keeper of streams: what all events of the machine have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from broker.core.delivery.book import Book
from broker.core.delivery.effects import Effect, Fill, Forget, Load, Offer, Settle, Withdraw
from broker.core.delivery.entry import Entry
from broker.core.delivery.looks import Looks
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


class Keeper:
    """Keeps streams in memory and moves them on.

    `process` is its own name; `route` gives where a subscription's deliveries go now, None if it is gone.
    What an event asks for is in `effects` after it.
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
        entry.subscriptions.discard(subscription)
        self.unsettled += 1
        if stream is not None:
            stream.unsettled += 1
        self.effects.append(Settle(entry, subscription, stream, reason, not entry.subscriptions))

    def _withdraw(self, stream: Stream) -> None:
        if stream.state is State.OFFERED:
            stream.state = State.RESTING
            self.effects.append(Withdraw(stream, stream.stock.uri))

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
            is_look = line.wanted == line.waiting
            line.ask()
            assert line.asked is not None
            self.effects.append(Load(line.entity_id, frozenset(line.asked), line.after, is_look))
        elif line.is_quiet:
            while line.fillers:
                stock = line.fillers.popitem()[0]
                stock.loading.discard(line.entity_id)
                self._tend(stock)
            self._book.tidy(line)
        while self._searching:
            self._tend(self._searching.popitem()[0])
        self._book.evict()
