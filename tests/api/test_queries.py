"""What queries select, over HTTP: by attributes, places, scopes and linked entities; and what is refused."""

from typing import Any
from urllib.parse import quote, urlencode

import pytest

from broker.core import Json
from tests.api.conftest import Api, Kept, room


def _point(x: float, y: float) -> dict[str, Json]:
    return {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [x, y]}}


LINE = {"type": "GeoProperty", "value": {"type": "LineString", "coordinates": [[0, 0], [4, 4]]}}
BOWTIE = {"type": "Polygon", "coordinates": [[[0, 0], [4, 4], [4, 0], [0, 4], [0, 0], [0, 0]]]}
NOWHERE = {"type": "Polygon", "coordinates": [[[0, 0], [500, 0], [500, 95], [0, 0]]]}
BOX = "[[[-1,-1],[3,-1],[3,3],[-1,3],[-1,-1]]]"


async def ids(api: Api, **params: Any) -> list[str]:
    """The last parts of the ids that a query finds, page by page and counted."""
    query = urlencode({"type": "T", **params}, quote_via=quote)
    counted = await api("GET", f"entities?{query}&limit=0&count=true")
    assert counted.status == 200, counted.body
    found: list[str] = []
    while page := await api.get(f"entities?{query}&limit=1&offset={len(found)}&options=keyValues"):
        found += [one["id"].removeprefix("urn:x:") for one in page]
    assert counted.headers["NGSILD-Results-Count"] == str(len(found))
    return found


@pytest.fixture
async def city(api: Api) -> Api:
    """Places, scopes and links."""
    await api.make(
        room("urn:x:bowtie", location=BOWTIE),
        room("urn:x:far", location=_point(50, 50), space=_point(1, 1), scope=["/A/B", "/C"]),
        room("urn:x:line", location=LINE, sees={"object": "urn:x:near"}, scope="/A/B/D"),
        room("urn:x:near", location=_point(1, 2), heat=5, kind={"vocab": "Public"}, scope="A"),
        room("urn:x:none", heat=7, sees={"object": ["urn:x:gone", "urn:x:line"]}),
        room("urn:x:nowhere", location=NOWHERE),
        room("urn:x:two", location=[_point(50, 50), {**_point(2, 1), "datasetId": "urn:d:1"}]),
    )
    return api


@pytest.mark.clause("4.10")
@pytest.mark.parametrize(
    ("georel", "geometry", "coordinates", "found"),
    [
        ("near;maxDistance==1000", "Point", "[1,2.005]", ["bowtie", "near"]),
        ("near;maxDistance==200000", "Point", "[1,2]", ["bowtie", "line", "near", "two"]),
        ("near;minDistance==5000000", "Point", "[1,2]", ["far", "two"]),
        ("near;maxDistance==1", "LineString", "[[1,2],[1,3]]", ["bowtie", "near"]),
        ("within", "Polygon", BOX, ["near", "two"]),
        ("disjoint", "Polygon", BOX, ["far", "two"]),
        ("intersects", "Polygon", BOX, ["bowtie", "line", "near", "two"]),
        ("overlaps", "Polygon", BOX, ["bowtie"]),
        ("contains", "Point", "[2,2]", ["line"]),
        ("contains", "Point", "[0.5,2]", ["bowtie"]),
        ("equals", "LineString", "[[4,4],[2,2],[0,0]]", ["line"]),
        ("equals", "Point", "[50,50]", ["far", "two"]),
    ],
)
async def test_geoqueries(city: Api, georel: str, geometry: str, coordinates: str, found: list[str]) -> None:
    members = {"georel": georel, "geometry": geometry, "coordinates": coordinates}
    assert await ids(city, **members) == found
    del members["georel"]
    lacking = await city("GET", f"entities?type=T&{urlencode(members)}")
    assert lacking.is_problem(400, "BadRequestData")
    assert lacking.doc["detail"].startswith("georel:")


@pytest.mark.clause("4.10")
async def test_any_geoproperty_may_be_looked_at(city: Api) -> None:
    members = {"georel": "within", "geometry": "Polygon", "coordinates": BOX}
    assert await ids(city, **members, geoproperty="space") == ["far"]
    assert await ids(city, **members, geoproperty="heat") == []
    query = urlencode(members)
    assert len(await city.get(f"entities?{query}")) == 2  # a geoquery is selector enough (5.7.2.4)
    assert len(await city.get(f"entities?{query}&q=heat")) == 1
    assert len(await city.get("entities?type=T&geoproperty=space")) == 7


@pytest.mark.clause("4.7.1")
async def test_geometries_come_back_as_they_were_sent(city: Api) -> None:
    for name, sent in (("bowtie", BOWTIE), ("nowhere", NOWHERE)):
        assert (await city.entity(f"urn:x:{name}"))["location"] == sent


@pytest.mark.clause("4.10")
async def test_what_moves_is_found_where_it_is(city: Api) -> None:
    near = {"georel": "near;maxDistance==1000", "geometry": "Point", "coordinates": "[9,9]"}
    assert await ids(city, **near) == []
    steps: list[tuple[str, str, Json]] = [
        ("PATCH", "entities/urn:x:near/attrs/location", {"value": _point(9, 9)["value"]}),
        ("PUT", "entities/urn:x:far", room("urn:x:far", location=_point(9, 9))),
        ("POST", "entities/urn:x:none/attrs", {"location": _point(9, 9)}),
        ("PATCH", "entities/urn:x:line", {"location": _point(9, 9)}),
    ]
    for method, path, doc in steps:
        assert (await city(method, path, doc)).status == 204
    assert await ids(city, **near) == ["far", "line", "near", "none"]
    assert (await city("DELETE", "entities/urn:x:near/attrs/location")).status == 204
    assert (await city("PATCH", "entities/urn:x:line/attrs", {"heat": 1})).status == 204
    assert (await city("PUT", "entities/urn:x:far", room("urn:x:far"))).status == 204
    assert await ids(city, **near) == ["line", "none"]


@pytest.mark.clause("4.19")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/A", ["near"]),
        ("/A/#", ["far", "line", "near"]),
        ("/+/B", ["far"]),
        ("/#", ["far", "line", "near"]),
        ("(/A/B;/C)|/A", ["far", "near"]),
        ("/A/B;/C", ["far"]),
        ("/A,/C", ["far", "near"]),
        ("(/A;/C)", []),
    ],
)
async def test_scope_queries(city: Api, text: str, found: list[str]) -> None:
    assert await ids(city, scopeQ=text) == found


@pytest.mark.clause("4.9")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("sees{heat}", ["line"]),
        ("sees{heat}==5", ["line"]),
        ("sees{heat}>5", []),
        ("sees{T:heat}==5", ["line"]),
        ("sees{Other:heat}==5", []),
        ("sees{Other,T:heat}==5|heat==7", ["line", "none"]),
        ("sees{sees{heat}}==5", ["none"]),
        ("!sees{heat};sees", ["none"]),
        ("sees{createdAt}", ["line", "none"]),
    ],
)
async def test_linked_entities_are_looked_at(city: Api, text: str, found: list[str]) -> None:
    assert await ids(city, q=text, join="inline", joinLevel="2") == found


@pytest.mark.clause("5.7.2.4")
async def test_queries_look_no_farther_than_they_join(city: Api) -> None:
    for more in ("", "&join=@none", "&join=inline&joinLevel=1"):
        found = await city("GET", f"entities?type=T&q=sees%7Bsees%7Bheat%7D%7D{more}")
        assert found.is_problem(400, "BadRequestData")
        assert found.doc["detail"].endswith("not 2")
    assert (await city("DELETE", "entities?type=T&q=sees%7Bheat%7D")).is_problem(400, "BadRequestData")
    assert len(await ids(city)) == 7


@pytest.mark.clause("4.9")
async def test_values_are_expanded_where_that_is_asked_for(city: Api) -> None:
    assert await ids(city, q="kind==Public") == []
    assert await ids(city, q="kind==Public", expandValues="kind") == ["near"]
    assert await ids(city, q='kind=="Public"', expandValues="heat,kind") == ["near"]
    assert await ids(city, q="kind==Public", expandValues="kind", jsonKeys="kind") == []


@pytest.mark.clause("5.6.21")
async def test_what_is_somewhere_is_purged(city: Api) -> None:
    members = {"georel": "intersects", "geometry": "Polygon", "coordinates": BOX}
    assert (await city("DELETE", f"entities?{urlencode({**members, 'drop': 'location'})}")).status == 204
    assert await ids(city, **members) == []
    assert len(await ids(city)) == 7
    assert (await city("DELETE", "entities?type=T&scopeQ=/A/%23")).status == 204
    assert len(await ids(city)) == 4


@pytest.mark.clause("6.4.3.2")
async def test_any_type_is_of_this_broker_alone(city: Api) -> None:
    assert len(await city.get("entities?type=*")) == 7
    assert (await city("GET", "entities?type=*&local=false")).is_problem(400, "BadRequestData")


@pytest.mark.parametrize(
    ("query", "status", "kind", "member"),
    [
        ("type=T&georel=within", 400, "BadRequestData", "geometry"),
        ("type=T&georel=touches&geometry=Point&coordinates=[1,1]", 400, "BadRequestData", "georel"),
        ("type=T&georel=near&geometry=Point&coordinates=[1,1]", 400, "BadRequestData", "georel"),
        ("type=T&georel=within&geometry=Pt&coordinates=[1,1]", 400, "BadRequestData", "geometry"),
        ("type=T&georel=within&geometry=Point&coordinates=[1]", 400, "BadRequestData", "coordinates"),
        ("type=T&georel=within&geometry=Point&coordinates=[1,99]", 400, "BadRequestData", "coordinates"),
        ("type=T&georel=within&geometry=Point&coordinates=[1,9]&geoproperty=a%20b", 400, "BadRequestData",
         "geoproperty"),
        ("type=T&scopeQ=A-B", 400, "BadRequestData", "scopeQ"),
        ("type=T&csf=))bad((", 400, "BadRequestData", "csf"),
        ("type=T&q=heat&expandValues=", 400, "BadRequestData", "expandValues"),
        ("scopeQ=/A", 400, "BadRequestData", "query"),
        ("type=T&limit=9999999", 403, "TooManyResults", "limit"),
    ],
)  # fmt: skip
async def test_errors_name_the_parameter(kept: Kept, query: str, status: int, kind: str, member: str) -> None:
    found = await kept("GET", f"entities?{query}")
    assert found.is_problem(status, kind)
    assert found.doc["detail"].startswith((f"{member}:", f"{member},"))
    assert (await kept("DELETE", f"entities?{query}")).status in (400, 403)
    assert await kept.is_unchanged()
