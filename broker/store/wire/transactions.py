"""Transactions on one session, one after another, each with a limit of time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError

from broker.core.errors import Unavailable
from broker.store.wire.errors import meaning

Result = TypeVar("Result")

_PATIENCE = 20.0  # seconds for the wait for the lock and the transaction; as long as a write is retried


class Transactions:
    """Runs transactions that would conflict if they ran at the same time: one after another."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self.session = client.start_session()
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[AsyncClientSession], Awaitable[Result]]) -> Result:
        """The result of `work`, after its transaction is committed. A conflict runs `work` again.

        Unavailable if that takes more than 20 s or the database is away. The next transaction of the session
        aborts one that was left open.
        """
        end = asyncio.get_running_loop().time() + _PATIENCE
        try:
            async with asyncio.timeout_at(end):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _late() from error
        try:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:  # it got the lock at the last moment
                raise _late()
            return await self._run(work, left)
        finally:
            self._turn.release()

    async def _run(self, work: Callable[[AsyncClientSession], Awaitable[Result]], seconds: float) -> Result:
        try:
            with pymongo.timeout(seconds):
                return await self.session.with_transaction(work)
        except PyMongoError as error:
            raise _late() if error.timeout else meaning(error) from error


def _late() -> Unavailable:
    return Unavailable(f"the change could not be committed in {_PATIENCE:.0f} s; try again shortly")
