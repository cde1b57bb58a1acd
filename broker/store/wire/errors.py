"""Translates errors of the driver into the errors that a requester gets."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)

from broker.core.errors import BadRequestData, TooComplexQuery, Unavailable
from broker.store.wire.deadline import LATE

_BAD_PATTERN = 51091
_TOO_OLD = 239  # SnapshotTooOld: a read took longer than the server keeps its snapshot
_NO_SPACE = 14031
# Codes of failures that may not happen again: no primary, a shutdown, a conflict, a lack of resources.
PASSING = {
    *(6, 7, 9001, 43),  # HostUnreachable, HostNotFound, SocketException, CursorNotFound
    *(10107, 11602, 13435, 13436, 189),  # no primary, or another one
    *(91, 11600, 279, 11601, 237, 290, 262, 89),  # interrupted, killed, or timed out
    *(112, 24, 46, 117, 246, 251, 225, 244, 267),  # WriteConflict, locks, snapshots, transactions
    *(64, 79, 100, 134),  # no confirmation by the majority
    *(_NO_SPACE, 202, 317, 365, 384),  # no disk space or connections, or a timeout between servers
}
_LABELS = ("TransientTransactionError", "RetryableWriteError")


def meaning(error: PyMongoError) -> Exception:
    """The error to raise in place of the driver's; the same error if it is a fault of the broker."""
    if isinstance(error, ExecutionTimeout) or getattr(error, "code", None) == _TOO_OLD:
        return TooComplexQuery(LATE)
    if isinstance(error, DocumentTooLarge):
        return BadRequestData("the database takes no more than 16 MB at once, and this is more")
    if is_passing(error):
        return Unavailable(why(_codes(error)))
    if isinstance(error, OperationFailure) and error.code == _BAD_PATTERN:
        return BadRequestData("regular expression: the database does not understand it")
    return error


def is_passing(error: PyMongoError) -> bool:
    """Whether the error comes from the present state of the database, so that a retry may succeed."""
    if isinstance(error, ConnectionFailure) or any(map(error.has_error_label, _LABELS)):
        return True
    codes = _codes(error)
    return bool(codes) and codes <= PASSING


def _codes(error: PyMongoError) -> set[int | None]:
    """The server's codes in an error; a BulkWriteError has one for each statement that failed."""
    if isinstance(error, BulkWriteError) and error.details:
        return {failure.get("code") for failure in error.details.get("writeErrors", ())}
    return {error.code} if isinstance(error, OperationFailure) else set()


def why(codes: Iterable[int | None]) -> str:
    """The message for a requester why the database cannot do something now, from the server's codes."""
    if _NO_SPACE in codes:
        return "the database has no space left on its disk; try again when there is some"
    return "the database is away; try again shortly"


@contextmanager
def reported() -> Iterator[None]:
    """Raises the errors of the driver inside the block as their `meaning`.

    Unavailable mostly; TooComplexQuery, BadRequestData, or the driver's error as it is.
    """
    try:
        yield
    except PyMongoError as error:
        raise meaning(error) from error
