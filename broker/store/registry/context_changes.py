"""Changes of stored @contexts, told to every worker before whoever made them is answered.

Workers remember contexts and look nothing up while they do. So a change is written to a small capped
collection that each worker follows, which costs nothing while nothing changes; a worker that has forgotten
what it knew writes so to its entry among the processes, and the one who made the change waits until all
have. Who has not after the time of a lease is taken for dead, as everywhere else: it cannot reach the
database, and begins anew when it can again.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from secrets import token_hex
from typing import Any

from pymongo import AsyncMongoClient, CursorType
from pymongo.errors import OperationFailure
from pymongo.read_concern import ReadConcern

from broker.clock import Clock
from broker.ports.contexts import ContextKey
from broker.store.registry.processes import ALIVE
from broker.store.wire.errors import reported

log = logging.getLogger(__name__)
_EXISTS = 48  # MongoDB's NamespaceExists
_BYTES = 256 * 1024
_AWAIT_MS = 5000  # how long one question for news may stay with the server
_RECENT = 60.0  # seconds (the server's) after which nobody waits for an answer any more
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05

Forget = Callable[[Collection[ContextKey] | None], None]


class ContextChanges:
    """The changes, as one process makes them and follows those of others; `lease` in seconds."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, Any]],
        prefix: str,
        process: str,
        lease: float,
        clock: Clock | None = None,
    ) -> None:
        self._database = client[prefix]
        # Read at once: nobody is woken when the majority has it. What a change tells of, it has by then.
        self._changes = self._database["context_changes"].with_options(read_concern=ReadConcern("local"))
        self._processes = self._database["processes"]
        self._process = process
        self._lease = lease
        self._clock = clock or Clock()
        self._last: str | None = None  # the last change that this process heard of

    async def open(self) -> None:
        """Makes the collection. Nobody can follow an empty one, so it begins with a change of nothing."""
        with reported():
            try:
                await self._database.create_collection(
                    "context_changes", check_exists=False, capped=True, size=_BYTES
                )
            except OperationFailure as error:
                if error.code != _EXISTS:
                    raise
            await self._changes.insert_one({"_id": token_hex(8), "by": self._process, "at": 0.0})

    async def tell(self, forget: Forget, key: ContextKey) -> None:
        """Returns when every worker has forgotten what was under this key, this one first."""
        forget([key])
        change = token_hex(8)
        with reported():
            await self._changes.insert_one(
                {"_id": change, "by": self._process, "at": self._clock.server_seconds(), "key": list(key)}
            )
            await self._wait(change)
            await self._processes.update_many({"forgot": change}, {"$pull": {"forgot": change}})

    async def follow(self, forget: Forget) -> None:
        """Follows the changes from where it was, as long as the database is there.

        All is forgotten only if something may have been missed: at first, and if the change that it heard of
        last is not among the changes any more.
        """
        with reported():
            async with self._changes.find(cursor_type=CursorType.TAILABLE_AWAIT) as cursor:
                cursor.max_await_time_ms(_AWAIT_MS)
                is_new = await self._is_lost()
                if is_new:
                    forget(None)
                while cursor.alive:  # the cursor pauses when there was nothing new for a while
                    async for change in cursor:
                        if is_new:
                            await self._hear(change, forget)
                        is_new = is_new or change["_id"] == self._last
                    if not is_new:  # the last one has gone since it was looked for
                        self._last = None
                        return

    async def _is_lost(self) -> bool:
        """Whether there is no change that it heard of and could go on after."""
        return self._last is None or await self._changes.find_one({"_id": self._last}, {"_id": 1}) is None

    async def _hear(self, change: dict[str, Any], forget: Forget) -> None:
        """Forgets what a change is about, and says so to whoever waits for it."""
        if change["by"] != self._process and "key" in change:
            forget([tuple(change["key"])])
            if change["at"] > self._clock.server_seconds() - _RECENT:
                await self._answer(change["_id"])
        self._last = change["_id"]

    async def _answer(self, change: str) -> None:
        await self._processes.update_one({"_id": self._process}, {"$addToSet": {"forgot": change}})

    async def _wait(self, change: str) -> None:
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._lease, _FIRST_PAUSE
        while loop.time() < end:
            alive = {"_id": {"$ne": self._process}, "forgot": {"$ne": change}, **ALIVE}
            if await self._processes.find_one(alive, {"_id": 1}) is None:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        log.warning("a worker does not say that it knows of a changed @context; it is not waited for")
