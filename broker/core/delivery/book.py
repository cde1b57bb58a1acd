"""The book of what is in memory: lines, stocks and streams, and for how long they stay."""

import heapq
from itertools import count

from broker.core.delivery.stock import Memory, Stock
from broker.core.delivery.stream import Line, Stream


class Book:
    """Lines by entity, stocks by endpoint.

    A stream that has nothing pending stays for a while for what is known of it: the `limit` that were busy last.
    """

    def __init__(self, memory: Memory, limit: int) -> None:
        self._memory = memory
        self._limit = limit
        self.lines: dict[str, Line] = {}
        self.stocks: dict[str, Stock] = {}
        self._idle: dict[Stream, None] = {}  # those that may be idle; for the longest time in front
        self._looks: list[tuple[float, int, Line]] = []
        self._numbers = count()

    def line(self, entity_id: str) -> Line:
        """The line of an entity."""
        line = self.lines.get(entity_id)
        if line is None:
            line = self.lines[entity_id] = Line(entity_id)
        return line

    def stock(self, uri: str) -> Stock:
        """The stock of the lane to an endpoint."""
        stock = self.stocks.get(uri)
        if stock is None:
            stock = self.stocks[uri] = Stock(uri, self._memory)
        return stock

    def stream(self, line: Line, subscription: str, uri: str) -> Stream:
        """The stream of a line and a subscription, whose endpoint this is."""
        stream = line.streams.get(subscription)
        if stream is None:
            stream = line.streams[subscription] = Stream(line, subscription)
            self.stock(uri).add(stream)
        return stream

    def rest(self, stream: Stream) -> None:
        """A stream has nothing to send: if it is idle, it may be forgotten before long."""
        if stream.is_idle:
            self._idle.pop(stream, None)
            self._idle[stream] = None
            self._evict()

    def tidy(self, line: Line) -> None:
        """Forgets a line if there is nothing to know of it."""
        self._evict()
        if not line.streams and line.is_quiet and self.lines.get(line.entity_id) is line:
            del self.lines[line.entity_id]

    def clear(self, stock: Stock) -> None:
        """Forgets a stock if there is nothing to know of it."""
        if stock.is_empty and self.stocks.get(stock.uri) is stock:
            del self.stocks[stock.uri]

    def look_later(self, line: Line, now: float) -> None:
        """A line is to be looked at again before long."""
        if line.look is None:
            heapq.heappush(self._looks, (line.next_look(now), next(self._numbers), line))

    def looks(self, now: float) -> list[Line]:
        """The lines to be looked at by now."""
        found = []
        while self._looks and self._looks[0][0] <= now:
            line = heapq.heappop(self._looks)[2]
            line.look = None
            found.append(line)
        return found

    @property
    def next_look(self) -> float | None:
        """When the next line is to be looked at."""
        return self._looks[0][0] if self._looks else None

    def _evict(self) -> None:
        for _ in range(len(self._idle) - self._limit):
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            if oldest.is_idle:
                self._forget(oldest)

    def _forget(self, stream: Stream) -> None:
        if stream.line.asked is not None:  # a load may bring what only the stream knows to be over
            self._idle[stream] = None
            return
        del stream.line.streams[stream.subscription]
        stream.stock.remove(stream)
        self.tidy(stream.line)
        self.clear(stream.stock)
