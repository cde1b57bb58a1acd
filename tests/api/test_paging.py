"""Pages of entities over HTTP: their links, their keys, and what they hold while others write."""

import asyncio
import re
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from urllib.parse import quote

import pytest

from broker.core import Json
from tests.api.conftest import Api

ROOT = "/ngsi-ld/v1/"


def links(headers: Any) -> dict[str, str]:
    found = re.findall(r'<([^>]*)>;rel="(\w+)";type="([^"]*)"', headers.get("Link", ""))
    assert all(media == headers["Content-Type"] for _, _, media in found)
    return {relation: uri for uri, relation, _ in found}


def entity(number: int, value: Json, kind: str = "T") -> dict[str, Json]:
    return {"id": f"urn:x:{number:03}", "type": kind, "n": {"type": "Property", "value": value}}


async def create(api: Api, entities: list[dict[str, Json]]) -> None:
    assert (await api("POST", "entityOperations/create", entities)).status == 201


async def pages(api: Api, path: str) -> AsyncIterator[list[Any]]:
    """All pages, by following the links to the next one."""
    following: str | None = path
    while following:
        answer = await api("GET", following)
        assert answer.status == 200, answer.body
        yield answer.doc
        following = links(answer.headers).get("next", "").removeprefix(ROOT)


@pytest.mark.clause("6.3.10")
async def test_links_by_offset_are_there_exactly_where_there_are_pages(api: Api) -> None:
    await create(api, [entity(n, n) for n in range(3)])
    found = {}
    for offset, limit in ((0, 1), (1, 1), (2, 1), (0, 3), (3, 2), (0, 4)):
        answer = await api("GET", f"entities?type=T&offset={offset}&limit={limit}&idPattern=^urn:x:")
        found[offset, limit] = links(answer.headers)

    def link(offset: int, limit: int) -> str:
        return f"/ngsi-ld/v1/entities?idPattern=%5Eurn:x:&limit={limit}&offset={offset}&type=T"

    assert found == {
        (0, 1): {"next": link(1, 1)},
        (1, 1): {"prev": link(0, 1), "next": link(2, 1)},
        (2, 1): {"prev": link(1, 1)},
        (0, 3): {},
        (3, 2): {"prev": link(1, 2)},
        (0, 4): {},
    }


@pytest.mark.clause("5.5.9.1")
async def test_links_of_who_names_no_offset_carry_a_key(api: Api) -> None:
    await create(api, [entity(n, n % 2) for n in range(5)])
    answer = await api("GET", "entities?type=T&limit=2&orderBy=n;desc&count=true")
    assert answer.headers["NGSILD-Results-Count"] == "5"
    following = links(answer.headers)["next"]
    assert re.fullmatch(r"/ngsi-ld/v1/entities\?after=[\w-]+&count=true&limit=2&offset=2&.*", following)
    answer = await api("GET", following.removeprefix(ROOT))
    assert answer.headers["NGSILD-Results-Count"] == "5"
    assert [one["id"] for one in answer.doc] == ["urn:x:000", "urn:x:002"]
    behind = links(answer.headers)
    assert "after=" in behind["next"]
    assert "after=" not in behind["prev"]
    assert behind["prev"].endswith("entities?count=true&limit=2&offset=0&orderBy=n%3Bdesc&type=T")


@pytest.mark.clause("5.5.9.1")
@pytest.mark.parametrize(
    "params", ["after=x", "after=&orderBy=n", "after=urn:x:1&orderBy=n", "after=e30&orderBy=n,id"]
)
async def test_what_is_no_key_is_refused(api: Api, params: str) -> None:
    await create(api, [entity(1, 1)])
    assert (await api("GET", f"entities?type=T&{params}")).is_problem(400, "BadRequestData")


@pytest.mark.clause("5.5.9.1")
@pytest.mark.parametrize(
    "order", ["", "&orderBy=n;desc", "&orderBy=n&collation=und", "&orderBy=type,n[x],id;desc"]
)
async def test_all_pages_hold_the_set_while_others_are_written(api: Api, order: str) -> None:
    """What is there all the time is found once, whatever comes, goes and changes around it."""
    r = Random(7)
    kept = [entity(2 * n, r.choice(["a", "Á", "b", 3, [1], {"x": n % 5}])) for n in range(60)]
    await create(api, kept)

    async def write() -> None:
        for number in r.sample(range(1, 120, 2), 60):
            await create(api, [entity(number, r.choice(["a", 3, {"x": 1}]))])
            if r.random() < 0.5:
                await api("DELETE", f"entities/urn:x:{number:03}")

    writing = asyncio.create_task(write())
    found: list[str] = []
    while not writing.done():
        found = [one["id"] async for page in pages(api, f"entities?type=T&limit=7{order}") for one in page]
        assert len(found) == len(set(found))
        assert {one["id"] for one in kept} <= set(found)
    await writing
    whole = await api("GET", f"entities?type=T&limit=1000{order}")
    found = [one["id"] async for page in pages(api, f"entities?type=T&limit=7{order}") for one in page]
    assert found == [one["id"] for one in whole.doc]


@pytest.mark.clause("6.3.13")
async def test_a_limit_of_zero_only_counts(api: Api) -> None:
    await create(api, [entity(n, n) for n in range(3)])
    answer = await api("GET", "entities?type=T&limit=0&count=true&orderBy=n")
    assert (answer.doc, answer.headers["NGSILD-Results-Count"], links(answer.headers)) == ([], "3", {})
    assert (await api("GET", "entities?type=T&limit=0")).is_problem(400, "BadRequestData")


@pytest.mark.clause("4.23")
async def test_orders(api: Api) -> None:
    def place(number: int, lon: float) -> dict[str, Json]:
        point = {"type": "Point", "coordinates": [lon, 40.0]}
        return {**entity(number, number), "location": {"type": "GeoProperty", "value": point}}

    await create(
        api, [place(1, 9), place(2, 8.1), place(3, 8), entity(4, "b"), entity(5, "Á"), entity(6, "a")]
    )

    async def ids(params: str) -> str:
        answer = await api("GET", f"entities?type=T&{params}")
        assert answer.status == 200, answer.body
        return "".join(one["id"][-1] for one in answer.doc)

    assert await ids("orderBy=n") == "123645"
    assert await ids("orderBy=n;desc&limit=2&offset=1") == "46"
    assert await ids("orderBy=n&collation=und") == "123654"
    assert await ids("orderBy=location;dist-asc&orderFrom=[8,40]") == "321456"
    assert await ids(f"orderBy=location;dist-desc,id;desc&orderFrom={quote('[8,40]')}&join=flat") == "654123"
    path = "%5B%5B8.05,40%5D,%5B9.5,40%5D%5D"
    assert await ids(f"orderBy=location;dist-asc,id&orderFrom={path}&orderGeometry=LineString") == "123456"
    park = {"type": "Polygon", "coordinates": [[[8.2, 39], [8.4, 39], [8.4, 41], [8.2, 39]]]}
    await create(api, [{**entity(7, 0), "location": {"type": "GeoProperty", "value": park}}])
    for params in ("", "&collation=und"):
        assert await ids(f"orderBy=location;dist-asc&orderFrom=[8,40]{params}") == "3271456"
    farthest = "entities?type=T&limit=2&orderBy=location;dist-desc&orderFrom=[8,40]"
    assert [one["id"][-1] async for page in pages(api, farthest) for one in page] == [*"4561723"]
    assert await ids("orderBy=createdAt;desc,id&pick=id") == "7654321"


@pytest.mark.clause("5.7.2.4")
@pytest.mark.parametrize(
    "params",
    [
        "orderBy=location;dist-asc",
        "orderBy=location;dist-asc&orderFrom=8,40",
        "orderBy=location;dist-asc&orderFrom=[8,40]&orderGeometry=Circle",
        "orderBy=n&orderGeometry=Point",
        "orderBy=n&collation=!!nope",
        "orderBy=n&collation=fr-u-co-phonebk",
        "orderBy=n&local=false",
        "orderBy=n;up",
    ],
)
async def test_orders_that_make_no_sense_are_refused(api: Api, params: str) -> None:
    await create(api, [entity(1, 1)])
    assert (await api("GET", f"entities?type=T&{params}")).is_problem(400, "BadRequestData")
