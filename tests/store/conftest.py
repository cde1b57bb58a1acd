"""What tests of the store share."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient


@pytest.fixture(scope="module", autouse=True)
async def _no_databases_left(databases: AsyncMongoClient[dict[str, Any]]) -> AsyncIterator[None]:
    """Drops what the tests of a module made: MongoDB gets slower with each database that is left."""
    before = {*await databases.list_database_names()}
    yield
    for name in {*await databases.list_database_names()} - before:
        if not name.startswith("api"):  # another broker's, which goes on
            await databases.drop_database(name)
