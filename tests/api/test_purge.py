"""DELETE /entities: entities, or some of their attributes, by query (5.6.21)."""

import pytest

from tests.api.conftest import Api, Kept, room

CLAUSE = pytest.mark.clause("5.6.21")


async def ids(api: Api) -> list[str]:
    """The ids of all entities."""
    return [one["id"] for one in await api.get("entities?local=true&limit=1000")]


@pytest.fixture
async def three(api: Api) -> Api:
    """A tenant with two rooms and a tree."""
    await api.make(room(heat=1, name="a"), room("urn:x:2", heat=2, name="b"))
    await api.make({"id": "urn:x:tree", "type": "Tree", "heat": 2})
    return api


@CLAUSE
@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("type=T", ["urn:x:tree"]),
        ("q=heat>1", ["urn:x:1"]),
        ("type=T&q=heat>1", ["urn:x:1", "urn:x:tree"]),
        ("type=T&id=urn:x:1,urn:x:tree", ["urn:x:2", "urn:x:tree"]),
        ("attrs=name", ["urn:x:tree"]),
        ("type=Bush", ["urn:x:1", "urn:x:2", "urn:x:tree"]),
        ("local=true", []),
    ],
)
async def test_those_selected_go_and_no_others(three: Api, query: str, left: list[str]) -> None:
    answer = await three("DELETE", f"entities?{query}")
    assert (answer.status, answer.body) == (204, b"")
    assert await ids(three) == left


@CLAUSE
@pytest.mark.parametrize(("choice", "left"), [("drop=heat", {"name"}), ("keep=heat", {"heat"})])
async def test_some_attributes_go_and_the_entities_stay(three: Api, choice: str, left: set[str]) -> None:
    answer = await three("DELETE", f"entities?type=T&{choice}")
    assert (answer.status, answer.body) == (204, b"")
    for entity_id in ("urn:x:1", "urn:x:2"):
        assert (await three.entity(entity_id)).keys() == {"id", "type"} | left
    assert (await three.entity("urn:x:tree"))["heat"] == 2


@CLAUSE
async def test_more_than_one_page_goes(api: Api) -> None:
    docs = [room(f"urn:x:{n}", heat=n % 2) for n in range(2300)]
    assert (await api("POST", "entityOperations/create", docs)).status == 201
    assert (await api("DELETE", "entities?q=heat==1")).status == 204
    answer = await api("GET", "entities?type=T&count=true&limit=0")
    assert answer.headers["NGSILD-Results-Count"] == "1150"


@CLAUSE
@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ("", "BadRequestData", "query"),
        ("id=urn:x:1", "BadRequestData", "query"),
        ("idPattern=.*", "BadRequestData", "query"),
        ("q=createdAt>2020-01-01T00:00:00Z", "BadRequestData", "query"),
        ("type=T&keep=heat&drop=name", "BadRequestData", "keep, drop"),
        ("type=T&drop=", "BadRequestData", ""),
        ("type=T&limit=1", "InvalidRequest", "limit"),
        ("type=T&options=simplified", "InvalidRequest", "options"),
    ],
)
async def test_what_is_wrong_removes_nothing(kept: Kept, query: str, kind: str, said: str) -> None:
    answer = await kept("DELETE", f"entities?{query}")
    assert answer.is_problem(400, kind)
    assert answer.doc["detail"].startswith(said)
    assert await kept.is_unchanged()


@CLAUSE
async def test_a_tenant_that_is_not_there(api: Api) -> None:
    assert (await api("DELETE", "entities?type=T")).is_problem(404, "NonexistentTenant")
