"""Reads by id, coalesced: all ids wanted while one batch is on its way go into the next one's `$in`."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")
Fetch = Callable[[list[Key]], Awaitable[Mapping[Key, Found | Exception]]]


class Reads(Generic[Key, Found]):
    """Things by id, in as few round trips as the load allows; `fetch` reads those of several ids at once.

    It may find an exception in place of one of them, for those who asked for that one.
    A lone read starts at once: nothing waits for company. Callers for the same id share what is found.
    """

    def __init__(
        self,
        fetch: Fetch[Key, Found],
        batch: int,
        in_flight: int = 2,
    ) -> None:
        self._fetch = fetch
        self._batch = batch
        self._free = in_flight
        self._wanted: dict[Key, list[asyncio.Future[Found | None]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def get(self, key: Key) -> Found | None:
        """What there is of this id, None if there is nothing."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found | None] = loop.create_future()
        if not self._wanted and self._free:
            loop.call_soon(self._start)
        self._wanted.setdefault(key, []).append(future)
        return await future

    def _start(self) -> None:
        while self._free and self._wanted:
            self._free -= 1
            task = asyncio.create_task(self._serve(self._take()))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> dict[Key, list[asyncio.Future[Found | None]]]:
        if len(self._wanted) <= self._batch:
            wanted, self._wanted = self._wanted, {}
            return wanted
        return {key: self._wanted.pop(key) for key in list(self._wanted)[: self._batch]}

    async def _serve(self, wanted: dict[Key, list[asyncio.Future[Found | None]]]) -> None:
        try:
            found = await self._fetch(list(wanted))
            for key, futures in wanted.items():
                one = found.get(key)
                for future in futures:
                    if future.done():
                        continue
                    if isinstance(one, Exception):
                        future.set_exception(one)
                    else:
                        future.set_result(one)
        except Exception as error:  # whatever it is, nobody may wait for ever
            for future in (one for futures in wanted.values() for one in futures if not one.done()):
                future.set_exception(error)
        finally:
            self._free += 1
            self._start()
