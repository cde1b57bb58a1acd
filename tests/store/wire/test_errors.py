"""What errors of the database mean to a requester."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
)

from broker.core.errors import TooComplexQuery, Unavailable
from broker.store.wire.errors import meaning


def bulk(*codes: int) -> BulkWriteError:
    return BulkWriteError({"writeErrors": [{"index": n, "code": code} for n, code in enumerate(codes)]})


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("gone"),
        OperationFailure("conflict", 112),
        OperationFailure("shutting down", 91),
        OperationFailure("unknown", 1234, {"errorLabels": ["TransientTransactionError"]}),
        bulk(112, 11601),
    ],
)
def test_the_state_of_the_database_is_nobodys_fault(error: PyMongoError) -> None:
    found = meaning(error)
    assert isinstance(found, Unavailable)
    assert found.detail == "the database is away; try again shortly"


@pytest.mark.parametrize("error", [OperationFailure("full", 14031), bulk(14031)])
def test_a_full_disk_is_told(error: PyMongoError) -> None:
    found = meaning(error)
    assert isinstance(found, Unavailable)
    assert "no space left on its disk" in found.detail


@pytest.mark.parametrize("error", [OperationFailure("bad", 2), OperationFailure("?"), bulk(112, 2), bulk()])
def test_what_is_our_fault_stays_what_it_is(error: PyMongoError) -> None:
    assert meaning(error) is error


def test_a_late_query_is_too_complex() -> None:
    assert isinstance(meaning(ExecutionTimeout("late", 50)), TooComplexQuery)
