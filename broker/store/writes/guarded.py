"""Commands of guarded statements, whose outcome is always known: each statement was done, or it was not.

A command is a retryable write: it carries the session's id and a number, so MongoDB knows it when it comes
again, does what is left of it, and answers what became of each statement. So when a reply is lost, a primary
steps down, or the majority does not confirm in time, the command is sent again until there is an answer.
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
_PAUSE = 0.1
_LOCKED = 500  # ms that a command may take; then those of its statements are told apart that wait for a lock
_TOO_LARGE = 10334
WAITED = 50  # the code of a statement that waited too long for a lock
# Ended by others, timed out, shutting down, or no primary any more: the server may have done it, and knows.
_AGAIN = {6, 7, 64, 89, 91, 189, 237, 262, 290, 9001, 10107, 11600, 11601, 11602, 13435, 13436, 100, 79}


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a statement was not done: the server's code, and its words."""

    code: int
    reason: str


class Away(Exception):
    """The database could not be reached, or cannot write now: nothing was written. It says which."""


class Guarded:
    """One session on which commands follow each other.

    It is never given back to the driver, which would count from one on it, and be refused by the server: that
    ends it by itself when it has not been used for long.
    """

    def __init__(self, client: AsyncMongoClient[Document]) -> None:
        self._session = client.start_session()
        # More than whatever this session of the server may have had before: the driver counts them from one.
        self._number = time.time_ns()

    async def update(
        self, collection: Collection, updates: Sequence[Document], doubt: Callable[[], None]
    ) -> dict[int, Failed]:
        """Carries out updates; which of them were not done, by number. `doubt` is called while nobody knows.

        Raises Away if nothing was sent; the driver's error if the server refuses the whole command.
        """
        return await self._run(collection, "update", "updates", updates, doubt)

    async def insert(
        self, collection: Collection, documents: Sequence[Document], doubt: Callable[[], None]
    ) -> dict[int, Failed]:
        """Inserts documents; as `update`."""
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
        return await self._part(collection, whole, doubt)

    async def _part(
        self, collection: Collection, part: "_Part", doubt: Callable[[], None]
    ) -> dict[int, Failed]:
        """Sends some of the statements; in halves if they are too large, or one waits for a lock."""
        try:
            reply = await self._answer(collection, part.command, doubt)
        except DocumentTooLarge as error:  # together they exceed what one command may hold
            if len(part) == 1:
                return {part.first: Failed(_TOO_LARGE, str(error))}
        except ExecutionTimeout as error:
            if len(part) == 1:
                return {part.first: Failed(WAITED, str(error))}
        else:
            errors = reply.get("writeErrors", ())
            return {part.first + one["index"]: Failed(one["code"], one.get("errmsg", "")) for one in errors}
        first, second = part.halves
        return await self._part(collection, first, doubt) | await self._part(collection, second, doubt)

    async def _answer(self, collection: Collection, command: Document, doubt: Callable[[], None]) -> Document:
        is_sent = False
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
    """Statements of a command, of which the first is the one of this number."""

    base: Document
    member: str
    items: Sequence[Document]
    first: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def command(self) -> Document:
        """The command; its statements keep their numbers, by which the server knows what it has done."""
        numbers = [*range(self.first, self.first + len(self.items))]
        return {**self.base, self.member: self.items, "stmtIds": numbers}

    @property
    def halves(self) -> tuple["_Part", "_Part"]:
        """The same in two."""
        half = len(self.items) // 2
        return (
            _Part(self.base, self.member, self.items[:half], self.first),
            _Part(self.base, self.member, self.items[half:], self.first + half),
        )


def _is_final(reply: Document) -> bool:
    """Whether what the reply says of each statement holds: nothing was interrupted, the majority has it."""
    return "writeConcernError" not in reply and not any(
        one["code"] in _AGAIN for one in reply.get("writeErrors", ())
    )


def _may_be_done(error: PyMongoError) -> bool:
    """Whether the server may have carried out the command."""
    if isinstance(error, ServerSelectionTimeoutError):
        return False
    if isinstance(error, ConnectionFailure) or error.has_error_label("RetryableWriteError"):
        return True
    return isinstance(error, OperationFailure) and error.code in _AGAIN
