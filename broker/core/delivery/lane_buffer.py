"""The buffer of a lane: its streams in memory, and the subscriptions for which it is behind the store."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from broker.core.delivery.rechecks import SHORTEST, Recheckable

if TYPE_CHECKING:
    from broker.core.delivery.stream import Stream

END = "\U0010ffff"  # sorts after the id of every entity


class Memory:
    """The deliveries that all lanes of a process hold in memory (`held`), and their bounds.

    `limit`: for all lanes; `lane`: for each lane. A lane may hold `few` even if the others use up `limit`.
    """

    __slots__ = ("few", "held", "lane", "limit")

    def __init__(self, limit: int, lane: int, few: int) -> None:
        self.limit = limit
        self.lane = lane
        self.few = min(few, lane)
        self.held = 0


class LaneBuffer(Recheckable):
    """The streams of one lane, by subscription and entity, and the search for entries left in the store.

    `held`: the deliveries in memory. `waiting`: the streams that wait for another process; `blocked`: how
    many deliveries they hold. They make room for streams that do not wait.

    The search goes through the entities of the store in rounds, page by page:

    - `round`: the subscriptions of the current round; `next_round`: those of the next one.
    - `cursor`: the last entity of the current round that was read.
    - `is_paging`: a page is being read. `is_last`: no page follows in this round.
    - `loading`: the entities of the last page whose entries are being loaded.
    - `is_fruitful`: the current round has found entries to send. After one that has not, there is a pause;
      `is_rested`: the pause is over.
    """

    __slots__ = (
        "_memory", "blocked", "cursor", "held", "is_fruitful", "is_last", "is_paging", "is_rested",
        "loading", "next_round", "round", "streams", "uri", "waiting",
    )  # fmt: skip

    def __init__(self, uri: str, memory: Memory) -> None:
        super().__init__()
        self.uri = uri
        self._memory = memory
        self.held = self.blocked = 0
        self.waiting: dict[Stream, None] = {}
        self.streams: dict[str, dict[str, Stream]] = {}
        self.round: set[str] = set()
        self.next_round: set[str] = set()
        self.cursor = ""
        self.is_paging = self.is_last = False
        self.is_fruitful, self.is_rested = True, False
        self.loading: set[str] = set()

    def add(self, stream: "Stream") -> None:
        """Adds a stream, with the deliveries that it holds."""
        stream.buffer = self
        self.streams.setdefault(stream.subscription, {})[stream.line.entity_id] = stream
        self.hold(stream.places)

    def remove(self, stream: "Stream") -> None:
        """Removes a stream, with the deliveries that it holds."""
        self.hold(-stream.places)
        streams = self.streams[stream.subscription]
        del streams[stream.line.entity_id]
        if not streams:
            del self.streams[stream.subscription]

    def all(self) -> Iterator["Stream"]:
        """All streams of the lane."""
        for streams in self.streams.values():
            yield from streams.values()

    def hold(self, more: int) -> None:
        """Counts `more` deliveries as held in memory; fewer if negative."""
        self.held += more
        self._memory.held += more

    def block(self, stream: "Stream", is_blocked: bool) -> None:
        """Notes that a stream begins, or ceases, to wait for another process."""
        if is_blocked:
            self.blocked += stream.places
            self.waiting[stream] = None
        else:
            self.blocked -= stream.places
            del self.waiting[stream]

    @property
    def room(self) -> int:
        """How many more deliveries the lane may hold in memory; negative if it holds too many."""
        memory = self._memory
        return min(memory.lane - self.held, max(memory.limit - memory.held, memory.few - self.held))

    @property
    def is_behind(self) -> bool:
        """Whether entries may have been left in the store."""
        return bool(self.round or self.next_round)

    @property
    def is_empty(self) -> bool:
        """Whether it has no streams, and nothing to search for."""
        return not (self.streams or self.is_behind or self.is_paging or self.loading)

    def admits(self, subscription: str, entity_id: str, *, is_here: bool) -> bool:
        """Whether to keep an entry that was just committed in memory; `is_here`: its stream has some there.

        While the lane is behind, half of its room is kept for the entries in the store, and an entry that
        the search will find anyway is left to the search.
        """
        if self.room <= 0:
            return False
        if not self.is_behind:
            return True
        if self.held >= max(1, self._memory.lane // 2) or (subscription in self.next_round and not is_here):
            return False
        return is_here or subscription not in self.round or self.is_paging or entity_id <= self.cursor

    def leave(self, subscription: str, entity_id: str) -> None:
        """Notes that an entry stays in the store. The next round finds it if the current one may not."""
        if subscription not in self.round or self.is_paging or entity_id <= self.cursor:
            self.next_round.add(subscription)

    def seeks(self, subscription: str) -> bool:
        """Whether the search includes a subscription."""
        return subscription in self.round or subscription in self.next_round

    def cease(self, subscription: str) -> None:
        """Ends the search for a subscription."""
        self.round.discard(subscription)
        self.next_round.discard(subscription)

    def search(self) -> bool:
        """Whether to read the next page now, after `cursor`. If so, the page counts as under way.

        Begins the next round if the current one is over.
        """
        if not self.is_behind or self.is_paging or self.loading or self.recheck_at is not None:
            return False
        if self.held - self.blocked > self._memory.lane * 3 // 4 or self.room + self.blocked <= 0:
            return False
        if self.is_tired:
            return False
        if self.is_last or not self.round:
            if self.is_fruitful:
                self.pause = SHORTEST
            self.round, self.next_round, self.cursor = self.next_round, set(), ""
            self.is_last = self.is_rested = False
            self.is_fruitful = not self.round
        self.is_paging = bool(self.round)
        return self.is_paging

    @property
    def is_tired(self) -> bool:
        """Whether the next round must wait for a pause, since this one has found nothing to send."""
        is_over = self.is_last and not self.is_paging and not self.loading
        return is_over and bool(self.next_round) and not self.is_fruitful and not self.is_rested

    def turn(self, page: list[str], *, is_last: bool) -> None:
        """Notes the page that was read: its entities are loaded next."""
        self.is_paging, self.is_last = False, is_last
        self.cursor = END if is_last else page[-1]
        if self.round:
            self.loading.update(page)
