"""What has to wait for another process: notifications of an entity that somebody else wrote before us."""

import asyncio
import heapq
import logging
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from broker.core.errors import Unavailable
from broker.notify.lane import NOTHING
from broker.ports.changes import Entry
from broker.ports.delivery import Outbox

log = logging.getLogger(__name__)
# Seconds between looks for whether another process is through: a quarter of the time waited so far.
_SHORTEST, _LONGEST = 0.003, 0.5
_LIMIT = 10_000  # entries held in memory; more wait in the outbox
_AHEAD = 100  # entries of one line that one look asks for
_AT_ONCE = 500  # lines that one look asks for
_PAGE = 500  # entries read back from the outbox at once
_OURS = 20_000  # entities remembered

Place = tuple[str, str]
Key = tuple[str, str, str]


def part(entry: Entry, subscription: str) -> Entry:
    """An entry as it concerns one subscription alone."""
    return Entry(
        f"{entry.id} {subscription}", entry.tenant, entry.stamp, entry.entity, {subscription}, time=entry.time
    )


@dataclass(slots=True)
class _Line:
    """Entries of one entity for one subscription, in the order of their stamps; `since` the last went."""

    since: float
    entries: list[Entry] = field(default_factory=list)

    def next_look(self, now: float) -> float:
        """When to ask again."""
        return now + min(max((now - self.since) / 4, _SHORTEST), _LONGEST)


class Holds:
    """Offers entries in an order that holds across processes.

    An entity that another process wrote last may have notifications under way there. What comes after
    them is held until they are gone from the outbox: for each subscription by itself, so that one that
    cannot be reached holds up nobody else. `order` is held by who moves entries between processes.
    """

    def __init__(self, outbox: Outbox, offer: Callable[[Entry, str], None]) -> None:
        self.order = asyncio.Lock()
        self._outbox = outbox
        self._offer = offer
        self._lines: dict[Key, _Line] = {}
        self._size = 0
        self._looks: list[tuple[float, int, Key]] = []  # each line once, the next to look at in front
        self._numbers = count()
        # Of an entity, the stamp up to which others may have something to tell, and who that was not due to.
        self._ours: dict[Place, tuple[int, set[str]]] = {}
        # What there was no room for: by tenant and key, the id of the first entry; and what is being read.
        self._left: dict[str, dict[Key, str]] = {}
        self._reading: dict[Key, str] = {}
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return self._size

    def take(self, entry: Entry) -> None:
        """Offers an entry to the subscriptions it is due to, to each as soon as it may be."""
        place = (entry.tenant, entry.entity["id"])
        if entry.foreign or place not in self._ours:
            self._ours[place] = (entry.stamp, set())
        ours = self._ours[place][1]
        for subscription in list(entry.due):
            if subscription in ours:
                self._offer(entry, subscription)
            else:
                self._hold((*place, subscription), entry)

    def has(self, entry: Entry, subscription: str) -> bool:
        """Whether an entry has yet to be offered to a subscription."""
        key = (entry.tenant, entry.entity["id"], subscription)
        if (line := self._lines.get(key)) is not None and entry.stamp >= line.entries[0].stamp:
            return True
        left = self._left.get(entry.tenant, {}).get(key, NOTHING)
        return entry.id >= min(left, self._reading.get(key, NOTHING))

    async def close(self) -> None:
        """Stops; what is held stays in the outbox."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    def _hold(self, key: Key, entry: Entry) -> None:
        left = self._left.get(key[0], {})
        if key in left or self._size >= _LIMIT:
            left[key] = min(entry.id, left.get(key, NOTHING))
            self._left[key[0]] = left
        else:
            self._add(key, entry)
        self._news.set()
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())

    def _add(self, key: Key, entry: Entry) -> None:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(asyncio.get_running_loop().time())
            heapq.heappush(self._looks, (0.0, next(self._numbers), key))
        place = bisect_left(line.entries, entry.stamp, key=lambda one: one.stamp)
        if place == len(line.entries) or line.entries[place].stamp != entry.stamp:
            line.entries.insert(place, entry)
            self._size += 1

    async def _watch(self) -> None:
        """Looks after what is held for as long as there is anything. Never ends with less."""
        while self._lines or self._left:
            self._news.clear()
            try:
                async with self.order:
                    await self._read_back()
                    await self._look()
            except Exception as error:
                if not isinstance(error, Unavailable):
                    log.exception("the outbox cannot be read; trying again")
                await asyncio.sleep(_LONGEST)
            await self._until_next()

    async def _until_next(self) -> None:
        """Returns when a line is to be looked at, or something new is held."""
        wait = self._looks[0][0] - asyncio.get_running_loop().time() if self._looks else 0.0
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                return

    async def _look(self) -> None:
        """Lets go what no other process has anything earlier of."""
        by_tenant: dict[str, list[Key]] = {}
        for key in self._next_keys():
            by_tenant.setdefault(key[0], []).append(key)
        try:
            while by_tenant:
                tenant, keys = by_tenant.popitem()
                try:
                    await self._look_at(tenant, keys)
                finally:
                    self._look_again(keys)
        finally:
            for keys in by_tenant.values():
                self._look_again(keys)

    def _next_keys(self) -> list[Key]:
        now = asyncio.get_running_loop().time()
        keys: list[Key] = []
        while self._looks and self._looks[0][0] <= now and len(keys) < _AT_ONCE:
            keys.append(heapq.heappop(self._looks)[2])
        return keys

    async def _look_at(self, tenant: str, keys: list[Key]) -> None:
        looked = [(key, self._lines[key].entries[:_AHEAD], self._ours.get(key[:2])) for key in keys]
        blocked = await self._outbox.blocked(
            tenant, [part(entry, key[2]) for key, entries, _ in looked for entry in entries]
        )
        for key, entries, ours in looked:
            free = 0
            while free < len(entries) and f"{entries[free].id} {key[2]}" not in blocked:
                free += 1
            for entry in entries[free:]:
                entry.has_waited = True
            self._let_go(key, entries[:free])
            if ours and not self._is_held(key) and entries[free - 1].stamp >= ours[0]:
                ours[1].add(key[2])
        if len(self._ours) > _OURS:
            self._ours.clear()

    def _is_held(self, key: Key) -> bool:
        return key in self._lines or key in self._left.get(key[0], ())

    def _let_go(self, key: Key, entries: list[Entry]) -> None:
        """Offers the first entries of a line."""
        line = self._lines[key]
        if entries:
            line.since = asyncio.get_running_loop().time()
        del line.entries[: len(entries)]
        self._size -= len(entries)
        for entry in entries:
            self._offer(entry, key[2])
        if not line.entries:
            del self._lines[key]

    def _look_again(self, keys: list[Key]) -> None:
        now = asyncio.get_running_loop().time()
        for key in keys:
            if (line := self._lines.get(key)) is not None:
                heapq.heappush(self._looks, (line.next_look(now), next(self._numbers), key))

    async def _read_back(self) -> None:
        """Takes on what there was no room for, once there is. Meanwhile more may be left."""
        for tenant, left in list(self._left.items()):
            if self._size > _LIMIT // 2:
                return
            self._reading = dict(left)
            left.update(dict.fromkeys(left, NOTHING))
            rest = ""
            try:
                rest = await self._read(tenant)
            finally:
                for key, start in self._reading.items():
                    left[key] = min(left[key], max(start, rest))
                self._reading = {}
            still = {key: start for key, start in left.items() if start != NOTHING}
            self._left[tenant] = still
            if not still:
                del self._left[tenant]

    async def _read(self, tenant: str) -> str:
        """Reads entries until there is no room; returns where the rest begins."""
        start = min(self._reading.values())
        while self._size < _LIMIT:
            entries = await self._outbox.mine(tenant, start, (), _PAGE)
            for entry in entries:
                for subscription in entry.due:
                    key = (tenant, entry.entity["id"], subscription)
                    if entry.id >= self._reading.get(key, NOTHING):
                        self._add(key, entry)
            if len(entries) < _PAGE:
                return NOTHING
            start = entries[-1].id + "\0"
        return start
