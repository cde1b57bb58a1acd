"""The buffer of a lane: what it holds in memory, and for which subscriptions it is behind."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.core.delivery.rechecks import SHORTEST, Recheckable

if TYPE_CHECKING:
    from broker.core.delivery.stream import Stream

END = "\U0010ffff"  # comes after every entity


class Memory:
    """How many deliveries all lanes of a process hold in memory, and may hold; `lane`: those of one lane.

    `few` are a lane's own, even where others have taken all there is.
    """

    __slots__ = ("few", "held", "lane", "limit")

    def __init__(self, limit: int, lane: int, few: int) -> None:
        self.limit = limit
        self.lane = lane
        self.few = min(few, lane)
        self.held = 0


class LaneBuffer(Recheckable):
    """Of one lane: its streams, by subscription and entity, and the search for what was left in the store.

    The search goes through the entities in rounds: `round` holds the subscriptions of the one under way, it
    has come to the entity `cursor`, and `again` those of the next one. `is_paging`: a page is being read;
    `loading`: the entities of the last page that are being loaded; `is_last`: no page follows. After a round
    that brought nothing to send there is a pause.

    `blocked`: how many of those that it holds wait for another process, and so make room for what does not.
    """

    __slots__ = (
        "_memory", "again", "blocked", "cursor", "held", "is_fruitful", "is_last", "is_paging",
        "is_rested", "loading", "round", "streams", "uri", "waiting",
    )  # fmt: skip

    def __init__(self, uri: str, memory: Memory) -> None:
        super().__init__()
        self.uri = uri
        self._memory = memory
        self.held = self.blocked = 0
        self.waiting: dict[Stream, None] = {}
        self.streams: dict[str, dict[str, Stream]] = {}
        self.round: set[str] = set()
        self.again: set[str] = set()
        self.cursor = ""
        self.is_paging = self.is_last = False
        self.is_fruitful, self.is_rested = True, False
        self.loading: set[str] = set()

    def add(self, stream: "Stream") -> None:
        """A stream belongs to this lane now, with what it holds."""
        stream.buffer = self
        self.streams.setdefault(stream.subscription, {})[stream.line.entity_id] = stream
        self.hold(stream.places)

    def remove(self, stream: "Stream") -> None:
        """It does so no more."""
        self.hold(-stream.places)
        streams = self.streams[stream.subscription]
        del streams[stream.line.entity_id]
        if not streams:
            del self.streams[stream.subscription]

    def all(self) -> Iterator["Stream"]:
        """All its streams."""
        for streams in self.streams.values():
            yield from streams.values()

    def hold(self, more: int) -> None:
        """Counts deliveries that come into memory, or leave it."""
        self.held += more
        self._memory.held += more

    def block(self, stream: "Stream", is_blocked: bool) -> None:
        """A stream begins, or ends, to wait for another process."""
        if is_blocked:
            self.blocked += stream.places
            self.waiting[stream] = None
        else:
            self.blocked -= stream.places
            del self.waiting[stream]

    @property
    def room(self) -> int:
        """How many more it may hold."""
        memory = self._memory
        return min(memory.lane - self.held, max(memory.limit - memory.held, memory.few - self.held))

    @property
    def is_behind(self) -> bool:
        """Whether something may have been left in the store."""
        return bool(self.round or self.again)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to know of it."""
        return not (self.streams or self.is_behind or self.is_paging or self.loading)

    def admits(self, subscription: str, entity_id: str, *, is_here: bool) -> bool:
        """Whether to take what was just committed; `is_here`: its stream has something in memory.

        While the lane is behind, half of it is kept for what was left in the store; and what the search will
        come upon is left to it.
        """
        if self.room <= 0:
            return False
        if not self.is_behind:
            return True
        if self.held >= max(1, self._memory.lane // 2) or (subscription in self.again and not is_here):
            return False
        return is_here or subscription not in self.round or self.is_paging or entity_id <= self.cursor

    def leave(self, subscription: str, entity_id: str) -> None:
        """Something of an entity stays in the store. If the round may have passed it, another one follows."""
        if subscription not in self.round or self.is_paging or entity_id <= self.cursor:
            self.again.add(subscription)

    def seeks(self, subscription: str) -> bool:
        """Whether what was left of a subscription is searched for."""
        return subscription in self.round or subscription in self.again

    def cease(self, subscription: str) -> None:
        """Searches for nothing of a subscription any more."""
        self.round.discard(subscription)
        self.again.discard(subscription)

    def search(self) -> bool:
        """Goes on to the next page, if something was left in the store and there is room for it."""
        if not self.is_behind or self.is_paging or self.loading or self.look is not None:
            return False
        if self.held - self.blocked > self._memory.lane * 3 // 4 or self.room + self.blocked <= 0:
            return False
        if self.is_tired:
            return False
        if self.is_last or not self.round:
            if self.is_fruitful:
                self.pause = SHORTEST
            self.round, self.again, self.cursor = self.again, set(), ""
            self.is_last = self.is_rested = False
            self.is_fruitful = not self.round
        self.is_paging = bool(self.round)
        return self.is_paging

    @property
    def is_tired(self) -> bool:
        """Whether a round has ended that brought nothing to send, though there is more."""
        is_over = self.is_last and not self.is_paging and not self.loading
        return is_over and bool(self.again) and not self.is_fruitful and not self.is_rested

    def turn(self, page: list[str], *, is_last: bool) -> None:
        """A page was read: these entities are loaded next."""
        self.is_paging, self.is_last = False, is_last
        self.cursor = END if is_last else page[-1]
        if self.round:
            self.loading.update(page)
