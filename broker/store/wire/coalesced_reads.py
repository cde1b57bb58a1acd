"""Coalesced reads by key: keys requested while a batch is being read go together into the next batch."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")
Fetch = Callable[[list[Key]], Awaitable[Mapping[Key, Found | Exception]]]


class Reads(Generic[Key, Found]):
    """Reads values by key, several in each round trip.

    `fetch` reads up to `batch` keys at once; up to `in_flight` calls of it run at the same time. It returns a
    dict, which may hold an exception as a value: `get` raises it to the callers of that key. A read starts at
    once if there is capacity, and does not wait for others. Callers of the same key get the same object.
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
        """The value of this key; None if there is none."""
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
            values = await self._fetch(list(wanted))
            for key, futures in wanted.items():
                value = values.get(key)
                for future in futures:
                    if future.done():
                        continue
                    if isinstance(value, Exception):
                        future.set_exception(value)
                    else:
                        future.set_result(value)
        except Exception as error:  # any error: no caller may wait for ever
            for future in (future for futures in wanted.values() for future in futures if not future.done()):
                future.set_exception(error)
        finally:
            self._free += 1
            self._start()
