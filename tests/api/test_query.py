"""Queries in the body of a request: the same answers as in a query string, strictly validated."""

from typing import Any

import pytest

from broker.core import Json
from tests.api.conftest import LD_JSON, Api

pytestmark = pytest.mark.clause("5.2.23")


def entity(entity_id: str, kind: str, **attrs: Json) -> dict[str, Json]:
    return {"id": entity_id, "type": kind, **attrs}


@pytest.fixture
async def city(api: Api) -> Api:
    point = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [8.1, 40]}}
    entities = [
        entity("urn:x:1", "Room", heat=21, name="é", at={"type": "Relationship", "object": "urn:x:3"}),
        entity("urn:x:2", "Room", heat=15, name="f", location=point),
        entity("urn:x:3", "House", heat=[{"value": 3}, {"value": 4, "datasetId": "urn:d:1"}]),
        entity("urn:x:4", "Car", scope="/a/b", says={"languageMap": {"en": "x", "fr": "y"}}),
    ]
    assert (await api("POST", "entityOperations/create", entities)).status == 201
    return api


async def query(api: Api, params: str = "", **body: Json) -> Any:
    answer = await api("POST", f"entityOperations/query{params}", {"type": "Query", **body})
    assert answer.status == 200, answer.body
    return answer.doc


ROOMS = [{"type": "Room"}]


@pytest.mark.parametrize(
    ("body", "params"),
    [
        ({"entities": ROOMS}, "type=Room"),
        ({"entities": [{"type": "Room,Car", "id": "urn:x:4"}]}, "type=Room,Car&id=urn:x:4"),
        ({"entities": [{"type": "*", "idPattern": "[13]$"}]}, "type=*&idPattern=[13]$"),
        ({"entities": ROOMS, "q": "heat>20"}, "type=Room&q=heat>20"),
        ({"attrs": ["heat", "says"]}, "attrs=heat,says"),
        (
            {"entities": ROOMS, "pick": ["id", "at{heat}"], "join": "inline"},
            "type=Room&pick=id,at{heat}&join=inline",
        ),
        (
            {
                "entities": ROOMS,
                "omit": ["type", "heat"],
                "join": "flat",
                "joinLevel": 2,
                "containedBy": ["urn:x:3"],
            },
            "type=Room&omit=type,heat&join=flat&joinLevel=2&containedBy=urn:x:3",
        ),
        ({"entities": [{"type": "Car"}], "lang": "fr"}, "type=Car&lang=fr"),
        (
            {"geoQ": {"georel": "near;maxDistance==10000", "geometry": "Point", "coordinates": [8, 40]}},
            "georel=near;maxDistance==10000&geometry=Point&coordinates=[8,40]",
        ),
        ({"entities": [{"type": "*"}], "scopeQ": "/a/#", "csf": "a==1"}, "type=*&scopeQ=/a/%23&csf=a==1"),
        ({"entities": ROOMS, "q": "at{heat}>2", "join": "inline"}, "type=Room&q=at{heat}>2&join=inline"),
        (
            {"entities": [{"type": "House"}], "datasetId": ["urn:d:1", "@none"]},
            "type=House&datasetId=urn:d:1,@none",
        ),
        (
            {"entities": ROOMS, "ordering": {"orderBy": ["name;desc", "id"], "collation": "und"}},
            "type=Room&orderBy=name;desc,id&collation=und",
        ),
        (
            {
                "entities": ROOMS,
                "ordering": {"orderBy": ["location;dist-desc"], "coordinates": [8, 40], "geometry": "Point"},
                "splitEntities": False,
            },
            "type=Room&orderBy=location;dist-desc&orderFrom=[8,40]&splitEntities=false",
        ),
    ],
)
async def test_bodies_and_query_strings_are_answered_alike(
    city: Api, body: dict[str, Json], params: str
) -> None:
    answer = await city("GET", f"entities?{params.replace('[', '%5B').replace(']', '%5D')}&count=true")
    assert answer.status == 200, answer.body
    assert answer.doc
    posted = await city("POST", "entityOperations/query?count=true", {"type": "Query", **body})
    assert (posted.status, posted.doc) == (200, answer.doc), posted.body
    assert posted.headers["NGSILD-Results-Count"] == answer.headers["NGSILD-Results-Count"]


@pytest.mark.clause("5.2.33")
async def test_an_entity_matches_any_of_several_selectors(city: Api) -> None:
    selectors = [
        {"type": "Room", "id": ["urn:x:2", "urn:x:4"]},
        {"type": "House", "id": "urn:x:3", "idPattern": "4$"},
        {"type": "Car", "idPattern": "4$"},
    ]
    assert [one["id"] for one in await query(city, entities=selectors)] == ["urn:x:2", "urn:x:3", "urn:x:4"]
    found = await query(city, entities=selectors, q="heat", ordering={"orderBy": ["heat"]})
    assert [one["id"] for one in found] == ["urn:x:3", "urn:x:2"]
    page = await city(
        "POST", "entityOperations/query?limit=2&count=true", {"type": "Query", "entities": selectors}
    )
    assert [one["id"] for one in page.doc] == ["urn:x:2", "urn:x:3"]
    assert page.headers["NGSILD-Results-Count"] == "3"
    assert "entityOperations/query?after=urn:x:3&count=true&limit=2&offset=2>" in page.headers["Link"]


async def test_format_and_page_are_in_the_url(city: Api) -> None:
    assert await query(city, "?format=keyValues&limit=1&offset=1", entities=ROOMS, pick=["heat"]) == [
        {"heat": 15}
    ]
    found = await city(
        "POST",
        "entityOperations/query?geometryProperty=location",
        {"type": "Query", "entities": ROOMS, "@context": {"warm": "ngsi-ld:default-context/heat"}},
        headers={"Accept": "application/geo+json", "Content-Type": LD_JSON},
    )
    assert [one["geometry"] is None for one in found.doc["features"]] == [True, False]
    assert found.doc["@context"] == {"warm": "ngsi-ld:default-context/heat"}


@pytest.mark.parametrize(
    "body",
    [
        {"type": "NotQuery"},
        {"type": None},
        {"entities": []},
        {"entities": [{"id": "urn:x:1"}]},
        {"entities": [{"type": "Room", "id": "no uri"}]},
        {"entities": [{"type": "Room", "id": ["urn:x:1", 5]}]},
        {"entities": [{"type": "Room", "idPattern": "("}]},
        {"entities": [{"type": "Room"}, {"type": "A;B"}]},
        {"entities": [{"type": "Room"}, {"type": "Car", "idPattern": "("}]},
        {"attrs": []},
        {"pick": []},
        {"pick": ["a", ""]},
        {"omit": "a"},
        {"q": 42},
        {"q": "heat>>1"},
        {"join": "inline", "joinLevel": 0},
        {"join": "inline", "joinLevel": "1"},
        {"join": "both"},
        {"containedBy": ["x"]},
        {"datasetId": ["x"]},
        {"temporalQ": {"timerel": "after", "timeAt": "2020-01-01T00:00:00Z"}},
        {"aggrParams": {}},
        {"ordering": {"orderBy": ["location;dist-asc"]}},
        {"ordering": {"orderBy": ["location;dist-asc"], "coordinates": "8,40"}},
        {"ordering": {"orderBy": ["id;asc"], "geometry": 5}},
        {"ordering": {"orderBy": ["id;asc"], "collation": "not a bcp47 tag!!"}},
        {"ordering": {"orderBy": []}},
        {"splitEntities": "true"},
        {"wrong": 1},
        {"geoQ": {"georel": "within"}},
        {"geoQ": {"georel": "beside", "geometry": "Point", "coordinates": [8, 40]}},
        {"csf": "))bad(("},
        {"scopeQ": "//"},
        {"q": "at{heat}>2"},
    ],
)
async def test_what_is_no_query_is_refused(city: Api, body: dict[str, Json]) -> None:
    doc = {"type": "Query", "entities": ROOMS} | body
    assert (await city("POST", "entityOperations/query", doc)).is_problem(400, "BadRequestData")


async def test_what_is_too_wide_or_not_of_the_url_is_refused(city: Api) -> None:
    too_wide = await city("POST", "entityOperations/query", {"type": "Query"})
    assert too_wide.is_problem(400, "BadRequestData")
    assert len(await query(city, "?local=true")) == 4
    answer = await city("POST", "entityOperations/query?q=heat", {"type": "Query", "entities": ROOMS})
    assert answer.is_problem(400, "InvalidRequest")
    any_type = {"type": "Query", "entities": [{"type": "Room"}, {"type": "*"}]}
    answer = await city("POST", "entityOperations/query?local=false", any_type)
    assert answer.is_problem(400, "BadRequestData")
    assert (await city("POST", "entityOperations/query", [])).is_problem(400, "InvalidRequest")
