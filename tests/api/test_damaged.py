"""A stored entity that cannot be decoded: it fails alone, and the log tells which one it is."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from broker.store.wire.tenants import database_name
from tests.api.conftest import Api, room

DAMAGE: dict[str, Any] = {
    "no type": {"$set": {"type": 7}},
    "no attributes": {"$unset": {"attrs": 1}},
    "no revision and no attributes": {"$unset": {"attrs": 1, "rev": 1}},
    "an unknown kind": {"$set": {"attrs.~n": [{"type": "Prophecy", "value": 1}]}},
}
BAD = "urn:x:bad"


@pytest.fixture
async def entities(mongo_uri: str, api: Api) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
    """The collection behind the tenant of the test, with three entities; one may then be damaged."""
    await api.make(room("urn:x:1", n=1), room(BAD, n=2), room("urn:x:3", n=3))
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        yield client[database_name("api", api.tenant["NGSILD-Tenant"])]["entities"]


async def shown(api: Api, parameters: str = "") -> list[str]:
    """The ids of a page of all entities."""
    return [one["id"] for one in await api.get(f"entities?local=true{parameters}")]


@pytest.mark.parametrize("damage", DAMAGE)
async def test_others_are_read_and_written_as_ever(
    api: Api, entities: AsyncCollection[dict[str, Any]], damage: str
) -> None:
    await entities.update_one({"_id": BAD}, DAMAGE[damage])
    for parameters in ("", "&format=concise", "&orderBy=entityId", "&orderBy=n", "&attrs=n", "&join=flat"):
        assert await shown(api, parameters) == ["urn:x:1", "urn:x:3"], parameters
        assert await shown(api, parameters) == ["urn:x:1", "urn:x:3"], "again, now that some are remembered"
    assert (await api("GET", f"entities/{BAD}")).is_problem(500, "InternalError")
    docs = [room(one, n=7) for one in ("urn:x:1", BAD, "urn:x:3")]
    answer = await api("POST", "entityOperations/update", docs)
    assert answer.status == 207
    assert answer.doc["success"] == ["urn:x:1", "urn:x:3"]
    [error] = answer.doc["errors"]
    assert (error["entityId"], error["error"]["status"]) == (BAD, 500)
    assert (await api.entity("urn:x:3"))["n"] == 7


async def test_one_that_has_expired_is_in_nobodys_way(
    api: Api, entities: AsyncCollection[dict[str, Any]]
) -> None:
    """It cannot be swept, and is looked at each time: pages and counts do without it all the same."""
    await entities.update_one({"_id": BAD}, {"$set": {"attrs": 7, "due": "2020-01-01T00:00:00"}})
    assert await shown(api) == ["urn:x:1", "urn:x:3"]
    assert await shown(api, "&offset=1&limit=5") == ["urn:x:3"]
    answer = await api("GET", "entities?local=true&count=true&limit=0")
    assert (answer.status, answer.headers["NGSILD-Results-Count"]) == (200, "3")


async def test_what_links_to_one_is_shown_without_it(
    api: Api, entities: AsyncCollection[dict[str, Any]]
) -> None:
    await api.make({"id": "urn:x:9", "type": "L", "of": {"type": "Relationship", "object": BAD}})
    await entities.update_one({"_id": BAD}, {"$unset": {"attrs": 1}})
    found = await api.get("entities/urn:x:9?join=inline")
    assert found["of"] == {"type": "Relationship", "object": BAD}
