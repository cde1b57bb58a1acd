"""Entities that two brokers know together (4.5.5, 5.7.1, 5.7.2, 6.3.17), over HTTP."""

import asyncio

import pytest

from tests.api.conftest import Answer, Cities, room
from tests.core.federation.registrations import info

DEAD = "http://127.0.0.1:1"


def dated(value: int, at: str) -> dict[str, object]:
    return {"type": "Property", "value": value, "observedAt": f"2026-01-01T00:00:{at}Z"}


def next_page(answer: Answer) -> str:
    """The path of the next page; empty if there is none."""
    links = [link for link in answer.headers.get("Link", "").split(", <") if 'rel="next"' in link]
    return links[0].partition(">")[0].lstrip("<") if links else ""


@pytest.mark.clause("4.5.5")
async def test_an_entity_is_merged(cities: Cities) -> None:
    await cities.register()
    await cities.home.make()
    local = room(heat=dated(1, "02"), level=dated(1, "01"), here=1)
    assert (await cities.home("POST", "entities?local=true", local)).status == 201
    await cities.river.make(room(heat=dated(2, "01"), level=dated(2, "02"), there=2))
    shown = await cities.home.entity()
    assert shown == {"id": "urn:x:1", "type": "T", "heat": 1, "level": 2, "here": 1, "there": 2}
    assert await cities.here() == {"id": "urn:x:1", "type": "T", "heat": 1, "level": 1, "here": 1}
    full = await cities.home.get("entities/urn:x:1?options=sysAttrs&pick=level")
    assert full["level"].keys() == {"type", "value", "observedAt", "createdAt", "modifiedAt"}


@pytest.mark.clause("5.7.1")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("attrs=there", {"id": "urn:x:1", "type": "T", "there": 2}),
        ("pick=there", {"there": 2}),
        ("omit=there", {"id": "urn:x:1", "type": "T"}),
        ("type=T", {"id": "urn:x:1", "type": "T", "there": 2}),
    ],
)
async def test_projections_are_of_the_merged_entity(
    cities: Cities, query: str, expected: dict[str, object]
) -> None:
    await cities.register()
    await cities.river.make(room(there=2))
    assert await cities.home.get(f"entities/urn:x:1?options=simplified&{query}") == expected


async def test_an_entity_that_nobody_has(cities: Cities) -> None:
    await cities.register()
    answer = await cities.home("GET", "entities/urn:x:1")
    assert answer.is_problem(404, "ResourceNotFound")
    assert "NGSILD-Warning" not in answer.headers
    await cities.river.make(room(there=2))
    assert (await cities.home("GET", "entities/urn:x:1?type=Other")).status == 404
    assert (await cities.home("GET", "entities/urn:x:1?attrs=other")).status == 404


@pytest.mark.clause("6.3.17")
async def test_a_source_that_cannot_be_reached_is_a_warning(cities: Cities) -> None:
    await cities.register("1", endpoint=DEAD)
    answer = await cities.home("GET", "entities/urn:x:1")
    assert answer.is_problem(404, "ResourceNotFound")
    [warning] = answer.headers.getall("NGSILD-Warning")
    assert warning.startswith("199 ")
    assert DEAD not in warning
    assert (await cities.home("POST", "entities?local=true", room(heat=1))).status == 201
    for path in ("entities/urn:x:1", "entities?type=T"):
        answer = await cities.home("GET", path)
        assert answer.status == 200
        assert len(answer.headers.getall("NGSILD-Warning")) == 1


@pytest.mark.clause("4.3.6.2")
async def test_auxiliary_data_fills_gaps(cities: Cities) -> None:
    await cities.register("1", mode="auxiliary", operations=["retrieveOps"])
    assert (await cities.home("POST", "entities?local=true", room(heat=1))).status == 201
    await cities.river.make(room(heat=2, level=3), room("urn:x:2", heat=4))
    assert await cities.home.entity() == {"id": "urn:x:1", "type": "T", "heat": 1, "level": 3}
    assert (await cities.home.entity("urn:x:2"))["heat"] == 4


@pytest.mark.clause("4.3.6.1")
async def test_a_source_is_asked_for_what_it_is_registered_for(cities: Cities) -> None:
    await cities.register("1", info("heat", type="T", id="urn:x:1"))
    await cities.river.make(room(heat=2, level=3), room("urn:x:2", heat=4))
    assert await cities.home.entity() == {"id": "urn:x:1", "type": "T", "heat": 2}
    assert (await cities.home("GET", "entities/urn:x:2")).status == 404
    found = await cities.home.get("entities?type=T&options=simplified")
    assert found == [{"id": "urn:x:1", "type": "T", "heat": 2}]


@pytest.mark.clause("5.7.2")
async def test_pages_over_two_brokers_are_exact_and_disjoint(cities: Cities) -> None:
    await cities.register()
    here = [room(f"urn:x:{n:02}", heat=n) for n in range(0, 24, 2)]
    there = [room(f"urn:x:{n:02}", heat=n) for n in range(0, 24, 3)]
    await asyncio.gather(
        *(cities.home("POST", "entities?local=true", doc) for doc in here), cities.river.make(*there)
    )
    expected = sorted({doc["id"] for doc in (*here, *there)})
    found: list[str] = []
    path = "entities?type=T&limit=5"
    while path:
        answer = await cities.home("GET", path)
        page = [entity["id"] for entity in answer.doc]
        assert len(page) == 5 or "next" not in answer.headers.get("Link", "")
        found += page
        path = next_page(answer)
    assert found == expected
    counted = await cities.home("GET", "entities?type=T&limit=3&offset=4&count=true")
    assert counted.headers["NGSILD-Results-Count"] == str(len(expected))
    assert [entity["id"] for entity in counted.doc] == expected[4:7]
    empty = await cities.home("GET", "entities?type=T&limit=0&count=true")
    assert (empty.headers["NGSILD-Results-Count"], empty.doc) == (str(len(expected)), [])


@pytest.mark.clause("5.7.2")
async def test_filters_are_asked_of_sources(cities: Cities) -> None:
    await cities.register()
    await cities.river.make(*(room(f"urn:x:{n}", heat=n) for n in range(5)))
    found = await cities.home.get("entities?type=T&q=heat>2&options=simplified")
    assert [entity["heat"] for entity in found] == [3, 4]
    body = {"type": "Query", "entities": [{"type": "T", "idPattern": ".*[01]$"}], "q": "heat>0"}
    answer = await cities.home("POST", "entityOperations/query", body)
    assert [entity["id"] for entity in answer.doc] == ["urn:x:1"]
    assert (await cities.home("GET", "entities?type=T&orderBy=heat")).is_problem(400, "BadRequestData")
    assert (await cities.home("GET", "entities?type=T&orderBy=heat&local=true")).status == 200
    assert await cities.home.get("entities?type=*&q=heat") == []


@pytest.mark.clause("5.7.2")
async def test_csf_selects_the_sources_that_are_asked(cities: Cities) -> None:
    await cities.register(kind={"type": "Property", "value": "sensor"})
    await cities.river.make(room(heat=1))
    for csf, ids in ('kind=="sensor"', ["urn:x:1"]), ('kind=="archive"', []), ('mode=="redirect"', []):
        assert [entity["id"] for entity in await cities.home.get(f"entities?type=T&csf={csf}")] == ids
        body = {"type": "Query", "entities": [{"type": "T"}], "csf": csf}
        assert [one["id"] for one in (await cities.home("POST", "entityOperations/query", body)).doc] == ids


PLACE = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [3.28, 49.84]}}
NEAR = "georel=near;maxDistance==1000&geometry=Point&coordinates=[3.28,49.84]"


@pytest.mark.clause("5.7.2")
@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ("q=heat>2;level>2", [3, 4]),
        ("q=level==1", [1]),
        (NEAR, [0, 2, 4]),
        ("scopeQ=/a", [1, 2, 3, 4]),
        (f"{NEAR}&q=level>0&scopeQ=/a", [2, 4]),
        ("attrs=level&q=heat<2", [0, 1]),
        ("attrs=other", []),
        ("pick=id,level&q=heat==4", [4]),
    ],
)
async def test_conditions_hold_for_entities_that_are_split(
    cities: Cities, conditions: str, numbers: list[int]
) -> None:
    await cities.register()
    for n in range(5):
        here = room(f"urn:x:{n}", heat=n) | ({"scope": "/a"} if n else {})
        assert (await cities.home("POST", "entities?local=true", here)).status == 201
        await cities.river.make(room(f"urn:x:{n}", level=n) | ({} if n % 2 else {"location": PLACE}))
    path, found = f"entities?type=T&splitEntities=true&limit=2&{conditions}", []
    while path:
        answer = await cities.home("GET", path)
        assert answer.status == 200, answer.body
        found += [entity["id"] for entity in answer.doc]
        path = next_page(answer)
    assert found == [f"urn:x:{n}" for n in numbers]
    answer = await cities.home("GET", f"entities?type=T&splitEntities=true&limit=0&count=true&{conditions}")
    assert answer.headers["NGSILD-Results-Count"] == str(len(numbers))


async def test_split_entities_have_no_linked_conditions(cities: Cities) -> None:
    answer = await cities.home("GET", "entities?type=T&splitEntities=true&q=owner{name}")
    assert answer.is_problem(400, "BadRequestData")


@pytest.mark.clause("6.3.17")
async def test_a_loop_of_reads_ends_with_a_warning(cities: Cities) -> None:
    tenant = cities.home.tenant["NGSILD-Tenant"]
    await cities.register("1", endpoint=cities.home.root, tenant=tenant)
    assert (await cities.home("POST", "entities?local=true", room(heat=1))).status == 201
    answer = await cities.home("GET", "entities/urn:x:1")
    assert answer.status == 200
    [warning] = answer.headers.getall("NGSILD-Warning")
    assert warning.startswith(f"199 eridanus~{tenant} ")
    assert [entity["id"] for entity in await cities.home.get("entities?type=T")] == ["urn:x:1"]


async def test_a_source_of_another_tenant(cities: Cities) -> None:
    """The tenant of the registration is asked, and never that of the request."""
    await cities.register("1", tenant="nowhere")
    answer = await cities.home("GET", "entities/urn:x:1")
    assert answer.status == 404
    assert "NGSILD-Warning" not in answer.headers
    assert answer.headers["NGSILD-Tenant"] == cities.home.tenant["NGSILD-Tenant"]
