"""Parts of entities over HTTP: projections, languages, datasetIds, linked entities."""

from typing import Any

import pytest

from tests.api.conftest import JSON, LD_JSON, Api

GEO_JSON = "application/geo+json"
POINT = {"type": "Point", "coordinates": [1.0, 2.0]}
GPS = {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [9, 9]}, "datasetId": "urn:d:gps"}

TOWER = {
    "id": "urn:x:tower",
    "type": "Building",
    "name": [{"value": "Tower"}, {"value": "Tour", "datasetId": "urn:d:fr"}],
    "says": {"languageMap": {"en": "hello", "fr": "bonjour"}},
    "location": [{"type": "GeoProperty", "value": POINT}, GPS],
    "in": {"type": "Relationship", "object": "urn:x:city"},
}
CITY = {
    "id": "urn:x:city",
    "type": "City",
    "name": "Paris",
    "in": {"type": "Relationship", "object": "urn:x:land"},
    "sees": {"type": "Relationship", "object": ["urn:x:tower", "urn:x:nothing"]},
}
LAND = {"id": "urn:x:land", "type": "Land", "name": "France"}


@pytest.fixture
async def city(api: Api) -> Api:
    answer = await api("POST", "entityOperations/create", [TOWER, CITY, LAND])
    assert answer.status == 201
    return api


async def get(api: Api, path: str, accept: str = JSON) -> Any:
    answer = await api("GET", path, headers={"Accept": accept})
    assert answer.status == 200, answer.body
    return answer.doc


@pytest.mark.clause("4.21")
async def test_pick_and_omit(city: Api) -> None:
    assert await get(city, "entities/urn:x:land?pick=name") == {
        "name": {"type": "Property", "value": "France"}
    }
    assert await get(city, "entities/urn:x:land?omit=id|name") == {"type": "Land"}
    found = await get(city, "entities?local=true&pick=says&format=simplified&count=true")
    assert found == [{"says": {"languageMap": TOWER["says"]["languageMap"]}}]  # type: ignore[index]
    found = await get(city, "entities?type=City,Land&omit=type,sees,in&options=keyValues")
    assert found == [{"id": "urn:x:city", "name": "Paris"}, {"id": "urn:x:land", "name": "France"}]


@pytest.mark.clause("4.21")
@pytest.mark.parametrize(
    "params", ["pick=a&omit=a", "pick=a&attrs=b", "omit=a&attrs=b", "pick=", "pick=id;a", "pick=in{name}"]
)
async def test_projections_that_contradict_themselves_are_refused(city: Api, params: str) -> None:
    for path in ("entities/urn:x:land", "entities"):
        answer = await city("GET", f"{path}?{params}" + ("&type=Land" if path == "entities" else ""))
        assert answer.is_problem(400, "BadRequestData")


@pytest.mark.clause("5.7.1")
async def test_an_entity_of_which_nothing_is_left_is_not_found(city: Api) -> None:
    for params in ("pick=absent", "omit=id,type,name", "attrs=absent", "pick=name&datasetId=urn:d:fr"):
        answer = await city("GET", f"entities/urn:x:land?{params}")
        assert answer.is_problem(404, "ResourceNotFound"), params


@pytest.mark.clause("4.21")
async def test_what_is_left_with_nothing_is_not_on_the_page_nor_counted(city: Api) -> None:
    answer = await city("GET", "entities?local=true&pick=says,absent&limit=1&count=true")
    assert len(answer.doc) == 1
    assert answer.headers["NGSILD-Results-Count"] == "1"
    assert 'rel="next"' not in answer.headers["Link"]


@pytest.mark.clause("4.5.5")
async def test_datasets_are_views(city: Api) -> None:
    found = await get(city, "entities/urn:x:tower?datasetId=urn:d:fr&format=concise")
    assert found.keys() == {"id", "type", "name"}
    assert found["name"] == {"value": "Tour", "datasetId": "urn:d:fr"}
    found = await get(city, "entities/urn:x:tower?datasetId=@none&format=simplified")
    assert found["name"] == "Tower"
    answer = await city("GET", "entities/urn:x:tower?datasetId=nothing")
    assert answer.is_problem(400, "BadRequestData")


@pytest.mark.clause("4.15")
async def test_one_language(city: Api) -> None:
    found = await get(city, "entities/urn:x:tower?lang=fr-CH,en;q=0.5&pick=says")
    assert found == {"says": {"type": "Property", "value": "bonjour", "lang": "fr"}}
    assert await get(city, "entities/urn:x:tower?lang=en&pick=says&format=simplified") == {"says": "hello"}
    assert (await city("GET", "entities/urn:x:tower?lang=!")).is_problem(400, "BadRequestData")


@pytest.mark.clause("4.5.16")
async def test_features_are_projected_too(city: Api) -> None:
    params = "pick=name,says&lang=fr&format=simplified&datasetId=urn:d:gps,urn:d:fr,@none"
    found = await get(city, f"entities/urn:x:tower?{params}", GEO_JSON)
    assert found.pop("@context")
    properties = {"name": {"dataset": {"@none": "Tower", "urn:d:fr": "Tour"}}, "says": "bonjour"}
    assert found == {"type": "Feature", "geometry": POINT, "properties": properties}
    one = await get(city, "entities/urn:x:tower?datasetId=urn:d:gps&pick=id,type", GEO_JSON)
    assert one["geometry"] == GPS["value"]
    answer = await city(
        "GET", "entities?type=Land&pick=name", headers={"Accept": GEO_JSON, "Prefer": "body=json"}
    )
    name = {"type": "Property", "value": "France"}
    feature = {"type": "Feature", "geometry": None, "properties": {"name": name}}
    assert answer.doc == {"type": "FeatureCollection", "features": [feature]}
    assert "json-ld#context" in answer.headers["Link"]


@pytest.mark.clause("4.5.23")
async def test_linked_entities_inside(city: Api) -> None:
    found = await get(city, "entities/urn:x:tower?join=inline&joinLevel=2&format=simplified&pick=in")
    land = {"id": "urn:x:land", "type": "Land", "name": "France"}
    assert found["in"]["in"] == land
    assert found["in"]["sees"] == ["urn:x:tower", "urn:x:nothing"]
    [found] = await get(city, "entities?type=City&join=inline&pick=id,in{name},sees{says}&lang=fr", LD_JSON)
    assert found.pop("@context")
    assert found["in"]["entity"] == {"name": {"type": "Property", "value": "France"}}
    says = {"type": "Property", "value": "bonjour", "lang": "fr"}
    assert found["sees"]["entity"] == [{"says": says}]


@pytest.mark.clause("4.5.23")
async def test_linked_entities_behind(city: Api) -> None:
    found = await get(city, "entities/urn:x:tower?join=flat&joinLevel=3")
    assert [one["id"] for one in found] == ["urn:x:tower", "urn:x:city", "urn:x:land"]
    found = await get(
        city, "entities?type=Building,City&join=flat&limit=1&containedBy=urn:x:land&joinLevel=9"
    )
    assert [one["id"] for one in found] == ["urn:x:city", "urn:x:tower"]
    found = await get(city, "entities/urn:x:city?join=flat&pick=id,in{id}", GEO_JSON)
    assert [one["id"] for one in found["features"]] == ["urn:x:city", "urn:x:land"]
    assert (await get(city, "entities/urn:x:land?join=flat"))["id"] == "urn:x:land"


@pytest.mark.clause("5.7.1")
@pytest.mark.parametrize(
    "params",
    [
        "join=both",
        "join=inline&joinLevel=0",
        "join=inline&joinLevel=11",
        "join=flat&containedBy=x",
        "join=inline&pick=in{in{name}}",
        "join=@none&omit=in{name}",
    ],
)
async def test_joins_that_make_no_sense_are_refused(city: Api, params: str) -> None:
    assert (await city("GET", f"entities/urn:x:tower?{params}")).is_problem(400, "BadRequestData")


async def test_renderings_differ_by_all_that_shapes_them(city: Api) -> None:
    """Each request is sent twice: what is remembered of one must not be shown to another."""
    params = [
        "",
        "pick=id",
        "omit=id",
        "lang=fr",
        "lang=en",
        "datasetId=@none",
        "options=sysAttrs",
        "format=concise",
    ]
    params += ["attrs=name", "pick=in", "pick=in{name}&join=inline", "join=inline", "join=flat"]
    first = [await get(city, f"entities/urn:x:tower?{one}") for one in params]
    again = [await get(city, f"entities/urn:x:tower?{one}") for one in params]
    assert first == again
    assert all(one not in first[:number] for number, one in enumerate(first))
    entities = await get(city, "entities/urn:x:tower", LD_JSON)
    feature = await get(city, "entities/urn:x:tower", GEO_JSON)
    assert entities != feature
