"""Changes of stored @contexts: every worker evicts a changed @context before its client gets an answer.

Workers cache @contexts and do not ask the database about cached ones. So a change is inserted into a small
capped collection, which each worker follows with a tailable cursor; this costs nothing while nothing changes.
A worker that has evicted the @context writes a confirmation to its document in `processes`. The worker that
made the change waits for the confirmations of all others. One that does not confirm within the time of a
lease counts as dead: it cannot reach the database, and clears its cache when it can again.
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
_BYTES = 256 * 1024  # size of the capped collection
_AWAIT_MS = 5000  # ms that the server waits for new changes before it answers
_RECENT = 60.0  # seconds (server's time) for which a change needs a confirmation
_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between checks for confirmations

Forget = Callable[[Collection[ContextKey] | None], None]


class ContextChanges:
    """Publishes the changes of one process and follows those of others; `lease` in seconds."""

    def __init__(
        self,
        client: AsyncMongoClient[dict[str, Any]],
        prefix: str,
        process: str,
        lease: float,
        clock: Clock | None = None,
    ) -> None:
        self._database = client[prefix]
        # `local`, since a tailable cursor does not wake up when the majority gets a change. The changed
        # @context itself is durable by then.
        self._changes = self._database["context_changes"].with_options(read_concern=ReadConcern("local"))
        self._processes = self._database["processes"]
        self._process = process
        self._lease = lease
        self._clock = clock or Clock()
        self._last: str | None = None  # the id of the last change that this process has read

    async def open(self) -> None:
        """Creates the collection, and inserts a change of nothing: an empty one cannot be followed."""
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
        """Publishes a change of the @context with this key. Returns when every worker has evicted it.

        `forget` evicts keys from the cache of this process (all for None).
        """
        forget([key])
        change = token_hex(8)
        with reported():
            await self._changes.insert_one(
                {"_id": change, "by": self._process, "at": self._clock.server_seconds(), "key": list(key)}
            )
            await self._wait(change)
            await self._processes.update_many({"forgot": change}, {"$pull": {"forgot": change}})

    async def follow(self, forget: Forget) -> None:
        """Reads changes after the last one that it has read, until the database fails or the cursor ends.

        Clears the whole cache if it may have missed a change: on the first call, and if the last change is no
        longer in the collection.
        """
        with reported():
            async with self._changes.find(cursor_type=CursorType.TAILABLE_AWAIT) as cursor:
                cursor.max_await_time_ms(_AWAIT_MS)
                is_new = await self._is_lost()
                if is_new:
                    forget(None)
                while cursor.alive:  # the loop over the cursor ends when nothing is new for a while
                    async for change in cursor:
                        if is_new:
                            await self._apply(change, forget)
                        is_new = is_new or change["_id"] == self._last
                    if not is_new:  # the last change was removed after `_is_lost`
                        self._last = None
                        return

    async def _is_lost(self) -> bool:
        """Whether the last change that it has read is not in the collection, or there is none."""
        return self._last is None or await self._changes.find_one({"_id": self._last}, {"_id": 1}) is None

    async def _apply(self, change: dict[str, Any], forget: Forget) -> None:
        """Evicts the @context of a change, and confirms that to the process that waits for it."""
        if change["by"] != self._process and "key" in change:
            forget([tuple(change["key"])])
            if change["at"] > self._clock.server_seconds() - _RECENT:
                await self._confirm(change["_id"])
        self._last = change["_id"]

    async def _confirm(self, change: str) -> None:
        await self._processes.update_one({"_id": self._process}, {"$addToSet": {"forgot": change}})

    async def _wait(self, change: str) -> None:
        """Waits until all living processes have confirmed a change, at most for the time of a lease."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._lease, _FIRST_PAUSE
        while loop.time() < end:
            alive = {"_id": {"$ne": self._process}, "forgot": {"$ne": change}, **ALIVE}
            if await self._processes.find_one(alive, {"_id": 1}) is None:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        log.warning("a worker does not confirm a change of an @context in time; it counts as dead")
