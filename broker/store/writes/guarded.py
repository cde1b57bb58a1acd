"""Commands of guarded statements. The caller always learns whether each statement was executed or not.

A command is a retryable write: it carries the id of its session and a number. When MongoDB gets it again, it
executes only the statements that are not done yet, and replies with the result of each. So if a reply is
lost, a primary steps down, or the majority does not confirm in time, the command is sent again until its
result is known.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bson import Int64
from pymongo import AsyncMongoClient
from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from broker.store.wire.errors import is_passing, meaning
from broker.store.wire.tenants import Collection

Document = dict[str, Any]

_DURABLE = {"w": "majority", "j": True}
_PAUSE = 0.1  # seconds before a command is sent again
_LOCKED = 500  # ms for a command; after that it is split, to find the statements that wait for a lock
_TOO_LARGE = 10334
WAITED = 50  # the code of a statement that waited too long for a lock
# Killed, timed out, shutting down, or not primary: the statement may be done, and the server knows whether.
_AGAIN = {6, 7, 64, 89, 91, 189, 237, 262, 290, 9001, 10107, 11600, 11601, 11602, 13435, 13436, 100, 79}


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a statement was not executed: the server's code and message."""

    code: int
    reason: str


class Away(Exception):
    """The database is unreachable or cannot write now (the message says which). Nothing was written."""


class Guarded:
    """One session, which executes one command at a time.

    The session is never returned to the driver. The driver would number its next commands from one, and the
    server would refuse those. The server ends an unused session after its timeout.
    """

    def __init__(self, client: AsyncMongoClient[Document]) -> None:
        self._session = client.start_session()
        # Above all numbers that the server has seen on this session: the driver may have reused it.
        self._number = time.time_ns()

    async def update(
        self, collection: Collection, updates: Sequence[Document], doubt: Callable[[], None]
    ) -> dict[int, Failed]:
        """Executes updates. Returns those that failed: {index in `updates`: failure}.

        Calls `doubt` repeatedly while the result is unknown. Raises Away if the command was not sent, the
        driver's error if the server refuses the whole command.
        """
        return await self._run(collection, "update", "updates", updates, doubt)

    async def insert(
        self, collection: Collection, documents: Sequence[Document], doubt: Callable[[], None]
    ) -> dict[int, Failed]:
        """Inserts documents. Returns failures and raises Away or the driver's error, as `update` does."""
        return await self._run(collection, "insert", "documents", documents, doubt)

    async def _run(
        self,
        collection: Collection,
        name: str,
        member: str,
        items: Sequence[Document],
        doubt: Callable[[], None],
    ) -> dict[int, Failed]:
        self._number += 1
        base = {name: collection.name, "ordered": False, "txnNumber": Int64(self._number)}
        base |= {"writeConcern": _DURABLE, "maxTimeMS": _LOCKED}
        whole = _Part(base, member, items, 0)
        return await self._part(collection, whole, doubt, is_sent=False)

    async def _part(
        self, collection: Collection, part: "_Part", doubt: Callable[[], None], *, is_sent: bool
    ) -> dict[int, Failed]:
        """Sends a part of a command; in halves if it is too large, or if a statement waits for a lock.

        `is_sent`: the server may have executed some of the command, so it is retried instead of raising Away.
        """
        try:
            reply = await self._answer(collection, part.command, doubt, is_sent=is_sent)
        except DocumentTooLarge as error:  # together they exceed what one command may hold
            if len(part) == 1:
                return {part.first: Failed(_TOO_LARGE, str(error))}
        except ExecutionTimeout as error:
            if len(part) == 1:
                return {part.first: Failed(WAITED, str(error))}
            is_sent = True
        else:
            failures = reply.get("writeErrors", ())
            return {
                part.first + each["index"]: Failed(each["code"], each.get("errmsg", "")) for each in failures
            }
        first, second = part.halves
        failed = await self._part(collection, first, doubt, is_sent=is_sent)
        return failed | await self._part(collection, second, doubt, is_sent=True)

    async def _answer(
        self, collection: Collection, command: Document, doubt: Callable[[], None], *, is_sent: bool
    ) -> Document:
        while True:
            try:
                reply: Document = await collection.database.command(command, session=self._session)
            except PyMongoError as error:
                if isinstance(error, ExecutionTimeout) or not is_passing(error):
                    raise
                is_sent = is_sent or _may_be_done(error)
                if not is_sent:
                    raise Away(str(meaning(error))) from error
            else:
                if _is_final(reply):
                    return reply
                is_sent = True
            doubt()
            await asyncio.sleep(_PAUSE)


@dataclass(frozen=True, slots=True)
class _Part:
    """Consecutive statements of a command; `first` is the index of the first one in the whole command."""

    base: Document
    member: str
    items: Sequence[Document]
    first: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def command(self) -> Document:
        """The command. A statement keeps its id when the command is split, so the server recognizes it."""
        numbers = [*range(self.first, self.first + len(self.items))]
        return {**self.base, self.member: self.items, "stmtIds": numbers}

    @property
    def halves(self) -> tuple["_Part", "_Part"]:
        """The part split in two."""
        half = len(self.items) // 2
        return (
            _Part(self.base, self.member, self.items[:half], self.first),
            _Part(self.base, self.member, self.items[half:], self.first + half),
        )


def _is_final(reply: Document) -> bool:
    """Whether the results in a reply are final: no statement was interrupted, and a majority confirmed."""
    return "writeConcernError" not in reply and not any(
        error["code"] in _AGAIN for error in reply.get("writeErrors", ())
    )


def _may_be_done(error: PyMongoError) -> bool:
    """Whether the server may have executed the command."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    if isinstance(error, ConnectionFailure) or error.has_error_label("RetryableWriteError"):
        return True
    return isinstance(error, OperationFailure) and error.code in _AGAIN
