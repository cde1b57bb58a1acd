"""The world of a simulation: virtual time, one source of randomness, the store and the receivers."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random

from broker.core.delivery.entry import Entry

TENANT = "t"
START = 10_000.0  # seconds since 1970
_SHOWN = 2  # entries that a commit is told of; earlier ones are in the overflow
_CHUNK = 3  # entries of an entity in one load


Name = tuple[str, str, str]  # of a notification: entity, entry and subscription


class Violation(AssertionError):
    """An invariant does not hold."""


class Time:
    """Virtual time: what was planned happens in order."""

    def __init__(self, r: Random) -> None:
        self.now = START
        self.r = r
        self.steps = 0
        self._planned: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Plans something."""
        self.steps += 1
        heapq.heappush(self._planned, (self.now + seconds, self.steps, what))

    def step(self) -> bool:
        """Does what is next; False if there is nothing."""
        if not self._planned:
            return False
        self.now, _, what = heapq.heappop(self._planned)
        what()
        return True


@dataclass(frozen=True, slots=True)
class Way:
    """Where a subscription's notifications go; see `Route`."""

    uri: str
    is_paused: bool = False


@dataclass(slots=True)
class Record:
    """An entry as it is stored. `wanted`: all subscriptions that it was due to."""

    id: str
    rev: int
    at: int
    by: str
    due: set[str]
    wanted: frozenset[str]


@dataclass(slots=True)
class Store:
    """The entries of all processes, by entity, and the subscriptions."""

    ways: dict[str, Way] = field(default_factory=dict)
    revs: dict[str, int] = field(default_factory=dict)
    pending: dict[str, list[Record]] = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)  # their commit was answered late

    def earlier(self, entity_id: str) -> tuple[list[Entry], bool]:
        """What is pending of an entity, without payload: the newest few, and whether that is the whole."""
        records = self.pending.get(entity_id, [])
        return [self._entry(entity_id, one, whole=False) for one in records[-_SHOWN:]], len(records) <= _SHOWN

    def load(
        self, entity_id: str, subscriptions: Collection[str], after: int, *, is_recheck: bool
    ) -> tuple[list[Entry], bool]:
        """See `ports.Outbox.load`."""
        found = [
            self._entry(entity_id, one, whole=True)
            for one in self.pending.get(entity_id, [])
            if one.rev > after and not one.due.isdisjoint(subscriptions)
        ]
        limit = 1 if is_recheck else _CHUNK
        return found[:limit], len(found) <= limit

    def page(
        self, process: str, after: str, subscriptions: Collection[str] | None, limit: int
    ) -> list[tuple[str, set[str]]]:
        """Entities with entries of a process that are due to any of these, and to which they are due."""
        found = []
        for entity_id in sorted(self.pending):
            due = {s for one in self.pending[entity_id] if one.by == process for s in one.due}
            if entity_id > after and due and (subscriptions is None or due & set(subscriptions)):
                found.append((entity_id, due))
        return found[:limit]

    def append(self, entity_id: str, record: Record) -> None:
        """A commit."""
        self.revs[entity_id] = record.rev
        self.pending.setdefault(entity_id, []).append(record)

    def remove(self, entity_id: str, entry_id: str, subscription: str) -> None:
        """An entry is over for a subscription."""
        records = self.pending.get(entity_id, [])
        for one in records:
            if one.id == entry_id:
                one.due.discard(subscription)
        self._clear(entity_id)

    def forget(self, process: str, subscription: str) -> None:
        """Nothing of a process is due to a subscription any more."""
        for entity_id, records in list(self.pending.items()):
            for one in records:
                if one.by == process:
                    one.due.discard(subscription)
            self._clear(entity_id)

    def adopt(self, entity_id: str, dead: Collection[str], heir: str) -> None:
        """What the dead were to deliver of an entity is the heir's."""
        for one in self.pending.get(entity_id, ()):
            if one.by in dead:
                one.by = heir
                self.adopted.add(one.id)

    def _clear(self, entity_id: str) -> None:
        if entity_id in self.pending:
            self.pending[entity_id] = [one for one in self.pending[entity_id] if one.due]
            if not self.pending[entity_id]:
                del self.pending[entity_id]

    @staticmethod
    def _entry(entity_id: str, one: Record, *, whole: bool) -> Entry:
        return Entry(one.id, TENANT, entity_id, one.rev, one.at, one.by, set(one.due), {} if whole else None)


class Receivers:
    """The endpoints, how each behaves, and the judge of what arrives there."""

    def __init__(self, store: Store) -> None:
        self.behaviour: dict[str, str] = {}
        self.wanted: dict[tuple[str, str], list[str]] = {}  # by subscription and entity: entries, in order
        self.over: set[Name] = set()  # delivered once, or a dead letter
        self.doubtful: set[Name] = set()  # delivered, though the sender was told otherwise
        self.delivered = self.repeated = 0
        self._store = store
        self._first: dict[tuple[str, str], int] = {}  # how many of `wanted` are over, one after the other

    def expect(self, entity_id: str, record: Record) -> None:
        """An entry was committed."""
        for one in record.due:
            self.wanted.setdefault((one, entity_id), []).append(record.id)

    def take(self, entry: Entry, subscription: str, *, is_certain: bool) -> None:
        """A notification arrives."""
        name = entry.entity_id, entry.id, subscription
        if name in self.over:
            self.repeated += 1
            # By the time a late answer comes, a small memory may have forgotten that it was delivered.
            excused = self._store.adopted | self._store.late
            if entry.id not in excused and name not in self.doubtful:
                raise Violation(f"{name} is delivered twice")
        else:
            self.delivered += 1
            self._check_order(entry, subscription)
        self.over.add(name)
        if not is_certain:
            self.doubtful.add(name)

    def end(self, entry: Entry, subscription: str) -> None:
        """It became a dead letter."""
        self._check_order(entry, subscription)
        self.over.add((entry.entity_id, entry.id, subscription))

    def check_all(self, alive: Collection[str]) -> None:
        """Everything that was due to these subscriptions is over."""
        for (subscription, entity_id), entries in self.wanted.items():
            for one in entries:
                if subscription in alive and (entity_id, one, subscription) not in self.over:
                    raise Violation(f"{one} of {entity_id} is lost for {subscription}")

    def _check_order(self, entry: Entry, subscription: str) -> None:
        key = subscription, entry.entity_id
        entries, first = self.wanted[key], self._first.get(key, 0)
        while first < len(entries) and (entry.entity_id, entries[first], subscription) in self.over:
            first += 1
        self._first[key] = first
        is_wanted = subscription in self._store.ways  # what is due to one that is gone just ends
        if is_wanted and first < len(entries) and entries[first] < entry.id:
            raise Violation(f"{entry.id} overtakes {entries[first]} for {subscription}")


def names(prefix: str, count: int) -> Sequence[str]:
    """Names."""
    return [f"{prefix}{n}" for n in range(count)]
