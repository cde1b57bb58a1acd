"""Transactions of the group commit, for writes that change more than one document together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from broker.store.wire import commands

_DUPLICATE_KEY = 11000
# Killed, timed out, or conflicting: the transaction can be retried.
_AGAIN = {43, 50, 64, 91, 189, 225, 237, 239, 244, 246, 251, 262, 290, 11601}
_ENDED = {50, 237, 262, 290, 11601}  # killed or timed out
_PAUSE = 0.1  # seconds between two requests for the result of a commit


class WriteConflict(Exception):
    """A transaction conflicted with another write, or the server wants a retry. Nothing was written."""


@asynccontextmanager
async def transaction(session: AsyncClientSession, doubt: Callable[[], None]) -> AsyncIterator[None]:
    """Runs the block in a transaction and commits it at the end; aborts it if the block raises.

    Raises WriteConflict if a retry may succeed, the driver's error otherwise. Calls `doubt` repeatedly while
    the result of the commit is unknown.
    """
    try:
        await session.start_transaction()
        yield
        await _finish(session, doubt)
    except (PyMongoError, commands.Missed) as error:
        await _abandon(session)
        if _is_write_conflict(error):
            raise WriteConflict(str(error)) from error
        raise
    except BaseException:
        await _abandon(session)
        raise


async def _finish(session: AsyncClientSession, doubt: Callable[[], None]) -> None:
    """Commits. Repeats the command, which is idempotent, while the result is unknown."""
    while True:
        try:
            return await session.commit_transaction()
        except PyMongoError as error:
            # A killed command may already have committed, and waited for the majority.
            is_known = not error.has_error_label("UnknownTransactionCommitResult")
            if is_known and _code(error) not in _ENDED:
                raise
        doubt()
        await asyncio.sleep(_PAUSE)


async def _abandon(session: AsyncClientSession) -> None:
    if session.in_transaction:
        try:
            await session.abort_transaction()
        except PyMongoError:
            return  # the server aborts it after its timeout


def _is_write_conflict(error: Exception) -> bool:
    if isinstance(error, commands.Missed):
        return True
    if isinstance(error, ConnectionFailure):
        return False
    is_transient = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
    return is_transient or _code(error) in {_DUPLICATE_KEY, *_AGAIN}


def _code(error: Exception) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None
