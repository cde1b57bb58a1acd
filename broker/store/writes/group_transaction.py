"""Transactions, for the few writes that are about more than one document."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from broker.store.wire import commands

_DUPLICATE_KEY = 11000
# Ended by others, timed out, or too late for its snapshot: nothing is wrong with what was to be written.
_AGAIN = {43, 50, 64, 91, 189, 225, 237, 239, 244, 246, 251, 262, 290, 11601}
_ENDED = {50, 237, 262, 290, 11601}
_PAUSE = 0.1


class WriteConflict(Exception):
    """Another write was faster, or the server wants the transaction done again: nothing was written."""


@asynccontextmanager
async def transaction(session: AsyncClientSession, doubt: Callable[[], None]) -> AsyncIterator[None]:
    """Commits at the end of the block, all or nothing.

    Raises WriteConflict if it may be retried, the driver's error otherwise. `doubt` is called while nobody
    knows whether the commit went through.
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
    """Commits. While the outcome is unknown it is asked for again, which is safe: it is idempotent."""
    while True:
        try:
            return await session.commit_transaction()
        except PyMongoError as error:
            # One that was ended by others may have been through, and waiting for the majority.
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
            return  # the server ends it by itself


def _is_write_conflict(error: Exception) -> bool:
    if isinstance(error, commands.Missed):
        return True
    if isinstance(error, ConnectionFailure):
        return False
    is_transient = isinstance(error, PyMongoError) and error.has_error_label("TransientTransactionError")
    return is_transient or _code(error) in {_DUPLICATE_KEY, *_AGAIN}


def _code(error: Exception) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None
