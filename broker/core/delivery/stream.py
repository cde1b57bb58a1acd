"""Lines and streams: the pending entries of one entity, as far as this process knows them."""

from collections import deque
from enum import IntEnum

from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import LaneBuffer
from broker.core.delivery.rechecks import SHORTEST, Recheckable


class State(IntEnum):
    """The state of the first entry of a stream: not offered, offered to its lane, or being sent."""

    RESTING = 0
    OFFERED = 1
    SENDING = 2


class Stream:
    """The entries of one entity that are pending for one subscription.

    - `entries`: the entries in memory, in order.
    - `known`: all entries with a rev up to this one are in memory, or over.
    - `has_more`: after an entry of another process, entries of this process may be pending in the store.
    - `is_blocked`: the stream waits for another process.
    - `unsettled`: how many entries are over and may still be in the store.
    """

    __slots__ = (
        "buffer",
        "entries",
        "has_more",
        "is_blocked",
        "known",
        "line",
        "state",
        "subscription",
        "unsettled",
    )
    buffer: LaneBuffer

    def __init__(self, line: "Line", subscription: str) -> None:
        self.line = line
        self.subscription = subscription
        self.known = 0
        self.has_more = self.is_blocked = False
        self.entries: deque[Entry] = deque()
        self.unsettled = 0
        self.state = State.RESTING

    @property
    def entry(self) -> Entry:
        """The first entry, which is the next one to send."""
        return self.entries[0]

    @property
    def is_free(self) -> bool:
        """Whether its first entry may be sent: nothing is pending before it."""
        return bool(self.entries) and self.entries[0].rev <= self.known

    @property
    def waits(self) -> bool:
        """Whether something is pending before one of its entries; the line is loaded until that is over."""
        return bool(self.entries) and self.entries[-1].rev > self.known

    @property
    def is_idle(self) -> bool:
        """Whether it has no pending entry and nothing to settle, as far as this process knows."""
        return not (self.entries or self.unsettled or self.has_more)

    @property
    def places(self) -> int:
        """How many deliveries it counts for in memory: its entries, and one if `has_more`."""
        return len(self.entries) + self.has_more

    def has(self, entry: Entry) -> bool:
        """Whether the entry, or a copy of it, is in memory."""
        if not self.entries or self.entries[-1].rev < entry.rev:
            return False
        return any(held.rev == entry.rev for held in self.entries)

    def append(self, entry: Entry, *, is_known: bool) -> None:
        """Adds the newest entry; `is_known`: all that is pending before it is in memory."""
        self.entries.append(entry)
        self._hold(1)
        if is_known:
            self.known = entry.rev

    def insert(self, entry: Entry) -> None:
        """Raises `known` to an entry, the first one pending after it, and adds the entry if it is missing."""
        self.known = entry.rev
        index = len(self.entries)
        while index and self.entries[index - 1].rev >= entry.rev:
            index -= 1
        if index == len(self.entries) or self.entries[index].rev != entry.rev:
            self.entries.insert(index, entry)
            self._hold(1)

    def pop(self) -> Entry:
        """Removes and returns the first entry, which is over."""
        self._hold(-1)
        self.state = State.RESTING
        return self.entries.popleft()

    def block(self, is_blocked: bool) -> None:
        """Sets whether the stream waits for another process."""
        if is_blocked != self.is_blocked:
            self.buffer.block(self, is_blocked)
            self.is_blocked = is_blocked

    def expect_more(self, has_more: bool) -> None:
        """Sets `has_more`, which counts as one delivery in memory."""
        self._hold(has_more - self.has_more)
        self.has_more = has_more

    def leave(self, start: int) -> None:
        """Drops the entries from index `start` on, and expects no more: the store still has all of them."""
        self.drop(start)
        self.expect_more(False)

    def drop(self, start: int) -> None:
        """Removes the entries from index `start` on from memory, and lowers `known`."""
        if len(self.entries) > start:
            self.known = min(self.known, self.entries[start].rev - 1)
            self._hold(start - len(self.entries))
            while len(self.entries) > start:
                self.entries.pop()

    def _hold(self, more: int) -> None:
        self.buffer.hold(more)
        if self.is_blocked:
            self.buffer.blocked += more


class Line(Recheckable):
    """The streams of one entity by subscription, and the loads of its entries.

    - `asked`: the subscriptions of the load under way, each with the rev of its last entry in memory: the
      load is sure to show all that is pending up to there. `after`: the load shows only revs above this one.
    - `wanted`: the subscriptions of the next load.
    - `waiting`: the subscriptions for which another process has to deliver an entry first. `ahead`: the revs
      of those entries, by subscription, as the last load showed them.
    - `fillers`: the buffers whose search has asked for a load of this line.
    """

    __slots__ = ("after", "ahead", "asked", "entity_id", "fillers", "streams", "waiting", "wanted")

    def __init__(self, entity_id: str) -> None:
        super().__init__()
        self.entity_id = entity_id
        self.streams: dict[str, Stream] = {}
        self.asked: dict[str, int] | None = None
        self.after = 0
        self.wanted: set[str] = set()
        self.waiting: set[str] = set()
        self.ahead: dict[str, int] = {}
        self.fillers: dict[LaneBuffer, None] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether no load is under way or wanted."""
        return self.asked is None and not self.wanted

    def see(self, ahead: dict[str, int]) -> None:
        """Notes what other processes must deliver first. While they make progress, rechecks are frequent."""
        if any(self.ahead.get(subscription) != rev for subscription, rev in ahead.items()):
            self.pause = SHORTEST
        self.ahead = ahead

    def ask(self) -> None:
        """Turns the wanted load into the one under way."""
        streams = {subscription: self.streams.get(subscription) for subscription in self.wanted}
        self.asked = {name: s.entries[-1].rev if s and s.entries else 0 for name, s in streams.items()}
        self.after = min(s.known if s else 0 for s in streams.values())
        self.wanted = set()

    def answered(self) -> dict[str, int]:
        """Ends the load; returns the subscriptions for which its reply counts, as in `asked`.

        It does not count for a stream that has dropped entries from before the load meanwhile: that one
        is loaded again.
        """
        asked, self.asked = self.asked or {}, None
        for subscription in list(asked):
            stream = self.streams.get(subscription)
            if stream is not None and stream.known < self.after:
                del asked[subscription]
                self.wanted.add(subscription)
        return asked
