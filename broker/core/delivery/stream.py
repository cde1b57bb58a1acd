"""Lines and streams: what is pending of one entity, as far as it is known."""

from collections import deque
from enum import IntEnum

from broker.core.delivery.entry import Entry
from broker.core.delivery.lane_buffer import LaneBuffer
from broker.core.delivery.rechecks import SHORTEST, Recheckable


class State(IntEnum):
    """What becomes of the first entry of a stream."""

    RESTING = 0
    OFFERED = 1
    SENDING = 2


class Stream:
    """The entries of one entity that are due to one subscription.

    `entries`: those in memory, in order. `known`: what is pending up to this rev is in memory. `has_more`:
    own entries may be pending after one of another process. `is_blocked`: it waits for another process.
    `unsettled`: how many are over, and may still be in the store.
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
        """The entry to send."""
        return self.entries[0]

    @property
    def is_free(self) -> bool:
        """Whether it has an entry, before which nothing is pending."""
        return bool(self.entries) and self.entries[0].rev <= self.known

    @property
    def waits(self) -> bool:
        """Whether it has an entry before which something is pending: it is looked at until that is over."""
        return bool(self.entries) and self.entries[-1].rev > self.known

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is pending, as far as it is known."""
        return not (self.entries or self.unsettled or self.has_more)

    @property
    def places(self) -> int:
        """How many deliveries it counts for in memory."""
        return len(self.entries) + self.has_more

    def has(self, entry: Entry) -> bool:
        """Whether an entry is in memory."""
        if not self.entries or self.entries[-1].rev < entry.rev:
            return False
        return any(one.rev == entry.rev for one in self.entries)

    def append(self, entry: Entry, *, is_known: bool) -> None:
        """Takes the last entry; `is_known`: what is pending before it is in memory."""
        self.entries.append(entry)
        self._hold(1)
        if is_known:
            self.known = entry.rev

    def insert(self, entry: Entry) -> None:
        """Takes the first entry that is pending after what is known, unless it is here."""
        self.known = entry.rev
        place = len(self.entries)
        while place and self.entries[place - 1].rev >= entry.rev:
            place -= 1
        if place == len(self.entries) or self.entries[place].rev != entry.rev:
            self.entries.insert(place, entry)
            self._hold(1)

    def pop(self) -> Entry:
        """The first entry, which is over."""
        self._hold(-1)
        self.state = State.RESTING
        return self.entries.popleft()

    def block(self, is_blocked: bool) -> None:
        """Notes whether it waits for another process."""
        if is_blocked != self.is_blocked:
            self.buffer.block(self, is_blocked)
            self.is_blocked = is_blocked

    def expect_more(self, has_more: bool) -> None:
        """Remembers whether to come back for more, which takes a place in memory."""
        self._hold(has_more - self.has_more)
        self.has_more = has_more

    def leave(self, start: int) -> None:
        """Leaves everything from the entry at `start` on to the store."""
        self.drop(start)
        self.expect_more(False)

    def drop(self, start: int) -> None:
        """Leaves the entries from the one at `start` on to the store."""
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
    """The streams of one entity, and what is asked about it.

    `asked`: the subscriptions of the load under way, with the rev up to which it is sure to show all that
    is pending; it begins after the rev `after`. `wanted`: the subscriptions of the next load. `waiting`:
    those of whose streams another process has to deliver something first; `ahead`: the revs of that, as last
    seen. `fillers`: the buffers that had it loaded.
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
        """Whether no load is under way, nor wanted."""
        return self.asked is None and not self.wanted

    def see(self, ahead: dict[str, int]) -> None:
        """Another process has these to deliver first. While it gets on, it is worth to look often."""
        if any(self.ahead.get(one) != rev for one, rev in ahead.items()):
            self.pause = SHORTEST
        self.ahead = ahead

    def ask(self) -> None:
        """Begins the load that is wanted."""
        streams = {one: self.streams.get(one) for one in self.wanted}
        self.asked = {one: s.entries[-1].rev if s and s.entries else 0 for one, s in streams.items()}
        self.after = min(s.known if s else 0 for s in streams.values())
        self.wanted = set()

    def answered(self) -> dict[str, int]:
        """Ends the load: what it tells all of, as `asked`.

        It tells nothing of a stream of which something before it was left to the store meanwhile.
        """
        asked, self.asked = self.asked or {}, None
        for one in list(asked):
            stream = self.streams.get(one)
            if stream is not None and stream.known < self.after:
                del asked[one]
                self.wanted.add(one)
        return asked
