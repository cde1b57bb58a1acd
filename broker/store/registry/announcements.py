"""Announcements: every worker hears of a change of what it has in memory before the client gets an answer.

Workers hold @contexts and context sources in memory, and do not ask the database whether they are still as
they were. So a change is announced, by its kind and a key, in a small capped collection, which each worker
follows with a tailable cursor; this costs nothing while nothing changes. A worker that has applied an
announcement writes a confirmation to its document in `processes`. The worker that made the change waits for
the confirmations of all others. One that does not confirm within the time of a lease counts as dead: it
cannot reach the database, and hears what it missed when it can again. Until then it knows that it may have
missed something (`is_current`).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from math import inf
from secrets import token_hex
from typing import Any

from pymongo import AsyncMongoClient, CursorType
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from broker.clock import Clock
from broker.store.registry.processes import ALIVE
from broker.store.wire.errors import reported

log = logging.getLogger(__name__)
_EXISTS = 48  # MongoDB's NamespaceExists
_BYTES = 256 * 1024  # size of the capped collection
_BATCH = 100  # announcements that are read at once, so that none of them is old when its turn comes
_AWAIT = 5.0  # seconds at most that the server waits for new announcements; no more than a third of a lease
_RECENT = 60.0  # seconds (server's time) for which an announcement needs a confirmation
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between checks for confirmations

Key = tuple[str, ...]
Apply = Callable[[Collection[Key] | None], Awaitable[None]]


class Announcements:
    """Makes the announcements of one process and follows those of others; `lease` in seconds."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, Any]],
        prefix: str,
        process: str,
        lease: float,
        clock: Clock | None = None,
    ) -> None:
        self._database = client[prefix]
        # `local`, since a tailable cursor does not wake up when the majority gets an announcement. What was
        # changed is durable by then.
        self._made = self._database["announcements"].with_options(read_concern=ReadConcern("local"))
        self._processes = self._database["processes"]
        self._process = process
        self._lease = lease
        self._clock = clock or Clock()
        self._applies: dict[str, Apply] = {}
        self._last: str | None = None  # the id of the last announcement that this process has read
        self._heard = -inf  # monotonic time (s) up to which it has heard of everything

    def on(self, kind: str, apply: Apply) -> None:
        """Sets what is called with the keys of changes of a kind; None: anything may have changed."""
        self._applies[kind] = apply

    async def open(self) -> None:
        """Creates the collection, and inserts an announcement of nothing: an empty one cannot be followed."""
        with reported():
            try:
                await self._database.create_collection(
                    "announcements", check_exists=False, capped=True, size=_BYTES
                )
            except OperationFailure as error:
                if error.code != _EXISTS:
                    raise
            await self._made.insert_one({"_id": token_hex(8), "by": self._process, "at": 0.0})

    def is_current(self, awaited_since: float) -> bool:
        """Whether this process has heard of every change that others have done waiting for.

        `awaited_since`: the monotonic time (s) from which on others know that this process lives.
        """
        return self._heard >= awaited_since and time.monotonic() - self._heard < self._lease

    async def announce(self, kind: str, key: Key) -> None:
        """Announces a change that is durable. Returns when every worker has applied it, this one first."""
        await self._applies[kind]([key])
        name = token_hex(8)
        announcement = {"by": self._process, "at": self._clock.server_seconds(), "kind": kind, "key": [*key]}
        with reported():
            await self._made.insert_one({"_id": name, **announcement})
            await self._wait(name)
            await self._processes.update_many({"applied": name}, {"$pull": {"applied": name}})

    async def follow(self) -> None:
        """Applies announcements after the last one that it has read, until the database fails or the cursor
        ends.

        Everything may have changed if it may have missed one: on the first call, and if the last one is no
        longer in the collection.
        """
        try:
            with reported():
                await self._follow()
        finally:
            self._heard = -inf

    async def _follow(self) -> None:
        began = time.monotonic()
        newest = await self._newest()
        async with self._made.find(cursor_type=CursorType.TAILABLE_AWAIT, batch_size=_BATCH) as cursor:
            cursor.max_await_time_ms(round(min(_AWAIT, self._lease / 3) * 1000))
            is_new = await self._is_lost()
            if is_new:
                await self._apply_everything()
            has_caught_up = False
            while cursor.alive:
                if has_caught_up:
                    self._heard = began
                    began = time.monotonic()
                announcement = await anext(cursor, None)  # None: nothing is new for a while
                if announcement is None and not is_new:  # the last one was removed after `_is_lost`
                    self._last = None
                    return
                if announcement is not None and is_new:
                    await self._apply(announcement)
                name = None if announcement is None else announcement["_id"]
                is_new = is_new or name == self._last
                has_caught_up = has_caught_up or (is_new and name in (None, newest))

    async def _newest(self) -> str | None:
        """The id of the newest announcement."""
        newest = await self._made.find_one(sort=[("$natural", -1)])
        return None if newest is None else str(newest["_id"])

    async def _is_lost(self) -> bool:
        """Whether the last announcement that it has read is not in the collection, or there is none."""
        return self._last is None or await self._made.find_one({"_id": self._last}, {"_id": 1}) is None

    async def _apply_everything(self) -> None:
        for apply in self._applies.values():
            await apply(None)

    async def _apply(self, announcement: dict[str, Any]) -> None:
        """Applies an announcement, and confirms that to the process that waits for it."""
        if announcement["by"] != self._process and "kind" in announcement:
            if (apply := self._applies.get(announcement["kind"])) is not None:
                await apply([tuple(announcement["key"])])
            if announcement["at"] > self._clock.server_seconds() - _RECENT:
                await self._confirm(announcement["_id"])
        self._last = announcement["_id"]

    async def _confirm(self, name: str) -> None:
        await self._processes.update_one({"_id": self._process}, {"$addToSet": {"applied": name}})

    async def _wait(self, name: str) -> None:
        """Waits until all living processes have confirmed an announcement, for a lease at most."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._lease, _FIRST_PAUSE
        while loop.time() < end:
            alive = {"_id": {"$ne": self._process}, "applied": {"$ne": name}, **ALIVE}
            if await self._processes.find_one(alive, {"_id": 1}) is None:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        log.warning("a worker does not confirm a change in time; it counts as dead")
