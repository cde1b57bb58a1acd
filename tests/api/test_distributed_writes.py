"""Writes that two brokers carry out together (4.3.6, 5.6, 6.3.17), over HTTP."""

from typing import Any

import pytest

from broker.core import Json
from tests.api.conftest import ERRORS, Cities, room
from tests.core.federation.registrations import info

ONE = info(type="T", id="urn:x:1")
HEAT = info("heat", type="T", id="urn:x:1")
DEAD = "http://127.0.0.1:1"
SPEED = {"type": "Property", "value": 3}


@pytest.mark.clause("4.3.6.2")
async def test_what_is_included_is_written_at_both(cities: Cities) -> None:
    await cities.register()
    await cities.home.make(room(heat=1))
    assert (await cities.here())["heat"] == (await cities.there())["heat"] == 1
    assert (await cities.home("PATCH", "entities/urn:x:1/attrs", {"heat": 2})).status == 204
    assert (await cities.here())["heat"] == (await cities.there())["heat"] == 2
    assert (await cities.home("DELETE", "entities/urn:x:1")).status == 204
    assert await cities.here() is await cities.there() is None


@pytest.mark.clause("4.3.6.3")
async def test_what_is_redirected_is_not_here(cities: Cities) -> None:
    await cities.register(mode="redirect")
    await cities.home.make(room(heat=1))
    assert await cities.here() is None
    assert (await cities.there())["heat"] == 1
    assert (await cities.home("PUT", "entities/urn:x:1/attrs/heat", {"value": 5})).status == 204
    assert (await cities.home("PATCH", "entities/urn:x:1/attrs/heat", {"unitCode": "CEL"})).status == 204
    assert (await cities.home("POST", "entities/urn:x:1/attrs", {"level": 7})).status == 204
    assert await cities.there() == {"id": "urn:x:1", "type": "T", "heat": 5, "level": 7}
    assert (await cities.home("DELETE", "entities/urn:x:1/attrs/level")).status == 204
    assert (await cities.home("PATCH", "entities/urn:x:1", {"heat": 6})).status == 204
    assert await cities.there() == {"id": "urn:x:1", "type": "T", "heat": 6}
    assert (await cities.home("PUT", "entities/urn:x:1", room(cold=1))).status == 204
    assert await cities.there() == {"id": "urn:x:1", "type": "T", "cold": 1}


@pytest.mark.clause("4.3.6.3")
async def test_what_is_exclusive_goes_to_its_source_alone(cities: Cities) -> None:
    await cities.register("1", HEAT, mode="exclusive")
    await cities.home.make(room(heat=1, level=2))
    assert await cities.here() == {"id": "urn:x:1", "type": "T", "level": 2}
    assert await cities.there() == {"id": "urn:x:1", "type": "T", "heat": 1}
    answer = await cities.home("PATCH", "entities/urn:x:1/attrs", {"heat": 4, "level": 5})
    assert answer.status == 204
    assert (await cities.here())["level"] == 5
    assert (await cities.there())["heat"] == 4


async def test_a_document_in_an_inline_context_is_understood_there(cities: Cities) -> None:
    """The other broker cannot fetch it, so it gets names of the core context."""
    await cities.register("1", info(type="https://ex.org/T"), mode="redirect")
    doc = {
        "@context": {"R": "https://ex.org/T", "h": "https://ex.org/h"},
        "id": "urn:x:1",
        "type": "R",
        "h": 1,
    }
    assert (await cities.home("POST", "entities", doc, media="application/ld+json")).status == 201
    assert await cities.there() == {"id": "urn:x:1", "type": "https://ex.org/T", "https://ex.org/h": 1}


@pytest.mark.clause("5.6.2.4")
async def test_types_that_are_here_say_whom_an_update_concerns(cities: Cities) -> None:
    """The update of a Building does not go to whoever has Vehicles; of what is not here, it may."""
    await cities.register("1", info(type="Vehicle"), endpoint=DEAD)
    await cities.home.make(room(heat=1))
    assert (await cities.home("PATCH", "entities/urn:x:1/attrs", {"heat": 2})).status == 204
    assert (await cities.home("PATCH", "entities/urn:x:2/attrs", {"heat": 2})).status == 207


@pytest.mark.clause("6.3.17")
@pytest.mark.parametrize(
    ("method", "path", "doc"),
    [
        ("POST", "entities", room(heat=1)),
        ("PUT", "entities/urn:x:1", room(heat=1)),
        ("PATCH", "entities/urn:x:1", {"heat": 1}),
        ("DELETE", "entities/urn:x:1", None),
        ("PATCH", "entities/urn:x:1/attrs", {"heat": 1}),
        ("POST", "entities/urn:x:1/attrs", {"heat": 1}),
        ("PATCH", "entities/urn:x:1/attrs/heat", {"value": 1}),
        ("PUT", "entities/urn:x:1/attrs/heat", {"value": 1}),
        ("DELETE", "entities/urn:x:1/attrs/heat", None),
    ],
)
async def test_the_only_source_cannot_be_reached(cities: Cities, method: str, path: str, doc: Json) -> None:
    await cities.register("1", ONE, mode="redirect", endpoint=DEAD)
    answer = await cities.home(method, path, doc)
    assert answer.is_problem(502, "InternalError")
    assert "urn:r:1" in answer.doc["detail"]
    assert DEAD not in answer.doc["detail"]


@pytest.mark.clause("5.6.1.4")
@pytest.mark.parametrize(("mode", "status"), [("redirect", 409), ("inclusive", 201)])
async def test_a_source_that_does_not_offer_the_operation(cities: Cities, mode: str, status: int) -> None:
    await cities.register("1", mode=mode, operations=["retrieveOps"])
    answer = await cities.home("POST", "entities", room(heat=1))
    assert answer.status == status
    assert status == 201 or answer.is_problem(409, "Conflict")
    assert await cities.there() is None


@pytest.mark.clause("5.2.18")
async def test_attributes_that_a_source_did_not_take_are_listed(cities: Cities) -> None:
    await cities.home.make(room(level=1))
    await cities.register("1", HEAT, mode="exclusive", endpoint=DEAD)
    answer = await cities.home("PATCH", "entities/urn:x:1/attrs", {"heat": 4, "level": 5})
    assert answer.status == 207
    assert [name.rpartition("/")[2] for name in answer.doc["updated"]] == ["level"]
    [failed] = answer.doc["notUpdated"]
    assert failed.keys() == {"attributeName", "reason", "registrationId"}
    assert failed["attributeName"].endswith("/heat")
    assert (await cities.here())["level"] == 5


@pytest.mark.clause("5.2.17")
async def test_parts_of_an_entity_that_failed_are_listed(cities: Cities) -> None:
    await cities.register("1", endpoint=DEAD)
    answer = await cities.home("POST", "entities", room(heat=1))
    assert answer.status == 207
    assert answer.doc["success"] == ["urn:x:1"]
    [failed] = answer.doc["errors"]
    assert (failed["entityId"], failed["registrationId"]) == ("urn:x:1", "urn:r:1")
    assert failed["error"]["status"] == 502
    again = await cities.home("POST", "entities", room(heat=1))
    assert (again.status, again.doc["success"]) == (207, [])
    assert [one["error"]["status"] for one in again.doc["errors"]] == [502, 409]


@pytest.mark.clause("5.6.6.4")
async def test_a_deletion_needs_the_entity_somewhere(cities: Cities) -> None:
    await cities.register("1", mode="redirect")
    assert (await cities.home("DELETE", "entities/urn:x:9")).is_problem(404, "ResourceNotFound")
    await cities.river.make(room(heat=1))
    assert (await cities.home("DELETE", "entities/urn:x:1")).status == 204


@pytest.mark.clause("6.3.18")
async def test_local_asks_nobody(cities: Cities) -> None:
    await cities.register("1", endpoint=DEAD)
    assert (await cities.home("POST", "entities?local=true", room(heat=1))).status == 201
    assert (await cities.home("PATCH", "entities/urn:x:1/attrs?local=true", {"heat": 2})).status == 204


async def test_a_wrong_document_is_refused_before_anybody_is_asked(cities: Cities) -> None:
    await cities.register("1", mode="redirect")
    answer = await cities.home("POST", "entities", room(heat={"type": "Property"}))
    assert answer.is_problem(400, "BadRequestData")
    assert await cities.there() is None


@pytest.mark.clause("5.6.21.4")
async def test_a_purge_deletes_here_and_what_is_registered_there(cities: Cities) -> None:
    await cities.register("1", HEAT, mode="exclusive")
    await cities.river.make(room(heat=1, level=2), room("urn:x:2", heat=1))
    assert (await cities.home("DELETE", "entities?type=T")).status == 204
    assert await cities.there() == {"id": "urn:x:1", "type": "T", "level": 2}
    assert await cities.there("urn:x:2") is not None
    assert await cities.here("urn:x:first") is not None


@pytest.mark.clause("5.6.21.4")
async def test_a_purge_goes_to_sources_of_the_type(cities: Cities) -> None:
    await cities.register()
    await cities.river.make(room(heat=1))
    assert (await cities.home("DELETE", "entities?type=T&drop=heat")).status == 204
    assert await cities.there() == {"id": "urn:x:1", "type": "T"}
    await cities.register("2", info(type="Other"), endpoint=DEAD, mode="redirect", operations=["retrieveOps"])
    assert (await cities.home("DELETE", "entities?type=T")).status == 204
    answer = await cities.home("DELETE", "entities?type=Other")
    assert answer.status == 207
    assert [one["error"]["type"] for one in answer.doc["errors"]] == [ERRORS + "Conflict"]


@pytest.mark.clause("6.3.17")
@pytest.mark.parametrize("mode", ["redirect", "inclusive"])
async def test_a_registration_of_oneself_is_a_loop(cities: Cities, mode: str) -> None:
    tenant = cities.home.tenant["NGSILD-Tenant"]
    await cities.register("1", mode=mode, endpoint=cities.home.root, tenant=tenant)
    answer = await cities.home("POST", "entities", room(heat=1))
    assert answer.status == (508 if mode == "redirect" else 201)
    assert (await cities.here() is None) is (mode == "redirect")


@pytest.mark.clause("6.3.17")
async def test_a_request_never_runs_twice_at_one_broker(cities: Cities) -> None:
    """home -> river -> home: the river's broker is told of the loop, and home of nothing but what it did."""
    tenant = cities.home.tenant["NGSILD-Tenant"]
    await cities.register()
    doc: dict[str, Any] = {
        "type": "ContextSourceRegistration",
        "information": [info(type="T")],
        "endpoint": cities.home.root,
        "tenant": tenant,
        "operations": ["redirectionOps"],
    }
    assert (await cities.river("POST", "csourceRegistrations", doc)).status == 201
    await cities.home.make(room(heat=1))
    assert (await cities.here())["heat"] == (await cities.river.get("entities/urn:x:1?local=true"))["heat"][
        "value"
    ]
    looped = await cities.home(
        "DELETE", "entities/urn:x:1", headers={"Via": f"1.1 eridanus~{tenant}, 1.1 river"}
    )
    assert looped.is_problem(508, "InternalError")
    assert await cities.here() is not None


async def test_a_write_that_concerns_too_many_sources_changes_nothing(cities: Cities) -> None:
    for number in range(5):  # the broker of these tests may ask four for one request
        await cities.register(str(number), info(type="Crowd"))
    doc = {"id": "urn:x:1", "type": "Crowd", "heat": 1}
    assert (await cities.home("POST", "entities", doc)).is_problem(403, "TooComplexQuery")
    assert await cities.here() is None
    assert (await cities.home("DELETE", "entities?type=Crowd")).is_problem(403, "TooComplexQuery")
    assert (await cities.home("GET", "entities/urn:x:1?type=Crowd")).is_problem(403, "TooComplexQuery")
