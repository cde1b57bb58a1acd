"""Subscriptions, entries and an outbox in memory: for the tests of `broker.notify`."""

import asyncio
from collections.abc import Callable, Sequence

from broker.core import Entity, Json
from broker.core.subscription import Subscription, read
from broker.ports.changes import Entry, Settled, SubscriptionChanges, Tally
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


def entry(
    stamp: int, of: str = "1", due: Sequence[str] = ("a",), *, foreign: bool = False, by: str = MINE
) -> Entry:
    """A change of an entity, made by a process, that is due to some subscriptions."""
    told = {f"urn:s:{one}" for one in due}
    return Entry(f"{stamp:016x}{by}", "", stamp, entity(of, stamp), told, foreign, time=stamp)


class Outbox:
    """The entries of all processes in memory; `owner` says who delivers each."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.owner: dict[str, str] = {}
        self.settled: list[Settled] = []
        self.asked = 0
        self.error: Exception | None = None

    def add(self, entry: Entry, owner: str = MINE) -> Entry:
        """An entry, as committed by its owner; there is a copy of it here."""
        self.entries[entry.id] = _copy(entry)
        self.owner[entry.id] = owner
        return entry

    def remove(self, entry: Entry) -> None:
        """The entry is told."""
        del self.entries[entry.id]

    async def blocked(self, tenant: str, entries: Sequence[Entry]) -> set[str]:
        """Those with an earlier entry of the same entity and subscription that somebody else has."""
        self.asked += 1
        await self._pause()
        others = [one for one in self.entries.values() if self.owner[one.id] != MINE]
        return {one.id for one in entries for other in others if _is_before(other, one)}

    async def settle(self, tenant: str, settled: Settled) -> None:
        """Takes it down."""
        await self._pause()
        self.settled.append(settled)
        for one in settled.finished:
            self.entries.pop(one, None)
        for one, told in settled.told.items():
            if one in self.entries:
                self.entries[one].due.difference_update(told)
                if not self.entries[one].due:
                    del self.entries[one]

    async def count(self, tenant: str) -> int:
        """How many there are."""
        await self._pause()
        return len(self.entries)

    async def forget(self, tenant: str, subscription: str) -> None:
        """Removes what is due to a subscription."""
        await self._pause()
        for one in list(self.entries.values()):
            one.due.discard(subscription)
            if not one.due:
                self.entries.pop(one.id)

    async def mine(self, tenant: str, after: str, subscriptions: Sequence[str], limit: int) -> list[Entry]:
        """Copies, as if read from a database; foreign if their id says that another process made them."""
        await self._pause()
        found = [
            _copy(self.entries[one], foreign=not one.endswith(MINE))
            for one in sorted(self.entries)
            if one >= after and self.owner[one] == MINE
        ]
        return [one for one in found if not subscriptions or one.due & set(subscriptions)][:limit]

    async def _pause(self) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


def _is_before(other: Entry, one: Entry) -> bool:
    is_same = other.entity["id"] == one.entity["id"] and bool(other.due & one.due)
    return is_same and other.stamp < one.stamp


def _copy(one: Entry, *, foreign: bool = False) -> Entry:
    return Entry(one.id, one.tenant, one.stamp, one.entity, set(one.due), foreign, time=one.time)


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
