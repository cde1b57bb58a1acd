"""The temporal evolution of entities over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import permutations, product
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from tests.conftest import free_port, running

ENTITIES, TEMPORAL = "/ngsi-ld/v1/entities", "/ngsi-ld/v1/temporal/entities"
NULL = "urn:ngsi-ld:null"
START = datetime(2026, 7, 1, 12, tzinfo=UTC)
LONG_AGO = "2001-01-01T00:00:00Z"
PAGE = 9

Tenant = dict[str, str]
Http = aiohttp.ClientSession


def at(minute: float) -> str:
    return (START + timedelta(minutes=minute)).isoformat().replace("+00:00", "Z")


async def send(http: Http, tenant: Tenant, method: str, path: str, doc: Any = None) -> None:
    async with http.request(method, path, json=doc, headers=tenant) as answer:
        assert answer.status in (201, 204), await answer.text()


async def get(http: Http, tenant: Tenant, path: str, status: int = 200, **params: str | int) -> Any:
    """The body of an answer, and its headers under None."""
    texts = {name: str(value) for name, value in params.items()}
    async with http.get(TEMPORAL + path, params=texts, headers=tenant) as answer:
        body = await answer.json()
        assert answer.status == status, body
        return (body, answer.headers) if status in (200, 206) else body


async def measure(http: Http, tenant: Tenant, entity: str, minutes: list[int], **more: Any) -> None:
    """Creates an entity and measures its speed (10 times the minute) at these minutes."""
    first, *others = minutes
    doc = {"id": entity, "type": "Vehicle", "speed": speed(first), **more}
    await send(http, tenant, "POST", ENTITIES, doc)
    for minute in others:
        await send(http, tenant, "PATCH", f"{ENTITIES}/{entity}/attrs/speed", speed(minute))


def speed(minute: int) -> dict[str, Any]:
    return {"type": "Property", "value": 10 * minute, "observedAt": at(minute)}


def values(attribute: list[dict[str, Any]]) -> list[Any]:
    return [one["value"] for one in attribute]


@pytest.mark.clause("5.7.3")
async def test_every_write_is_in_the_evolution(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1, 3, 2], name={"type": "Property", "value": "bus"})
    body, headers = await get(http, tenant, "/urn:v:1")
    assert headers["Content-Type"] == "application/json"
    assert (body["id"], body["type"]) == ("urn:v:1", "Vehicle")
    assert values(body["speed"]) == [10, 20, 30]
    assert body["speed"][0].keys() == {"type", "value", "observedAt", "instanceId"}
    assert len({one["instanceId"] for one in body["speed"]}) == 3
    assert values(body["name"]) == ["bus"], "what is not observed is there when no window is asked for"
    assert not {"createdAt", "modifiedAt"} & body.keys()


@pytest.mark.clause("4.11")
@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"timerel": "before", "timeAt": at(2)}, [10]),
        ({"timerel": "after", "timeAt": at(2)}, [20, 30, 40]),
        ({"timerel": "after", "timeAt": at(2).replace("Z", ".000Z")}, [20, 30, 40]),
        ({"timerel": "between", "timeAt": at(2), "endTimeAt": at(4)}, [20, 30]),
        ({"lastN": 2}, [40, 30]),
        ({"lastN": 1, "timerel": "before", "timeAt": at(3)}, [20]),
        ({"timerel": "after", "timeAt": LONG_AGO, "timeproperty": "modifiedAt", "lastN": 2}, [30, 40]),
    ],
)  # fmt: skip
async def test_windows(http: Http, tenant: Tenant, params: dict[str, Any], expected: list[int]) -> None:
    await measure(http, tenant, "urn:v:1", [1, 2, 4, 3], name={"type": "Property", "value": "bus"})
    body, _ = await get(http, tenant, "/urn:v:1", attrs="speed", **params)
    assert values(body["speed"]) == expected
    body, _ = await get(http, tenant, "", type="Vehicle", **{"timerel": "after", "timeAt": at(0), **params})
    assert values(body[0]["speed"]) == expected
    by_write = params.get("timeproperty") == "modifiedAt"
    assert ("name" in body[0]) == by_write, "it was never observed, but written"


@pytest.mark.clause("6.3.12")
@pytest.mark.parametrize(
    "params", [{"format": "temporalValues"}, {"options": "temporalValues"},
               {"format": "temporalValues", "options": "aggregatedValues"}]
)  # fmt: skip
async def test_temporal_values(http: Http, tenant: Tenant, params: dict[str, Any]) -> None:
    await measure(http, tenant, "urn:v:1", [1, 2])
    body, _ = await get(http, tenant, "/urn:v:1", **params)
    assert body == {
        "id": "urn:v:1",
        "type": "Vehicle",
        "speed": {"type": "Property", "values": [[10, at(1)], [20, at(2)]]},
    }


@pytest.mark.clause("6.3.11")
async def test_system_attributes(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1, 2])
    body, _ = await get(http, tenant, "/urn:v:1", options="sysAttrs")
    first, second = body["speed"]
    assert body["createdAt"] == first["createdAt"] == first["modifiedAt"]
    assert body["modifiedAt"] == second["modifiedAt"] > first["modifiedAt"]
    await send(http, tenant, "DELETE", f"{ENTITIES}/urn:v:1")
    body, _ = await get(http, tenant, "/urn:v:1", options="sysAttrs")
    assert body["deletedAt"] > second["modifiedAt"]
    assert "modifiedAt" not in body
    assert [one.get("deletedAt") for one in body["speed"]] == [None, None, body["deletedAt"]]


@pytest.mark.clause("4.5.7")
async def test_deletions_are_instances(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1, 2], scope="/A")
    await send(http, tenant, "DELETE", f"{ENTITIES}/urn:v:1/attrs/speed")
    await send(http, tenant, "DELETE", f"{ENTITIES}/urn:v:1/attrs/scope")
    body, _ = await get(http, tenant, "/urn:v:1", timeproperty="deletedAt")
    assert values(body["speed"]) == [NULL]
    assert values(body["scope"]) == [[]]
    assert body["speed"][0].keys() == {"type", "value", "deletedAt", "instanceId"}
    body, _ = await get(http, tenant, "/urn:v:1", timeproperty="deletedAt", format="temporalValues")
    assert body["speed"]["values"][0][0] == NULL
    assert body["scope"]["values"][0][0] == []
    body, _ = await get(http, tenant, "/urn:v:1")
    assert values(body["speed"]) == [10, 20, NULL]
    body, _ = await get(http, tenant, "/urn:v:1", timeproperty="observedAt")
    assert values(body["speed"]) == [10, 20]


@pytest.mark.clause("4.5.6")
async def test_scopes_have_an_evolution(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1], scope="/Old")
    await send(http, tenant, "PATCH", f"{ENTITIES}/urn:v:1/attrs", {"scope": ["/New", "/Newer"]})
    body, _ = await get(http, tenant, "/urn:v:1", options="sysAttrs")
    assert values(body["scope"]) == ["/Old", ["/New", "/Newer"]]
    for one in body["scope"]:
        assert one["type"] == "Property"
        assert one["observedAt"] == one["modifiedAt"]


@pytest.mark.clause("5.7.3.4")
async def test_what_is_not_there_is_not_found(http: Http, tenant: Tenant) -> None:
    await get(http, tenant, "/urn:v:1", 404)
    await measure(http, tenant, "urn:v:1", [1])
    await get(http, tenant, "/urn:v:2", 404)
    await get(http, tenant, "/urn:v:1", 404, attrs="unknown")
    await get(http, tenant, "/urn:v:1", 404, timerel="after", timeAt=at(2))
    problem = await get(http, tenant, "/urn:v:1", 404, timeproperty="deletedAt")
    assert problem["type"] == "https://uri.etsi.org/ngsi-ld/errors/ResourceNotFound"
    await get(http, {"NGSILD-Tenant": tenant["NGSILD-Tenant"] + "x"}, "/urn:v:1", 404)


@pytest.mark.parametrize(
    ("error", "path", "params"),
    [
        ("BadRequestData", "/nothing", {}),
        ("BadRequestData", "/urn:v:1", {"timerel": "during", "timeAt": at(1)}),
        ("BadRequestData", "/urn:v:1", {"timerel": "after"}),
        ("BadRequestData", "/urn:v:1", {"timerel": "after", "timeAt": "2026-07-01"}),
        ("BadRequestData", "/urn:v:1", {"timerel": "between", "timeAt": at(1)}),
        ("BadRequestData", "/urn:v:1", {"timeAt": at(1)}),
        ("BadRequestData", "/urn:v:1", {"timeproperty": "expiresAt"}),
        ("BadRequestData", "/urn:v:1", {"lastN": "0"}),
        ("BadRequestData", "", {"type": "Vehicle"}),
        ("BadRequestData", "", {"type": "Vehicle", "timerel": "after", "timeAt": at(1), "orderBy": "speed"}),
        (
            "BadRequestData",
            "",
            {"type": "Vehicle", "timerel": "after", "timeAt": at(1), "orderBy": "id,type"},
        ),
        ("BadRequestData", "", {"timerel": "after", "timeAt": at(1)}),
        ("BadRequestData", "", {"timerel": "after", "timeAt": at(1), "id": "urn:v:1"}),
        ("BadRequestData", "", {"timerel": "after", "timeAt": at(1), "attrs": "createdAt"}),
        ("BadRequestData", "/urn:v:1", {"datasetId": "none"}),
        ("BadRequestData", "/urn:v:1", {"pick": "speed{name}"}),
        ("BadRequestData", "/urn:v:1", {"pick": "speed", "attrs": "speed"}),
        ("BadRequestData", "/urn:v:1", {"pick": "speed", "omit": "speed"}),
        ("BadRequestData", "/urn:v:1", {"format": "aggregatedValues"}),
        ("BadRequestData", "/urn:v:1", {"format": "aggregatedValues", "aggrMethods": "median"}),
        (
            "BadRequestData",
            "/urn:v:1",
            {"format": "aggregatedValues", "aggrMethods": "sum", "aggrPeriodDuration": "1 h"},
        ),
        ("InvalidRequest", "/urn:v:1", {"format": "simplified"}),
        ("InvalidRequest", "/urn:v:1", {"options": "temporalValues,nonsense"}),
        ("InvalidRequest", "/urn:v:1", {"options": "temporalValues,aggregatedValues"}),
        ("InvalidRequest", "/urn:v:1", {"nonsense": "1"}),
    ],
)
async def test_what_is_wrong_is_said(
    http: Http, tenant: Tenant, error: str, path: str, params: dict[str, Any]
) -> None:
    problem = await get(http, tenant, path, 400, **params)
    assert problem["type"] == f"https://uri.etsi.org/ngsi-ld/errors/{error}"
    assert problem["detail"]


@pytest.mark.clause("5.7.4")
async def test_a_query_counts_and_pages_what_has_instances_in_the_window(http: Http, tenant: Tenant) -> None:
    for n in range(6):
        await measure(http, tenant, f"urn:v:{n}", [1] if n % 2 else [5])
    await send(http, tenant, "POST", ENTITIES, {"id": "urn:b:1", "type": "Bus", "speed": speed(5)})
    window: dict[str, Any] = {"timerel": "after", "timeAt": at(2)}
    body, headers = await get(http, tenant, "", type="Vehicle", count="true", limit=2, **window)
    assert [one["id"] for one in body] == ["urn:v:0", "urn:v:2"]
    assert headers["NGSILD-Results-Count"] == "3"
    assert 'rel="next"' in headers["Link"]
    body, headers = await get(http, tenant, "", type="Vehicle", limit=2, offset=2, **window)
    assert [one["id"] for one in body] == ["urn:v:4"]
    assert 'rel="next"' not in headers["Link"]
    body, headers = await get(http, tenant, "", type="Vehicle", limit=0, count="true", **window)
    assert (body, headers["NGSILD-Results-Count"]) == ([], "3")
    body, _ = await get(http, tenant, "", attrs="speed", id="urn:b:1,urn:v:0,urn:v:1", **window)
    assert [one["id"] for one in body] == ["urn:b:1", "urn:v:0"]
    body, _ = await get(http, tenant, "", type="Vehicle", attrs="unknown", **window)
    assert body == []


async def test_names_are_in_the_terms_of_the_context(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1])
    accept = {**tenant, "Accept": "application/ld+json"}
    body, headers = await get(http, accept, "/urn:v:1")
    assert headers["Content-Type"] == "application/ld+json"
    assert "Link" not in headers
    assert body["@context"].endswith(".jsonld")


@pytest.fixture(scope="module")
async def small(mongo_uri: str) -> AsyncIterator[Http]:
    """A broker whose answers hold few instances of an attribute."""
    port = free_port()
    async with (
        running(port, mongo_uri=mongo_uri, database="temporal", temporal_page=PAGE),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


@pytest.mark.clause("6.3.10")
@pytest.mark.parametrize(
    ("params", "expected", "header"),
    [
        ({}, range(1, 10), (1, 9, "*")),
        ({"timerel": "before", "timeAt": at(30)}, range(1, 10), (1, 9, "*")),
        ({"timerel": "after", "timeAt": at(0)}, range(1, 10), (0, 9, "*")),
        ({"timerel": "between", "timeAt": at(3), "endTimeAt": at(30)}, range(3, 12), (3, 11, "*")),
        ({"lastN": 20}, range(20, 11, -1), (20, 12, "20")),
        ({"lastN": 20, "timerel": "before", "timeAt": at(30)}, range(20, 11, -1), (30, 12, "20")),
        ({"lastN": 20, "timerel": "after", "timeAt": at(0)}, range(20, 11, -1), (20, 12, "20")),
        (
            {"lastN": 12, "timerel": "between", "timeAt": at(0), "endTimeAt": at(18)},
            range(17, 8, -1),
            (18, 9, "12"),
        ),
    ],
)
async def test_an_answer_that_is_cut_is_a_partial_one(
    small: Http, tenant: Tenant, params: dict[str, Any], expected: range, header: tuple[int, int, str]
) -> None:
    await measure(small, tenant, "urn:v:1", list(range(1, 21)))
    body, headers = await get(small, tenant, "/urn:v:1", 206, **params)
    assert values(body["speed"]) == [10 * minute for minute in expected]
    start, end, size = header
    assert headers["Content-Range"] == f"date-time {at(start)}-{at(end)}/{size}"
    if "timerel" in params:
        body, headers = await get(small, tenant, "", 206, type="Vehicle", **params)
        assert values(body[0]["speed"]) == [10 * minute for minute in expected]
        assert headers["Content-Range"] == f"date-time {at(start)}-{at(end)}/{size}"


@pytest.mark.clause("6.3.10")
async def test_an_answer_that_fits_is_whole(small: Http, tenant: Tenant) -> None:
    await measure(small, tenant, "urn:v:1", list(range(1, 11)))
    params: dict[str, Any]
    for params in ({"lastN": PAGE}, {"timerel": "before", "timeAt": at(PAGE + 1)}):
        body, headers = await get(small, tenant, "/urn:v:1", **params)
        assert len(body["speed"]) == PAGE
        assert "Content-Range" not in headers


@pytest.mark.clause("6.3.10")
@pytest.mark.parametrize("shape", ["normalized", "temporalValues"])
async def test_an_attribute_beyond_the_cut_is_empty(small: Http, tenant: Tenant, shape: str) -> None:
    fuel = {"type": "Relationship", "object": "urn:x:1", "observedAt": at(50)}
    await measure(small, tenant, "urn:v:1", list(range(1, 12)), fuel=fuel)
    body, _ = await get(small, tenant, "/urn:v:1", 206, format=shape)
    assert body["fuel"] == ([] if shape == "normalized" else {"type": "Relationship", "objects": []})


async def test_ids_in_the_path_may_be_encoded(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1])
    async with http.get(f"{TEMPORAL}/{quote('urn:v:1', safe='')}/", headers=tenant) as answer:
        assert answer.status == 200


@pytest.mark.clause("4.5.19")
async def test_aggregated_values(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [0, 10, 59, 60, 200])
    asked: dict[str, Any]
    asked = {"format": "aggregatedValues", "aggrMethods": "avg,max,totalCount", "aggrPeriodDuration": "PT1H"}
    body, headers = await get(http, tenant, "/urn:v:1", **asked)
    first, second, fourth = (at(0), at(60)), (at(60), at(120)), (at(180), at(240))
    assert body == {
        "id": "urn:v:1",
        "type": "Vehicle",
        "speed": {
            "type": "Property",
            "avg": [[230, *first], [600, *second], [2000, *fourth]],
            "max": [[590, *first], [600, *second], [2000, *fourth]],
            "totalCount": [[3, *first], [1, *second], [1, *fourth]],
        },
    }
    assert "Content-Range" not in headers
    window: dict[str, Any] = {"timerel": "between", "timeAt": at(-30), "endTimeAt": at(60), "type": "Vehicle"}
    body, _ = await get(
        http, tenant, "", **window, options="aggregatedValues", aggrMethods="sum,distinctCount"
    )
    assert body[0]["speed"]["sum"] == [[690, at(-30), at(60)]]
    assert body[0]["speed"]["distinctCount"] == [[3, at(-30), at(60)]]


@pytest.mark.clause("5.7.4.4")
async def test_methods_that_cannot_take_values_are_left_out(http: Http, tenant: Tenant) -> None:
    bus = {"type": "Property", "value": "bus", "observedAt": at(1)}
    await measure(http, tenant, "urn:v:1", [1, 2], name=bus, line=bus)
    await measure(http, tenant, "urn:v:2", [1], name={**bus, "value": 7}, line=bus)
    asked: dict[str, Any] = {"format": "aggregatedValues", "timerel": "after", "timeAt": at(0)}
    body, _ = await get(http, tenant, "/urn:v:1", aggrMethods="avg,max", **asked)
    assert body["speed"]["avg"][0][0] == 15
    assert body["name"].keys() == {"type", "max"}
    assert body["name"]["max"][0][0] == "bus"
    body, _ = await get(http, tenant, "/urn:v:1", aggrMethods="avg,stddev", **asked)
    assert body.keys() == {"id", "type", "speed"}, "what was not asked for by name is left out"
    body, _ = await get(http, tenant, "", type="Vehicle", aggrMethods="avg", attrs="speed,name", **asked)
    assert [one.keys() - {"id", "type"} for one in body] == [{"speed"}, {"speed", "name"}]


@pytest.mark.clause("5.7.4.4")
@pytest.mark.parametrize("how", [{"attrs": "speed,name"}, {"pick": "id,name"}])
async def test_an_attribute_none_of_whose_values_can_be_taken_is_refused(
    http: Http, tenant: Tenant, how: dict[str, str]
) -> None:
    bus = {"type": "Property", "value": "bus", "observedAt": at(1)}
    await measure(http, tenant, "urn:v:1", [1], name=bus)
    asked: dict[str, Any] = {"format": "aggregatedValues", "aggrMethods": "avg,stddev", **how}
    window: dict[str, Any] = {"type": "Vehicle", "timerel": "after", "timeAt": at(0)}
    for path, more in (("/urn:v:1", {}), ("", window)):
        problem = await get(http, tenant, path, 400, **asked, **more)
        assert problem["type"].endswith("/InvalidRequest")
        assert problem["detail"] == "aggrMethods: name has no values that avg, stddev can take"


@pytest.mark.clause("4.5.19")
async def test_series_that_no_method_takes_are_left_out_beside_others(http: Http, tenant: Tenant) -> None:
    word = {"type": "Property", "value": "fast", "observedAt": at(1), "datasetId": "urn:d:1"}
    doc = {"id": "urn:v:1", "type": "Vehicle", "speed": [speed(1), word]}
    await send(http, tenant, "POST", ENTITIES, doc)
    asked: dict[str, Any] = {"format": "aggregatedValues", "attrs": "speed"}
    body, _ = await get(http, tenant, "/urn:v:1", aggrMethods="avg", **asked)
    assert body["speed"]["avg"][0][0] == 10
    body, _ = await get(http, tenant, "/urn:v:1", aggrMethods="min", **asked)
    assert [one["min"][0][0] for one in body["speed"]] == [10, "fast"]


@pytest.mark.clause("4.5.5")
async def test_instances_are_selected_by_dataset(http: Http, tenant: Tenant) -> None:
    dataset = {"type": "Property", "value": 5, "observedAt": at(1), "datasetId": "urn:d:1"}
    await send(
        http, tenant, "POST", ENTITIES, {"id": "urn:v:1", "type": "Vehicle", "speed": [speed(1), dataset]}
    )
    for asked, expected in (("urn:d:1", [5]), ("@none", [10]), ("@none,urn:d:1", [10, 5])):
        body, _ = await get(http, tenant, "/urn:v:1", datasetId=asked)
        assert sorted(values(body["speed"])) == sorted(expected)
    window: dict[str, Any] = {"type": "Vehicle", "timerel": "after", "timeAt": at(0)}
    formats: list[dict[str, Any]] = [{}, {"format": "aggregatedValues", "aggrMethods": "max"}]
    for more in (*formats, {"options": "temporalValues"}):
        body, _ = await get(http, tenant, "", datasetId="urn:d:2", **window, **more)
        assert body == []
        problem = await get(http, tenant, "/urn:v:1", 404, datasetId="urn:d:2", **more)
        assert problem["type"].endswith("/ResourceNotFound")


@pytest.mark.clause("5.7.4.4")
@pytest.mark.parametrize("order", [*permutations(("@none", "urn:d:1", "urn:d:2"))])
async def test_last_n_does_not_depend_on_what_was_written_first(
    http: Http, tenant: Tenant, order: tuple[str, ...]
) -> None:
    for minute, dataset in product((1, 2, 3), order):
        named = {} if dataset == "@none" else {"datasetId": dataset}
        one = {**speed(minute), **named, "value": f"{minute} {dataset}"}
        await send(http, tenant, "POST", TEMPORAL, {"id": "urn:v:1", "type": "Vehicle", "speed": [one]})
    for n, expected in ((1, ["3"]), (2, ["3", "2"]), (9, ["3", "2", "1"])):
        body, headers = await get(http, tenant, "/urn:v:1", lastN=n)
        assert values(body["speed"]) == [
            f"{minute} {dataset}" for minute in expected for dataset in ("@none", "urn:d:1", "urn:d:2")
        ]
        assert "Content-Range" not in headers
        asked: dict[str, Any] = {"format": "aggregatedValues", "aggrMethods": "totalCount"}
        body, _ = await get(http, tenant, "/urn:v:1", lastN=n, **asked)
        assert [one["totalCount"][0][0] for one in body["speed"]] == [len(expected)] * 3
    body, _ = await get(http, tenant, "/urn:v:1", lastN=2, datasetId="urn:d:2")
    assert values(body["speed"]) == ["3 urn:d:2", "2 urn:d:2"]


@pytest.mark.clause("5.7.4.4")
async def test_conditions_are_judged_on_the_instances_in_the_window(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1, 2, 9])
    await measure(
        http, tenant, "urn:v:2", [1, 3], name={"type": "Property", "value": "bus", "observedAt": at(2)}
    )
    window: dict[str, Any] = {"type": "Vehicle", "timerel": "before", "timeAt": at(5), "count": "true"}
    for q, expected in (
        ("speed>15", {"urn:v:1": [10, 20], "urn:v:2": [10, 30]}),
        ("speed>25", {"urn:v:2": [10, 30]}),
        ("!name;speed>5", {"urn:v:1": [10, 20]}),
        ('speed>25|name=="bus"', {"urn:v:2": [10, 30]}),
        ("speed==90", {}),
    ):
        body, headers = await get(http, tenant, "", q=q, **window)
        assert {one["id"]: values(one["speed"]) for one in body} == expected
        assert headers["NGSILD-Results-Count"] == str(len(expected))


NAMED = {"type": "LanguageProperty", "languageMap": {"en": "bus", "fr": "autobus"}, "observedAt": at(1)}


@pytest.mark.clause("4.21")
@pytest.mark.parametrize(
    ("params", "members"),
    [
        ({"pick": "speed"}, {"speed"}),
        ({"pick": "id,speed"}, {"id", "speed"}),
        ({"pick": "id"}, {"id"}),
        ({"pick": "type,scope"}, {"type", "scope"}),
        ({"omit": "type,speed"}, {"id", "name", "scope"}),
        ({"omit": "scope,name,speed"}, {"id", "type"}),
        ({"attrs": "speed,scope"}, {"id", "type", "speed", "scope"}),
        ({"pick": "unknown"}, None),
        ({"pick": "id", "timerel": "after", "timeAt": "2100-01-01T00:00:00Z"}, None),
        ({"omit": "id,type,name,speed,scope"}, None),
    ],
)
async def test_members_are_picked_and_omitted(
    http: Http, tenant: Tenant, params: dict[str, Any], members: set[str] | None
) -> None:
    await measure(http, tenant, "urn:v:1", [1], name=NAMED, scope="/A")
    if members is None:
        await get(http, tenant, "/urn:v:1", 404, **params)
    else:
        body, _ = await get(http, tenant, "/urn:v:1", **params)
        assert body.keys() == members
    params = {"type": "Vehicle", "timerel": "after", "timeAt": at(0), **params}
    body, _ = await get(http, tenant, "", **params)
    assert [one.keys() for one in body] == ([] if members is None else [members])


@pytest.mark.clause("4.15")
async def test_one_language_is_shown(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1], name=NAMED)
    body, _ = await get(http, tenant, "/urn:v:1", lang="fr")
    [shown] = body["name"]
    assert (shown["type"], shown["value"], shown["lang"]) == ("Property", "autobus", "fr")
    body, _ = await get(http, tenant, "/urn:v:1", lang="fr", format="temporalValues")
    assert body["name"] == {"type": "Property", "values": [["autobus", at(1)]]}


@pytest.mark.clause("4.5.2.3")
async def test_instances_may_be_concise(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1], name=NAMED)
    body, _ = await get(http, tenant, "/urn:v:1", format="concise")
    assert body["speed"][0].keys() == {"value", "observedAt", "instanceId"}
    assert body["name"][0].keys() == {"languageMap", "observedAt", "instanceId"}


@pytest.mark.clause("5.7.4.4")
async def test_entities_are_ordered_by_id(http: Http, tenant: Tenant) -> None:
    for n in (2, 1, 3):
        await measure(http, tenant, f"urn:v:{n}", [1])
    window: dict[str, Any] = {"type": "Vehicle", "timerel": "after", "timeAt": at(0), "limit": 2}
    for order, expected in (("id", ["urn:v:1", "urn:v:2"]), ("id;desc", ["urn:v:3", "urn:v:2"])):
        body, _ = await get(http, tenant, "", orderBy=order, **window)
        assert [one["id"] for one in body] == expected


QUERY = "/ngsi-ld/v1/temporal/entityOperations/query"


async def ask(http: Http, tenant: Tenant, status: int = 200, *, url: str = "", **members: Any) -> Any:
    """The body of the answer to a query that was posted."""
    doc = {"type": "Query", "temporalQ": {"timerel": "after", "timeAt": at(0)}, **members}
    async with http.post(QUERY + url, json=doc, headers=tenant) as answer:
        body = await answer.json()
        assert answer.status == status, body
        return body


@pytest.mark.clause("6.24.3.1")
async def test_a_query_may_be_posted(http: Http, tenant: Tenant) -> None:
    await measure(http, tenant, "urn:v:1", [1, 2, 3])
    await send(http, tenant, "POST", ENTITIES, {"id": "urn:b:1", "type": "Bus", "speed": speed(5)})
    vehicles = [{"type": "Vehicle"}]
    window = {"timerel": "between", "timeAt": at(2), "endTimeAt": at(9), "lastN": 1}
    [found] = await ask(http, tenant, entities=vehicles, temporalQ=window)
    assert values(found["speed"]) == [30]
    both = [{"type": "Vehicle", "idPattern": "^urn:v"}, {"type": "Bus", "id": "urn:b:1"}]
    found = await ask(http, tenant, entities=both, pick=["id"], ordering={"orderBy": ["id;desc"]})
    assert found == [{"id": "urn:v:1"}, {"id": "urn:b:1"}]
    assert len(await ask(http, tenant, entities=both, url="?limit=1")) == 1
    [found] = await ask(http, tenant, entities=vehicles, url="?format=temporalValues", q="speed>25")
    assert len(found["speed"]["values"]) == 3
    for how in ({"aggrParams": {"aggrMethods": ["sum"]}},
                {"temporalQ": {"timerel": "after", "timeAt": at(0), "aggrMethods": "sum"}}):  # fmt: skip
        [found] = await ask(http, tenant, entities=vehicles, **how)
        assert found["speed"]["sum"][0][0] == 60


@pytest.mark.clause("5.2.21")
@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"temporalQ": {"timerel": "during", "timeAt": at(1)}}, "timerel"),
        ({"temporalQ": {"timerel": "between", "timeAt": at(1)}}, "endTimeAt"),
        ({"temporalQ": {"timerel": "after", "timeAt": at(1), "lastN": 2.5}}, "lastN"),
        ({"temporalQ": {"timerel": "after", "timeAt": at(1), "lastN": 0}}, "lastN"),
        ({"temporalQ": {"timerel": "after", "timeAt": at(1), "strange": 0}}, "strange"),
        ({"temporalQ": []}, "temporalQ"),
        ({"aggrParams": {"aggrMethods": ["bogus"]}}, "aggrMethods"),
        ({"aggrParams": {"aggrMethods": ["avg"], "aggrPeriodDuration": "bogus"}}, "aggrPeriodDuration"),
        ({"join": "inline"}, "join"),
        ({"type": "Nothing"}, "type"),
    ],
)
async def test_what_is_wrong_with_a_posted_query_is_said(
    http: Http, tenant: Tenant, members: dict[str, Any], named: str
) -> None:
    problem = await ask(http, tenant, 400, entities=[{"type": "Vehicle"}], **members)
    assert problem["type"].endswith("/BadRequestData")
    assert named in problem["detail"]


async def test_a_posted_query_needs_a_temporal_one(http: Http, tenant: Tenant) -> None:
    doc = {"type": "Query", "entities": [{"type": "Vehicle"}]}
    async with http.post(QUERY, json=doc, headers=tenant) as answer:
        assert answer.status == 400
        assert "timerel" in (await answer.json())["detail"]


def place(longitude: float, minute: int) -> dict[str, Any]:
    spot = {"type": "Point", "coordinates": [longitude, 48]}
    return {"type": "GeoProperty", "value": spot, "observedAt": at(minute)}


@pytest.mark.clause("5.7.4.4")
async def test_places_and_scopes_are_those_in_the_window(http: Http, tenant: Tenant) -> None:
    for n, there in enumerate((2, 20)):
        doc = {
            "id": f"urn:v:{n}",
            "type": "Vehicle",
            "location": [place(17, there), place(3, 5)],
            "scope": [
                {"type": "Property", "value": "/A/B", "observedAt": at(-10)},
                {"type": "Property", "value": "/C", "observedAt": at(there)},
            ],
            "speed": [speed(1), speed(3)],
        }
        await send(http, tenant, "POST", TEMPORAL, doc)
    window: dict[str, Any] = {"type": "Vehicle", "timerel": "between", "timeAt": at(0), "endTimeAt": at(10)}
    near: dict[str, Any]
    near = {"georel": "near;maxDistance==1000", "geometry": "Point", "coordinates": "[17,48]"}
    body, _ = await get(http, tenant, "", **window, **near)
    assert [one["id"] for one in body] == ["urn:v:0"]
    assert len(body[0]["location"]) == 2, "the query selects entities, not their instances"
    body, headers = await get(http, tenant, "", scopeQ="/A/#", count="true", **window)
    assert headers["NGSILD-Results-Count"] == "2"
    assert [values(one["speed"]) for one in body] == [[10], [10, 30]], "what was while the scope was valid"
    assert [values(one["scope"]) for one in body] == [["/A/B"], ["/A/B"]]
    body, _ = await get(http, tenant, "", scopeQ="/C", **window)
    assert [(one["id"], values(one["speed"])) for one in body] == [("urn:v:0", [30])]


@pytest.mark.clause("4.18")
async def test_scopes_that_entities_come_with_count_for_what_was_before(http: Http, tenant: Tenant) -> None:
    doc = {"type": "Vehicle", "speed": [speed(1), speed(3)]}
    late = {"type": "Property", "value": "/A", "observedAt": at(2)}
    for entity, there in (("urn:v:1", "/A"), ("urn:v:2", ["/A", "/B"]), ("urn:v:3", late), ("urn:v:4", "/C")):
        await send(http, tenant, "POST", TEMPORAL, {"id": entity, "scope": there, **doc})
    await measure(http, tenant, "urn:v:5", [3, 1], scope="/A")
    await measure(http, tenant, "urn:v:6", [3, 1])
    for entity in ("urn:v:5", "urn:v:6"):
        await send(http, tenant, "POST", f"{ENTITIES}/{entity}/attrs", {"scope": "/A/B"})
    window: dict[str, Any] = {"type": "Vehicle", "timerel": "between", "timeAt": at(0), "endTimeAt": at(5)}
    expected = {"urn:v:1": [10, 30], "urn:v:2": [10, 30], "urn:v:3": [30], "urn:v:5": [10, 30]}
    for asked, found in (("/A", expected), ("/B", {"urn:v:2": [10, 30]}), ("/A/B", {}), ("/D", {})):
        body, headers = await get(http, tenant, "", scopeQ=asked, count="true", attrs="speed,scope", **window)
        assert {one["id"]: values(one["speed"]) for one in body} == found
        assert headers["NGSILD-Results-Count"] == str(len(found))
    more = {"id": "urn:v:5", "type": "Vehicle", "scope": "/A/B", "speed": [speed(-9)]}
    await send(http, tenant, "POST", TEMPORAL, more)
    body, _ = await get(http, tenant, "", type="Vehicle", scopeQ="/A", timerel="before", timeAt=at(0))
    assert [(one["id"], values(one["speed"])) for one in body] == [("urn:v:5", [-90])]
