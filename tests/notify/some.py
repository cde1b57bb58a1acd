"""Subscriptions, entries and an outbox in memory: for the tests of `broker.notify`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace

from broker.core import Entity, Json
from broker.core.subscription import Subscription, read
from broker.ports.changes import Entry, Settled, SubscriptionChanges, Tally
from broker.ports.delivery import Pending, PendingRequest
from tests.core.documents import CORE, NOW, created

MINE, OTHER = "a" * 16, "b" * 16


def subscription(name: str, uri: str = "http://x/", **members: Json) -> Subscription:
    """A subscription to everything, unless the members say what."""
    doc = {"type": "Subscription", "notification": {"endpoint": {"uri": uri}}, **members}
    if not members.keys() & {"entities", "watchedAttributes"}:
        doc["entities"] = [{"type": "*"}]
    return read(doc, CORE, f"urn:s:{name}", NOW)


def entity(name: str, value: int = 0) -> Entity:
    """An entity of type T with one attribute."""
    return {**created(n=value), "id": f"urn:x:{name}"}


def entry(rev: int, of: str = "1", due: Sequence[str] = ("a",), *, by: str = MINE) -> Entry:
    """A change of an entity, committed by a process, that is due to some subscriptions."""
    told = {f"urn:s:{one}" for one in due}
    return Entry(f"{rev:016x}{by}", "", f"urn:x:{of}", rev, rev, by, told, entity(of, rev))


Name = tuple[str, str]  # of an entry: its entity, and its id, which tells it from others of that


class Shelf:
    """The entries of all processes in memory, in the order in which they were committed."""

    def __init__(self) -> None:
        self.entries: dict[Name, Entry] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def of(self, entity_id: str) -> list[Entry]:
        """The pending entries of an entity, in order."""
        found = [one for one in self.entries.values() if one.entity_id == entity_id]
        return sorted(found, key=lambda one: one.rev)

    def remove(self, entry: Entry) -> None:
        """An entry is over, at whatever process."""
        self.end(_name(entry), None)

    def end(self, name: Name, subscriptions: Iterable[str] | None) -> None:
        """An entry is over for these subscriptions, or for all."""
        found = self.entries.get(name)
        if found is not None:
            found.subscriptions.difference_update(
                list(found.subscriptions) if subscriptions is None else subscriptions
            )
            if not found.subscriptions:
                del self.entries[name]


class Outbox:
    """What one process sees of a shelf. `error`: what calls raise, `lost`: when they are done."""

    def __init__(self, process: str = MINE, shelf: Shelf | None = None) -> None:
        self.process = process
        self.shelf = shelf or Shelf()
        self.settled: list[Settled] = []
        self.asked = 0
        self.shown = 8  # entries of which a commit is told
        self.error: Exception | None = None
        self.lost: Exception | None = None
        self.gate: asyncio.Event | None = None  # what loads wait for, when they have read

    @property
    def entries(self) -> dict[Name, Entry]:
        """Those of all processes."""
        return self.shelf.entries

    def add(self, entry: Entry) -> tuple[Entry, list[Entry], bool]:
        """An entry is committed; there is a copy of it here. What `committed` is told."""
        before = self.shelf.of(entry.entity_id)
        self.entries[_name(entry)] = _copy(entry)
        earlier = [replace(_copy(one), entity=None) for one in before[max(0, len(before) - self.shown) :]]
        return entry, earlier, len(before) <= self.shown

    def adopt(self, dead: str) -> None:
        """What was the dead's is this process's."""
        for one in self.entries.values():
            if one.by == dead:
                one.by = self.process

    async def load(self, tenant: str, wanted: Mapping[str, PendingRequest]) -> dict[str, Pending]:
        """See `ports.Outbox`."""
        self.asked += 1
        async with self._call():
            found = {one: self._pending(one, what) for one, what in wanted.items()}
        if self.gate is not None:
            await self.gate.wait()
        return found

    def _pending(self, entity_id: str, what: PendingRequest) -> Pending:
        many = [
            _copy(one)
            for one in self.shelf.of(entity_id)
            if one.rev > what.after and one.subscriptions & what.subscriptions
        ]
        return Pending(many[: what.limit], len(many) <= what.limit)

    async def page(self, tenant: str, after: str, subscriptions: Set[str], limit: int) -> list[str]:
        """See `ports.Outbox`."""
        async with self._call():
            return [one for one, due in self._own() if one > after and due & subscriptions][:limit]

    async def survey(self, tenant: str, after: str, limit: int) -> list[tuple[str, set[str]]]:
        """See `ports.Outbox`."""
        async with self._call():
            return [(one, due) for one, due in self._own() if one > after][:limit]

    def _own(self) -> list[tuple[str, set[str]]]:
        found: dict[str, set[str]] = {}
        for one in self.entries.values():
            if one.by == self.process:
                found.setdefault(one.entity_id, set()).update(one.subscriptions)
        return sorted(found.items())

    async def settle(self, tenant: str, settled: Settled) -> None:
        """See `ports.Outbox`."""
        async with self._call():
            self.settled.append(settled)
            for entity_id, finished in settled.finished.items():
                for one in finished:
                    self.shelf.end((entity_id, one), None)
            for entity_id, parts in settled.partly.items():
                for one, who in parts.items():
                    self.shelf.end((entity_id, one), who)

    async def count(self, tenant: str) -> int:
        """How many there are."""
        async with self._call():
            return len(self.shelf)

    async def forget(self, tenant: str, subscription: str) -> None:
        """See `ports.Outbox`."""
        async with self._call():
            for one in [one for one in self.entries.values() if one.by == self.process]:
                self.shelf.end(_name(one), [subscription])

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        yield
        if self.lost is not None:
            raise self.lost


def _name(one: Entry) -> Name:
    return one.entity_id, one.id


def _copy(one: Entry) -> Entry:
    return replace(one, subscriptions=set(one.subscriptions))


class Subscriptions:
    """A store of subscriptions that only tells what there is."""

    def __init__(self, *known: Subscription) -> None:
        self.known = list(known)
        self.epoch = 1
        self.asked = 0

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SubscriptionChanges:
        """All there are."""
        self.asked += 1
        await asyncio.sleep(0)
        return SubscriptionChanges(self.epoch, list(self.known), whole=True)

    async def last_due(self, tenant: str, subscription_id: str) -> int | None: ...

    async def current_epoch(self, tenant: str) -> tuple[int, str]:
        """As it is now."""
        await asyncio.sleep(0)
        return self.epoch, ""

    async def create(self, tenant: str, subscription: Subscription) -> None: ...

    async def get(self, tenant: str, subscription_id: str) -> tuple[Subscription, Tally] | None: ...

    async def find(self, tenant: str, limit: int, offset: int) -> list[tuple[Subscription, Tally]]:
        return []

    async def count(self, tenant: str) -> int:
        return len(self.known)

    async def replace(
        self, tenant: str, subscription_id: str, change: Callable[[Subscription], Subscription]
    ) -> None: ...

    async def delete(self, tenant: str, subscription_id: str) -> None: ...


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns when the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is plain data
            await asyncio.sleep(0.002)
