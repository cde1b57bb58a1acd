"""What errors of the database mean to a requester."""

from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import ConnectionFailure, ExecutionTimeout, PyMongoError

from broker.core.errors import TooComplexQuery, Unavailable


def meaning(error: PyMongoError) -> Exception:
    """The error to raise instead of the driver's; the driver's own where it is nobody's but ours."""
    if isinstance(error, ExecutionTimeout):
        return TooComplexQuery("the query took longer than this broker allows; select fewer entities")
    if isinstance(error, ConnectionFailure):
        return Unavailable("the database is away; try again shortly")
    return error


@contextmanager
def reported() -> Iterator[None]:
    """Raises the driver's errors as what they mean."""
    try:
        yield
    except PyMongoError as error:
        raise meaning(error) from error
