"""What errors of the database mean to a requester."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)

from broker.core.errors import BadRequestData, TooComplexQuery, Unavailable
from broker.store.deadline import LATE

_BAD_PATTERN = 51091
_TOO_OLD = 239  # what was read as of one moment took so long that the server has forgotten that moment


def meaning(error: PyMongoError) -> Exception:
    """The error to raise instead of the driver's; the driver's own where it is nobody's but ours."""
    if isinstance(error, ExecutionTimeout) or getattr(error, "code", None) == _TOO_OLD:
        return TooComplexQuery(LATE)
    if isinstance(error, DocumentTooLarge):
        return BadRequestData("the database takes no more than 16 MB at once, and this is more")
    if isinstance(error, ConnectionFailure):
        return Unavailable("the database is away; try again shortly")
    if isinstance(error, OperationFailure) and error.code == _BAD_PATTERN:
        return BadRequestData("regular expression: the database does not understand it")
    return error


@contextmanager
def reported() -> Iterator[None]:
    """Raises the driver's errors as what they mean."""
    try:
        yield
    except PyMongoError as error:
        raise meaning(error) from error
