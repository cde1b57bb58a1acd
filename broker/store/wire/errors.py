"""What errors of the database mean to a requester."""

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
_TOO_OLD = 239  # what was read as of one moment took so long that the server has forgotten that moment
_NO_SPACE = 14031
# The server shuts down, is no primary, is short of something, or ended the operation for others' sake.
PASSING = {
    *(6, 7, 9001, 43),  # HostUnreachable, HostNotFound, SocketException, CursorNotFound
    *(10107, 11602, 13435, 13436, 189),  # no primary, or another one
    *(91, 11600, 279, 11601, 237, 290, 262, 89),  # ended by a shutdown, by others or by the clock
    *(112, 24, 46, 117, 246, 251, 225, 244, 267),  # WriteConflict, locks, snapshots, transactions
    *(64, 79, 100, 134),  # the majority does not confirm
    *(_NO_SPACE, 202, 317, 365, 384),  # out of disk space, of connections, of time between servers
}
_LABELS = ("TransientTransactionError", "RetryableWriteError")


def meaning(error: PyMongoError) -> Exception:
    """The error to raise instead of the driver's; the driver's own where it is nobody's but ours."""
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
    """Whether this is about the state of the database: what was asked for may be done at another time."""
    if isinstance(error, ConnectionFailure) or any(map(error.has_error_label, _LABELS)):
        return True
    codes = _codes(error)
    return bool(codes) and codes <= PASSING


def _codes(error: PyMongoError) -> set[int | None]:
    """The server's codes: of each statement that failed, where there are several."""
    if isinstance(error, BulkWriteError) and error.details:
        return {one.get("code") for one in error.details.get("writeErrors", ())}
    return {error.code} if isinstance(error, OperationFailure) else set()


def why(codes: Iterable[int | None]) -> str:
    """Why the database cannot do something now, from codes of its."""
    if _NO_SPACE in codes:
        return "the database has no space left on its disk; try again when there is some"
    return "the database is away; try again shortly"


@contextmanager
def reported() -> Iterator[None]:
    """Raises the driver's errors as what they mean."""
    try:
        yield
    except PyMongoError as error:
        raise meaning(error) from error
