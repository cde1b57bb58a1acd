"""The base of the machine: its state, and the steps that several events share."""

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
    """Where the notifications of a subscription go. While it is paused, its entries stay in the store."""

    @property
    def uri(self) -> str: ...

    @property
    def is_paused(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one machine.

    `unsettled`: deliveries that are over and not settled. `idle`: streams in memory that have nothing
    pending. `page`: entities in one page of the store.
    """

    unsettled: int = 20_000
    idle: int = 20_000
    page: int = 100


class MachineBase:
    """Keeps streams in memory and advances them.

    `process`: the name of this process. `route` returns the current route of a subscription; None if it is
    gone. Each event adds to `effects` what is to be done. `unsettled`: how many deliveries are over and not
    settled.
    """

    def __init__(
        self, process: str, route: Callable[[str], Route | None], memory: Memory, bounds: Bounds
    ) -> None:
        self._process = process
        self._route = route
        self._bounds = bounds
        self._table = StreamTable(memory, bounds.idle)
        self._rechecks = Rechecks()
        self._now = 0.0
        self._searching: dict[LaneBuffer, None] = {}  # buffers that may have to begin a search
        self._forgetting: set[str] = set()
        self.unsettled = 0
        self.effects: list[Effect] = []

    def _makes_room(self, stream: Stream, entry: Entry) -> bool:
        """Whether memory has room for a loaded entry.

        To make room, the newest entry of its own stream is dropped, then streams that wait for another
        process. What is dropped will be searched for.
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
        """Sets `has_more` of a stream; if there is no room for that, the search is to find the rest."""
        if has_more and not stream.has_more and stream.buffer.room <= 0:
            self._search(stream.buffer, stream.subscription)
        else:
            stream.expect_more(has_more)

    def _go_on(self, stream: Stream) -> None:
        self._advance(stream)
        self._tend(stream.buffer)
        self._tidy(stream.line)

    def _advance(self, stream: Stream, *, foreign: bool = False) -> None:
        """Offers the first entry, or plans a load of what is pending before it.

        `foreign`: that belongs to another process, so it is loaded after a pause.
        """
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
            self._rechecks.plan(line, self._now)
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
        """Notes that entries of a subscription are left in the store, to be found by the next round."""
        buffer.next_round.add(subscription)
        self._searching[buffer] = None

    def _unblock(self, stream: Stream) -> None:
        stream.line.waiting.discard(stream.subscription)
        stream.block(False)

    def _leave(self, stream: Stream, start: int) -> None:
        """Drops the entries of a stream from index `start` on; the store still has them."""
        if start == 0:
            self._withdraw(stream)
        self._unblock(stream)
        stream.leave(start)

    def _release(self, subscription: str, uri: str) -> None:
        """Drops what a lane has in memory of a subscription, except entries that are being sent."""
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
        """Continues a search: reads its next page, or plans the end of its pause. Removes an empty buffer."""
        if buffer.search():
            limit = max(1, min(self._bounds.page, buffer.room))
            self.effects.append(Fill(buffer.uri, buffer.cursor, frozenset(buffer.round), limit))
        elif buffer.is_tired:
            self._rechecks.plan(buffer, self._now)
        else:
            self._table.clear(buffer)

    def _tidy(self, line: Line) -> None:
        """Begins the wanted load of a line. If none is wanted, the searches that waited for it go on."""
        if line.wanted and line.asked is None:
            is_recheck = line.wanted == line.waiting
            line.ask()
            assert line.asked is not None
            self.effects.append(Load(line.entity_id, frozenset(line.asked), line.after, is_recheck))
        elif line.is_quiet:
            while line.fillers:
                buffer = line.fillers.popitem()[0]
                buffer.loading.discard(line.entity_id)
                self._tend(buffer)
            self._table.tidy(line)
        while self._searching:
            self._tend(self._searching.popitem()[0])
        self._table.evict()
