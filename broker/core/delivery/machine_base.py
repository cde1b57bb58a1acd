"""The keeper of streams: what all events of the machine have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from broker.core.delivery.effects import Effect, Fill, Forget, Load, Offer, Settle, Withdraw
from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import LaneBuffer, Memory
from broker.core.delivery.rechecks import Rechecks
from broker.core.delivery.stream import Line, State, Stream
from broker.core.delivery.stream_table import StreamTable


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


class MachineBase:
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
        self._table = StreamTable(memory, bounds.idle)
        self._looks = Rechecks()
        self._now = 0.0
        self._searching: dict[LaneBuffer, None] = {}  # those that may have to begin a search
        self._forgetting: set[str] = set()
        self.unsettled = 0
        self.effects: list[Effect] = []

    def _makes_room(self, stream: Stream, entry: Entry) -> bool:
        """Whether there is room for a loaded entry.

        It takes the place of the newest one of its stream, or of streams that wait for another process.
        """
        buffer = stream.buffer
        if buffer.room > 0 or stream.has(entry):
            return True
        if stream.entries and stream.entries[-1].rev > entry.rev:
            stream.drop(len(stream.entries) - 1)
            self._search(buffer, stream.subscription)
        while buffer.room <= 0 and buffer.waiting:
            blocked = next(iter(buffer.waiting))
            self._leave(blocked, 0)
            self._table.rest(blocked)
            self._search(buffer, blocked.subscription)
        if buffer.room <= 0:
            self._search(buffer, stream.subscription)
        return buffer.room > 0

    def _expect(self, stream: Stream, has_more: bool) -> None:
        """Comes back to what is pending after an entry of another process, or searches for it."""
        if has_more and not stream.has_more and stream.buffer.room <= 0:
            self._search(stream.buffer, stream.subscription)
        else:
            stream.expect_more(has_more)

    def _go_on(self, stream: Stream) -> None:
        self._advance(stream)
        self._tend(stream.buffer)
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
            self._table.rest(stream)
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
            self.effects.append(Withdraw(stream, stream.buffer.uri))

    def _search(self, buffer: LaneBuffer, subscription: str) -> None:
        """Something of a subscription is left in the store, to be searched for."""
        buffer.again.add(subscription)
        self._searching[buffer] = None

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
        buffer = self._table.buffers.get(uri)
        if buffer is None:
            return
        buffer.cease(subscription)
        for stream in list(buffer.streams.get(subscription, {}).values()):
            self._leave(stream, 1 if stream.state is State.SENDING else 0)
            self._table.rest(stream)
        self._tend(buffer)

    def _move(self, subscription: str, old: str, new: str) -> None:
        buffer = self._table.buffers.get(old)
        if buffer is not None:
            for stream in list(buffer.streams.get(subscription, {}).values()):
                buffer.remove(stream)
                self._table.buffer(new).add(stream)
            self._tend(buffer)

    def _forget(self, subscription: str) -> None:
        if subscription not in self._forgetting:
            self._forgetting.add(subscription)
            self.effects.append(Forget(subscription))

    def _tend(self, buffer: LaneBuffer) -> None:
        """Searches on for what was left in the store."""
        if buffer.search():
            limit = max(1, min(self._bounds.page, buffer.room))
            self.effects.append(Fill(buffer.uri, buffer.cursor, frozenset(buffer.round), limit))
        elif buffer.is_tired:
            self._looks.plan(buffer, self._now)
        else:
            self._table.clear(buffer)

    def _tidy(self, line: Line) -> None:
        """Begins the load that is wanted of a line; if there is none, those who had it loaded go on."""
        if line.wanted and line.asked is None:
            is_look = line.wanted == line.waiting
            line.ask()
            assert line.asked is not None
            self.effects.append(Load(line.entity_id, frozenset(line.asked), line.after, is_look))
        elif line.is_quiet:
            while line.fillers:
                buffer = line.fillers.popitem()[0]
                buffer.loading.discard(line.entity_id)
                self._tend(buffer)
            self._table.tidy(line)
        while self._searching:
            self._tend(self._searching.popitem()[0])
        self._table.evict()
