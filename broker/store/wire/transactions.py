"""Transactions of one session, one after another, each within a bound of time whatever the database does."""

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

_PATIENCE = 20.0  # seconds for a transaction and its turn, as long as a write to an entity is tried for


class Transactions:
    """Runs transactions that would only conflict with each other side by side."""

    def __init__(self, client: AsyncMongoClient[dict[str, Any]]) -> None:
        self.session = client.start_session()
        self._turn = asyncio.Lock()

    async def run(self, work: Callable[[AsyncClientSession], Awaitable[Result]]) -> Result:
        """The result of `work`, once its transaction is committed; it is done anew where that conflicts.

        Unavailable if that takes too long or the database is away. What was left open then is ended by the
        next transaction of the session.
        """
        end = asyncio.get_running_loop().time() + _PATIENCE
        try:
            async with asyncio.timeout_at(end):
                await self._turn.acquire()
        except TimeoutError as error:
            raise _late() from error
        try:
            left = end - asyncio.get_running_loop().time()
            if left <= 0:  # its turn came in the last moment
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
