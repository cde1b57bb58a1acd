"""Writing the past over HTTP: temporal evolutions that clients provide."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.api.conftest import Answer, Api, room
from tests.conftest import free_port, running

NULL = "urn:ngsi-ld:null"
ID = "urn:v:1"


def at(minute: int) -> str:
    return f"2020-09-01T12:{minute:02}:00Z"


def speed(value: Any, minute: int, dataset: str | None = None, **more: Any) -> dict[str, Any]:
    one = {"type": "Property", "value": value, "observedAt": at(minute), **more}
    return one if dataset is None else {**one, "datasetId": dataset}


def vehicle(*speeds: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": ID, "type": "Vehicle", "speed": list(speeds), **more}


async def post(api: Api, doc: Any, status: int = 204, path: str = "temporal/entities") -> Answer:
    answer = await api("POST", path, doc)
    assert answer.status == status, answer.body
    return answer


async def past(api: Api, entity: str = ID, query: str = "") -> Any:
    return await api.get(f"temporal/entities/{entity}{query}")


async def speeds(api: Api) -> list[tuple[Any, int, str | None]]:
    return [
        (one["value"], int(one["observedAt"][14:16]), one.get("datasetId"))
        for one in (await past(api))["speed"]
    ]


@pytest.mark.clause("5.6.11")
async def test_an_evolution_is_created_then_added_to(api: Api) -> None:
    made = await post(api, vehicle(speed(120, 3), speed(80, 5), speed(7, 3, "urn:d:1")), 201)
    assert made.headers["Location"] == f"/ngsi-ld/v1/temporal/entities/{ID}"
    first = (await past(api, query="?options=sysAttrs"))["speed"][0]
    assert (await api("GET", f"entities/{ID}")).status == 404, "it has but a past"
    await post(api, vehicle(speed(121, 3), speed(100, 7), type=["Vehicle", "Truck"]))
    assert await speeds(api) == [(121, 3, None), (7, 3, "urn:d:1"), (80, 5, None), (100, 7, None)]
    body = await past(api, query="?options=sysAttrs")
    assert body["type"] == ["Vehicle", "Truck"]
    again = body["speed"][0]
    assert again["instanceId"] == first["instanceId"], "what is replaced stays the same instance"
    assert again["createdAt"] == first["createdAt"] == first["modifiedAt"] < again["modifiedAt"]
    assert body["createdAt"] < body["modifiedAt"]


@pytest.mark.clause("5.6.11")
async def test_instances_that_were_not_observed_are_always_new(api: Api) -> None:
    doc = vehicle({"type": "Property", "value": 1}, {"type": "Property", "value": 1})
    await post(api, doc, 201)
    await post(api, doc)
    body = await past(api)
    assert len(body["speed"]) == 4
    assert len({one["instanceId"] for one in body["speed"]}) == 4


@pytest.mark.clause("5.6.11")
async def test_of_two_for_one_time_in_one_request_the_later_counts(api: Api) -> None:
    await post(api, vehicle(speed(1, 3), speed(2, 3)), 201)
    assert await speeds(api) == [(2, 3, None)]


@pytest.mark.clause("4.5.7")
async def test_deletions_can_be_provided(api: Api) -> None:
    names = {"type": "LanguageProperty", "languageMap": {"@none": NULL}, "observedAt": at(9)}
    dead = {"type": "Property", "value": NULL, "deletedAt": at(8)}
    await post(api, vehicle(speed(1, 3), dead, name=[names]), 201)
    body = await past(api, query="?timeproperty=deletedAt")
    assert [(one["value"], one["deletedAt"]) for one in body["speed"]] == [(NULL, at(8))]
    [name] = body["name"]
    assert (name["languageMap"], name["observedAt"], name["deletedAt"]) == ({"@none": NULL}, at(9), at(9))


@pytest.mark.clause("4.5.9")
async def test_simplified_evolutions_are_read(api: Api) -> None:
    doc = {"id": ID, "type": "Vehicle", "speed": {"type": "Property", "values": [[1, at(3)], [2, at(4)]]}}
    await post(api, doc, 201)
    assert await speeds(api) == [(1, 3, None), (2, 4, None)]


@pytest.mark.clause("4.5.6")
async def test_scopes_are_plain_or_instances(api: Api) -> None:
    await post(api, vehicle(speed(1, 3), scope=["/A", "/B"]), 201)
    await post(api, vehicle(speed(2, 4), scope=["/A", "/B"]))
    [one] = (await past(api))["scope"]
    assert one["value"] == ["/A", "/B"]
    old = [{"type": "Property", "value": "/Old", "observedAt": at(1)}]
    await post(api, vehicle(speed(3, 5), scope=old))
    assert [one["value"] for one in (await past(api))["scope"]] == ["/Old", ["/A", "/B"]]


@pytest.mark.clause("5.6.12")
async def test_attributes_are_added(api: Api) -> None:
    path = f"temporal/entities/{ID}/attrs/"
    assert (await api("POST", path, {"fuel": [speed(1, 2)]})).is_problem(404, "NonexistentTenant")
    await post(api, vehicle(speed(120, 3)), 201)
    await post(api, {"fuel": [speed(1, 2)], "type": "Truck", "speed": speed(9, 9)}, path=path)
    body = await past(api)
    assert (body["type"], len(body["fuel"]), len(body["speed"])) == (["Vehicle", "Truck"], 1, 2)
    other = await api("POST", "temporal/entities/urn:v:2/attrs", {"fuel": [speed(1, 2)]})
    assert other.is_problem(404, "ResourceNotFound")
    assert (await api("GET", "temporal/entities/urn:v:2")).status == 404


@pytest.mark.clause("5.6.13")
async def test_attributes_are_deleted_by_dataset(api: Api) -> None:
    await post(api, vehicle(speed(1, 1), speed(2, 2), speed(3, 3, "urn:d:1"), speed(4, 4, "urn:d:2")), 201)
    path = f"temporal/entities/{ID}/attrs/speed"
    assert (await api("DELETE", f"{path}?datasetId=urn:d:3")).is_problem(404, "ResourceNotFound")
    assert (await api("DELETE", f"{path}?datasetId=urn:d:1")).status == 204
    assert await speeds(api) == [(1, 1, None), (2, 2, None), (4, 4, "urn:d:2")]
    assert (await api("DELETE", f"{path}?deleteAll=false")).status == 204
    assert await speeds(api) == [(4, 4, "urn:d:2")]
    assert (await api("DELETE", path)).is_problem(404, "ResourceNotFound")
    assert (await api("DELETE", f"{path}?deleteAll=true")).status == 204
    assert "speed" not in await past(api)
    await post(api, vehicle(speed(5, 5)))
    assert await speeds(api) == [(5, 5, None)]


async def _id(api: Api, place: int = 0) -> str:
    return str((await past(api))["speed"][place]["instanceId"])


@pytest.mark.clause("5.6.14")
@pytest.mark.parametrize("fragment", [speed(129, 3), {"speed": [speed(129, 3)]}])
async def test_an_instance_is_replaced(api: Api, fragment: dict[str, Any]) -> None:
    await post(api, vehicle(speed(120, 3, unitCode="KMH"), speed(80, 5)), 201)
    name = await _id(api)
    before = (await past(api, query="?options=sysAttrs"))["speed"]
    path = f"temporal/entities/{ID}/attrs/speed/{name}"
    assert (await api("PATCH", path, fragment)).status == 204
    one, other = (await past(api, query="?options=sysAttrs"))["speed"]
    modified = one.pop("modifiedAt")
    assert modified > before[0]["modifiedAt"]
    assert one == {**speed(129, 3), "instanceId": name, "createdAt": before[0]["createdAt"]}
    assert other == before[1]
    window = f"?timerel=after&timeAt={modified}&timeproperty=modifiedAt"
    assert [found["value"] for found in (await past(api, query=window))["speed"]] == [129]


@pytest.mark.clause("5.6.14")
async def test_an_instance_that_moves_in_time_keeps_its_id(api: Api) -> None:
    await post(api, vehicle(speed(1, 3), speed(2, 5)), 201)
    name = await _id(api)
    path = f"temporal/entities/{ID}/attrs/speed/{name}"
    for minute in (9, 4, 3, 1, 7):
        assert (await api("PATCH", path, speed(10, minute))).status == 204
        instances = (await past(api))["speed"]
        assert sorted(one["observedAt"] for one in instances) == sorted([at(5), at(minute)])
        assert [one["instanceId"] for one in instances if one["value"] == 10] == [name]
    assert (await api("DELETE", path)).status == 204
    assert await speeds(api) == [(2, 5, None)]
    assert (await api("DELETE", path)).is_problem(404, "ResourceNotFound")


@pytest.mark.clause("5.6.15")
async def test_an_instance_is_deleted(api: Api) -> None:
    await api.make(room(ID, speed=speed(1, 1)))
    await api("PATCH", f"entities/{ID}/attrs/speed", speed(2, 2))
    name = await _id(api)
    unknown = (f"speed2/{name}", "speed/urn:ngsi-ld:01234567890123456789", f"speed/{name[:-1]}e")
    for wrong in unknown:
        answer = await api("DELETE", f"temporal/entities/{ID}/attrs/{wrong}")
        assert answer.is_problem(404, "ResourceNotFound")
    assert (await api("DELETE", f"temporal/entities/{ID}/attrs/speed/{name}")).status == 204
    assert await speeds(api) == [(2, 2, None)]
    assert (await api.entity(ID))["speed"] == 2


@pytest.mark.clause("6.22.3")
async def test_a_path_without_a_name_or_an_id_is_refused(api: Api) -> None:
    await post(api, vehicle(speed(1, 1)), 201)
    attrs = f"temporal/entities/{ID}/attrs"
    assert (await api("DELETE", f"{attrs}//{await _id(api)}")).is_problem(400, "BadRequestData")
    assert (await api("DELETE", f"{attrs}/speed/nothing")).is_problem(400, "BadRequestData")
    assert (await api("DELETE", f"{attrs}/%2e%2e")).is_problem(400, "BadRequestData")
    for path in (f"{attrs}//{await _id(api)}", f"{attrs}/speed/"):
        assert (await api("PATCH", path, speed(1, 2))).status == 405
    assert await speeds(api) == [(1, 1, None)]


@pytest.mark.clause("5.6.16")
async def test_an_evolution_is_deleted_and_begins_again(api: Api) -> None:
    await api.make(room(ID, speed=speed(1, 1), scope="/A"))
    path = f"temporal/entities/{ID}"
    assert (await api("DELETE", path)).status == 204
    assert (await api("GET", path)).is_problem(404, "ResourceNotFound")
    assert (await api("DELETE", path)).is_problem(404, "ResourceNotFound")
    assert (await api.entity(ID))["speed"] == 1, "the entity is as it was"
    assert (await api("PATCH", f"entities/{ID}/attrs/speed", speed(2, 2))).status == 204
    assert await speeds(api) == [(2, 2, None)]
    assert (await past(api))["type"] == "T"
    assert (await api("DELETE", path)).status == 204
    assert (await api("DELETE", f"entities/{ID}")).status == 204
    body = await past(api)
    assert [one["value"] for one in body["speed"]] == [NULL]
    assert body["type"] == "T"


@pytest.mark.clause("5.6.5")
async def test_an_attribute_that_only_the_past_has_can_be_deleted(api: Api) -> None:
    await post(api, vehicle(speed(1, 1), speed(2, 2, "urn:d:1"), speed(3, 3, "urn:d:2"), scope="/A"), 201)
    path = f"entities/{ID}/attrs/speed"
    assert (await api("DELETE", path)).status == 204
    assert (await api("DELETE", path)).is_problem(404, "ResourceNotFound")
    assert (await api("DELETE", f"{path}?deleteAll=true")).status == 204
    assert (await api("DELETE", f"entities/{ID}/attrs/scope")).status == 204
    body = await past(api, query="?timeproperty=deletedAt")
    assert [one.get("datasetId") for one in body["speed"]] == [None, "urn:d:2", "urn:d:1"]
    assert [one["value"] for one in body["scope"]] == [[]]
    assert (await api("DELETE", f"entities/{ID}/attrs/fuel")).is_problem(404, "ResourceNotFound")


@pytest.mark.clause("5.6.11")
@pytest.mark.parametrize(
    "doc",
    [
        {"type": "Vehicle", "speed": [speed(1, 1)]},
        {"id": "nothing", "type": "Vehicle", "speed": [speed(1, 1)]},
        {"id": ID, "speed": [speed(1, 1)]},
        vehicle(speed(1, 1), expiresAt=NULL),
        vehicle(speed(1, 1), scope=NULL),
        vehicle(speed(1, 1), scope=[{"type": "Property", "value": 1}]),
        vehicle({**speed(1, 1), "observedAt": NULL}),
        vehicle({**speed(1, 1), "accuracy": {"type": "Property", "value": NULL}}),
        vehicle({"type": "Property", "value": NULL, "deletedAt": "yesterday"}),
        vehicle({"type": "Nothing", "value": 1}),
        vehicle(location=[{"type": "Property", "value": 1}]),
        {"id": ID, "type": "Vehicle", "speed": {"type": "Property", "values": [1, 2]}},
        {"id": ID, "type": "Vehicle", "speed": [{"type": "Property", "value": 1}] * 10_001},
    ],
)
async def test_what_is_wrong_changes_nothing(api: Api, doc: dict[str, Any]) -> None:
    await post(api, {"id": "urn:v:0", "type": "Vehicle"}, 201)
    assert (await api("POST", "temporal/entities", doc)).is_problem(400, "BadRequestData")
    assert (await api("GET", f"temporal/entities/{ID}")).status == 404


async def test_many_requests_at_once_all_count(api: Api) -> None:
    await post(api, vehicle(), 201)
    docs = [vehicle(speed(n, n % 20)) for n in range(60)]
    answers = await asyncio.gather(*(api("POST", "temporal/entities", doc) for doc in docs))
    assert {one.status for one in answers} == {204}
    found = await speeds(api)
    assert [minute for _, minute, _ in found] == list(range(20))
    assert all(value % 20 == minute for value, minute, _ in found)


@pytest.fixture(scope="module")
async def choosy(mongo_uri: str) -> AsyncIterator[Api]:
    """A broker that forgets what was deleted, and that does not record entities of type Secret."""
    port = free_port()
    settings: dict[str, Any] = {
        "delete_temporal_on_entity_delete": "true",
        "unrecorded_types": "Secret,https://ex.org/S",
    }
    async with (
        running(port, mongo_uri=mongo_uri, database="choosy", **settings),
        aiohttp.ClientSession() as http,
    ):
        yield Api(http, f"http://127.0.0.1:{port}", {})


async def test_history_goes_with_its_entity_if_so_set(choosy: Api) -> None:
    await choosy.make(room("urn:f:1", speed=1))
    assert (await past(choosy, "urn:f:1"))["speed"][0]["value"] == 1
    assert (await choosy("DELETE", "entities/urn:f:1")).status == 204
    assert (await choosy("GET", "temporal/entities/urn:f:1")).status == 404
    await choosy.make(room("urn:f:1", fuel=1))
    assert (await past(choosy, "urn:f:1")).keys() == {"id", "type", "fuel"}


async def test_types_can_be_left_out_of_the_history(choosy: Api) -> None:
    await choosy.make({"id": "urn:s:1", "type": ["Secret", "Other"], "speed": 1, "fuel": 2})
    await choosy("PATCH", "entities/urn:s:1/attrs/speed", {"value": 3})
    assert (await choosy("GET", "temporal/entities/urn:s:1")).status == 404
    replacement = {"type": "Open", "speed": 4, "fuel": 2}
    assert (await choosy("PUT", "entities/urn:s:1", replacement)).status == 204
    body = await past(choosy, "urn:s:1")
    assert (body["type"], body["speed"][0]["value"]) == ("Open", 4)
    assert "fuel" in body
