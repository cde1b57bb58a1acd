"""/csourceRegistrations over HTTP (6.8, 6.9)."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from broker.core import Json
from tests.api.conftest import LD_JSON, Answer, Api, Kept, linked, room
from tests.core.federation.registrations import info, small

PATH = "csourceRegistrations"
ONE = info("heat", type="T", id="urn:x:1")


async def register(api: Api, name: str, *information: Json, **members: Json) -> str:
    """Registers a source; the path of its registration below /ngsi-ld/v1/."""
    answer = await api("POST", PATH, small(*information, id=f"urn:r:{name}", **members))
    assert (answer.status, answer.body) == (201, b""), answer.body
    assert answer.headers["Location"] == f"/ngsi-ld/v1/{PATH}/urn:r:{name}"
    return f"{PATH}/urn:r:{name}"


async def found(api: Api, query: str) -> list[str]:
    """The names of the registrations that a query finds, in the order of the answer."""
    return [one["id"].removeprefix("urn:r:") for one in await api.get(f"{PATH}?{query}")]


@pytest.mark.clause("5.9.2")
async def test_a_registration_is_kept_as_it_was_sent(api: Api) -> None:
    members: dict[str, Any] = {
        "registrationName": "é",
        "contextSourceInfo": [{"key": "X", "value": "1"}],
        "mode": "redirect",
        "operations": ["redirectionOps"],
        "management": {"timeout": 1000},
        "scope": "/a/b",
        "expiresAt": "2090-01-01T00:00:00Z",
        "label": {"a": 1},
        "kind": {"type": "Property", "value": "pump"},
    }
    path = await register(api, "1", ONE, **members)
    doc = small(ONE, id="urn:r:1", **members)
    assert await api.get(path) == doc
    shown = await api.get(f"{path}/?options=sysAttrs")
    assert shown["createdAt"] == shown["modifiedAt"]
    assert shown["kind"].keys() == {"type", "value", "createdAt", "modifiedAt"}
    again = await api("POST", PATH, small(ONE, id="urn:r:1", mode="redirect"))
    assert again.is_problem(409, "AlreadyExists")
    assert await api.get(path) == doc


@pytest.mark.clause("5.9.2")
async def test_a_registration_without_an_id_gets_one(api: Api) -> None:
    made = await api("POST", PATH, small())
    assert made.headers["Location"].startswith(f"/ngsi-ld/v1/{PATH}/urn:ngsi-ld:ContextSourceRegistration:")
    assert (await api.get(made.headers["Location"]))["id"] == made.headers["Location"].rpartition("/")[2]


@pytest.mark.clause("5.5.7")
async def test_names_are_those_of_each_request(api: Api) -> None:
    own = {"heat": "https://ex.org/heat", "T": "https://ex.org/T"}
    context = (await api("POST", "jsonldContexts", {"@context": own})).headers["Location"]
    named = linked(api.root + context)
    doc = small(info("heat", type="T"), id="urn:r:1", heat=5)
    assert (await api("POST", PATH, doc, headers=named)).status == 201
    assert await api.get(f"{PATH}/urn:r:1", **named) == doc
    in_core = await api.get(f"{PATH}/urn:r:1")
    assert in_core["information"] == [info("https://ex.org/heat", type="https://ex.org/T")]
    assert in_core["https://ex.org/heat"] == 5
    (listed,) = await api.get(f"{PATH}?type=T", **named)
    assert listed == doc
    assert await found(api, "type=T") == []
    answer = await api("GET", f"{PATH}/urn:r:1", headers={**named, "Accept": LD_JSON})
    assert (answer.headers["Content-Type"], answer.doc["@context"]) == (LD_JSON, api.root + context)
    ours = {"@context": api.root + context, "information": [info("heat", type="U")]}
    assert (await api("PATCH", f"{PATH}/urn:r:1", ours, media=LD_JSON)).status == 204
    assert (await api.get(f"{PATH}/urn:r:1"))["information"][0]["propertyNames"] == ["https://ex.org/heat"]


@pytest.mark.clause("5.9.2")
@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        ({"information": []}, "information"),
        ({"information": None}, "information"),
        ({"endpoint": "x"}, "endpoint"),
        ({"id": "x"}, "id"),
        ({"mode": "exclusive"}, "information.0"),
        ({"mode": "auxiliary", "operations": ["updateOps"]}, "operations"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"management": {"cooldown": 0}}, "management.cooldown"),
        ({"label": None}, "label"),
    ],
    ids=str,
)
async def test_a_wrong_registration_is_not_kept(kept: Kept, wrong: dict[str, Json], member: str) -> None:
    answer = await kept("POST", PATH, small() | wrong)
    assert answer.is_problem(400, "BadRequestData")
    assert answer.doc["detail"].startswith(member)
    assert await found(kept, "type=*") == []


@pytest.mark.clause("5.9.2")
async def test_requests_that_are_no_registrations(kept: Kept) -> None:
    assert (await kept("POST", PATH, {})).is_problem(400, "BadRequestData")
    assert (await kept("POST", PATH, data=b"{")).is_problem(400, "InvalidRequest")
    assert (await kept("POST", PATH, small() | {"@context": []})).is_problem(400, "BadRequestData")
    assert (await kept("POST", PATH, small(), media="text/plain")).status == 415
    assert (await kept("POST", f"{PATH}?other=1", small())).is_problem(400, "InvalidRequest")
    assert (await kept("POST", PATH, small(description="x" * 1024**2))).status == 413
    assert await found(kept, "type=*") == []


@pytest.mark.clause("5.9.2")
async def test_what_is_registered_as_proxied_is_not_here(api: Api) -> None:
    await api.make(room(heat=1))

    async def tried(information: Json, mode: str) -> Answer:
        return await api("POST", PATH, small(information, id="urn:r:1", mode=mode))

    for information, mode in ((ONE, "exclusive"), (info(type="T"), "redirect"), (ONE, "redirect")):
        refused = await tried(information, mode)
        assert refused.is_problem(409, "Conflict")
        assert "urn:x:1" in refused.doc["detail"]
    assert (await api("GET", f"{PATH}/urn:r:1")).is_problem(404, "ResourceNotFound")
    assert (await tried(info(type="T"), "inclusive")).status == 201
    refused = await api("PATCH", f"{PATH}/urn:r:1", {"mode": "redirect"})
    assert refused.is_problem(409, "Conflict")
    assert (await api.get(f"{PATH}/urn:r:1"))["mode"] == "inclusive"
    cold = {"information": [info("cold", type="T", id="urn:x:1")], "mode": "exclusive"}
    assert (await api("PATCH", f"{PATH}/urn:r:1", cold)).status == 204
    assert (await api.entity())["heat"] == 1


@pytest.mark.clause("4.3.6.3")
async def test_an_exclusive_registration_is_the_only_one_of_its_kind(api: Api) -> None:
    path = await register(api, "1", ONE, mode="exclusive")
    for mode in ("exclusive", "redirect"):
        refused = await api("POST", PATH, small(ONE, id="urn:r:2", mode=mode))
        assert refused.is_problem(409, "Conflict")
        assert "urn:r:1" in refused.doc["detail"]
    assert (await api("POST", PATH, small(ONE, id="urn:r:1", mode="exclusive"))).is_problem(
        409, "AlreadyExists"
    )
    await register(api, "2", ONE)
    assert (await api("PATCH", f"{PATH}/urn:r:2", {"mode": "redirect"})).is_problem(409, "Conflict")
    assert (await api("DELETE", path)).status == 204
    assert (await api("PATCH", f"{PATH}/urn:r:2", {"mode": "redirect"})).status == 204


@pytest.mark.clause("5.9.3")
async def test_an_update(api: Api) -> None:
    path = await register(api, "1", scope="/a", label="x", expiresAt="2090-01-01T00:00:00Z")
    before = await api.get(f"{path}?options=sysAttrs")
    fragment = {"endpoint": "http://other:1", "expiresAt": None, "scope": "urn:ngsi-ld:null", "label": "y"}
    changed = await api("PATCH", path, fragment, media="application/merge-patch+json")
    assert (changed.status, changed.body) == (204, b"")
    assert await api.get(path) == small(id="urn:r:1", label="y") | {"endpoint": "http://other:1"}
    after = await api.get(f"{path}?options=sysAttrs")
    assert (after["createdAt"], after["modifiedAt"]) > (before["createdAt"], before["modifiedAt"])
    for wrong in ({"type": "building"}, {"information": None}, {"id": "urn:r:2"}, {}, {"endpoint": None}):
        assert (await api("PATCH", path, wrong)).is_problem(400, "BadRequestData")
    assert await api.get(f"{path}?options=sysAttrs") == after


@pytest.mark.clause("5.9.4")
async def test_what_is_not_there(api: Api) -> None:
    for method, doc in (("GET", None), ("DELETE", None), ("PATCH", {"scope": "/a"})):
        assert (await api(method, f"{PATH}/urn:r:1", doc)).is_problem(404, "NonexistentTenant")
    path = await register(api, "1")
    gone = await api("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    for method, doc in (("GET", None), ("DELETE", None), ("PATCH", {"scope": "/a"})):
        assert (await api(method, path, doc)).is_problem(404, "ResourceNotFound")
        assert (await api(method, f"{PATH}/x", doc)).is_problem(400, "BadRequestData")
    for method in ("PATCH", "DELETE", "PUT"):
        answer = await api(method, f"{PATH}/", {} if method != "DELETE" else None)
        assert (answer.status, answer.body, answer.headers["Allow"]) == (405, b"", "GET, POST")
    assert (await api("GET", path, headers={"Accept": "application/geo+json"})).is_problem(
        406, "InvalidRequest"
    )


@pytest.mark.clause("5.10.2")
async def test_discovery(api: Api) -> None:
    await register(api, "1", info("heat", type="T"), scope="/a/b", level=5)
    await register(api, "2", info(type=["T", "U"], idPattern="^urn:x:"), endpoint="http://other:1")
    await register(api, "3", {"propertyNames": ["cold"]}, location={"type": "Point", "coordinates": [8, 49]})
    await register(api, "4", observationInterval={"startAt": "2020-01-01T00:00:00Z"})
    near = "georel=near;maxDistance==9&geometry=Point&coordinates=[8,49]"
    expected = {
        "type=T": "123",
        "type=U": "23",
        "type=*": "123",
        "type=T&id=urn:y:1": "13",
        "id=urn:y:1": "13",
        "type=T&idPattern=y": "123",
        "attrs=heat": "12",
        "attrs=cold,heat": "123",
        "pick=id,heat": "12",
        "q=cold>1": "23",
        "q=cold>1&type=X": "3",
        "type=T&scopeQ=/a/%23": "1",
        "type=T&csf=level==5": "1",
        "type=T&csf=" + quote('endpoint=="http://other:1"'): "2",
        near: "",  # of these, none has both a location and the attribute location
        f"{near}&attrs=cold": "3",
        "type=T&timerel=after&timeAt=2026-01-01T00:00:00Z": "4",
        "type=T&timerel=before&timeAt=2020-01-01T00:00:00Z": "",
        "type=T&timerel=after&timeAt=2026-01-01T00:00:00Z&timeproperty=createdAt": "",
        "type=T&timeproperty=createdAt&lang=de&omit=heat&geometryProperty=place": "123",
    }
    assert {query: "".join(await found(api, query)) for query in expected} == expected


@pytest.mark.clause("5.10.2")
@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("", "BadRequestData"), ("idPattern=.*", "BadRequestData"), ("scopeQ=/a", "BadRequestData"),
        ("csf=a", "BadRequestData"), ("pick=id", "BadRequestData"), ("type=T&id=x", "BadRequestData"),
        ("q=(", "BadRequestData"), ("type=T&csf=(", "BadRequestData"), ("georel=within", "BadRequestData"),
        ("type=T&timerel=before", "BadRequestData"), ("type=T&timeAt=2020-01-01T00:00:00Z", "BadRequestData"),
        ("type=T&idPattern=(", "BadRequestData"), ("type=T&lang=!", "BadRequestData"),
        ("type=T&geometryProperty=a-b", "BadRequestData"), ("type=T&pick=a&attrs=b", "BadRequestData"),
        ("type=T&join=inline", "InvalidRequest"), ("type=T&options=keyValues", "InvalidRequest"),
        ("type=T&limit=0", "BadRequestData"),
    ],
)  # fmt: skip
async def test_discovery_of_what_is_wrong_or_too_much(kept: Kept, query: str, kind: str) -> None:
    assert (await kept("GET", f"{PATH}?{query}")).is_problem(400, kind)


@pytest.mark.clause("5.5.9")
async def test_pages(api: Api) -> None:
    for name in "abcde":
        await register(api, name)
    await register(api, "c0", info(type="U"))
    assert await found(api, "type=T&limit=2&offset=1") == ["b", "c"]
    answer = await api("GET", f"{PATH}?type=T&limit=2&offset=2&count=true")
    assert answer.headers["NGSILD-Results-Count"] == "5"
    assert [one["id"] for one in answer.doc] == ["urn:r:c", "urn:r:d"]
    link = answer.headers["Link"]
    for offset, relation in ((0, "prev"), (4, "next")):
        uri = f"/ngsi-ld/v1/{PATH}?type=T&count=true&limit=2&offset={offset}"
        assert f'<{uri}>;rel="{relation}";type="application/ld+json"' in link
    last = await api("GET", f"{PATH}?type=T&limit=2&offset=4")
    assert (len(last.doc), 'rel="next"' in last.headers["Link"]) == (1, False)
    counted = await api("GET", f"{PATH}?type=T&limit=0&options=count")
    assert (counted.doc, counted.headers["NGSILD-Results-Count"]) == ([], "5")


@pytest.mark.clause("5.9.2")
async def test_an_expired_registration_is_gone(api: Api) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()[:-6] + "Z"
    path = await register(api, "1", ONE, mode="exclusive", expiresAt=soon)
    async with asyncio.timeout(30):
        while (await api("GET", path)).status == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await api("GET", path)).is_problem(404, "ResourceNotFound")
    assert (await api("PATCH", path, {"expiresAt": None})).is_problem(404, "ResourceNotFound")
    assert await found(api, "type=T") == []
    await register(api, "1", ONE, mode="exclusive")


@pytest.mark.clause("4.14")
async def test_each_tenant_has_its_own(api: Api, kept: Kept) -> None:
    path = await register(api, "1")
    assert (await kept("GET", path)).is_problem(404, "ResourceNotFound")
    assert await found(api, "type=T") == ["1"]
