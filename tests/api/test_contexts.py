"""/jsonldContexts (clauses 5.13, 6.29 and 6.30)."""

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from aiohttp import web

from broker.core import Json
from tests.api.conftest import CORE_URL, LD_JSON, Api, linked

SPEED = {"speed": "https://ex.org/speed"}
PATH = "/ngsi-ld/v1/jsonldContexts/"


class Host:
    """A remote host of @contexts."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: Json = {"@context": SPEED}
        self.text = b""  # in place of the answer
        self.headers: dict[str, str] = {}
        self.asked = 0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.asked += 1
        if self.answer is None:
            return web.Response(status=500)
        return web.Response(body=self.text or orjson.dumps(self.answer), headers=self.headers)


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    runner = web.ServerRunner(web.Server(host.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}/context.jsonld"
    yield host
    await runner.cleanup()


async def add(api: Api, source: Json) -> str:
    """Adds a Hosted @context; its path."""
    answer = await api("POST", "jsonldContexts", {"@context": source, "extra": 1})
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["Location"].startswith(PATH)
    return answer.headers["Location"]


async def details(api: Api, name: str) -> Any:
    return await api.get(f"{PATH}{quote(name.removeprefix(PATH), safe='')}?details=true")


async def delete(api: Api, name: str, query: str = "") -> Any:
    return await api("DELETE", f"{PATH}{quote(name.removeprefix(PATH), safe='')}{query}")


def car(source: Json, number: int = 1) -> dict[str, Json]:
    return {"id": f"urn:x:{number}", "type": "Car", "speed": {"value": 3}, "@context": source}


@pytest.mark.clause("5.13.2")
@pytest.mark.clause("5.13.4")
async def test_what_is_added_is_served(api: Api) -> None:
    path = await add(api, SPEED)
    answer = await api("GET", path)
    assert (answer.status, answer.doc) == (200, {"@context": SPEED})
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers
    as_ld = await api("GET", path, headers={"Accept": LD_JSON})
    assert (as_ld.headers["Content-Type"], as_ld.doc) == (LD_JSON, answer.doc)
    shown = await details(api, path)
    assert shown.keys() == {"URL", "localId", "kind", "createdAt", "numberOfHits"}
    assert (shown["URL"], shown["localId"]) == (api.root + path, path.removeprefix(PATH))
    assert (shown["kind"], shown["numberOfHits"]) == ("Hosted", 0)


@pytest.mark.clause("5.13.1")
async def test_what_is_hosted_is_used_by_its_url_or_its_path(api: Api) -> None:
    path = await add(api, SPEED)
    for number, source in enumerate((path, api.root + path, [api.root + path, CORE_URL])):
        created = await api("POST", "entities", car(source, number), media=LD_JSON)
        assert created.status == 201, created.body
    assert "https://ex.org/speed" in await api.get("entities/urn:x:0")
    assert "speed" in await api.get("entities/urn:x:0", **linked(api.root + path))
    shown = await details(api, path)
    assert shown["numberOfHits"] == 4
    assert shown["lastUsage"] >= shown["createdAt"]


@pytest.mark.clause("5.13.5")
async def test_what_is_deleted_is_gone(api: Api) -> None:
    path = await add(api, SPEED)
    assert (await api("POST", "entities", car(path), media=LD_JSON)).status == 201
    assert (await delete(api, path)).status == 204
    for method in ("GET", "DELETE"):
        assert (await api(method, path)).is_problem(404, "ResourceNotFound")
    refused = await api("POST", "entities", car(path, 2), media=LD_JSON)
    assert refused.is_problem(504, "LdContextNotAvailable")
    assert "https://ex.org/speed" in await api.get("entities/urn:x:1")


@pytest.mark.clause("5.13.2.4")
@pytest.mark.parametrize(
    ("doc", "kind"),
    [
        ({"speed": "https://ex.org/speed"}, "InvalidRequest"),
        ([{"@context": SPEED}], "InvalidRequest"),
        ({"@context": 42}, "BadRequestData"),
        ({"@context": True}, "BadRequestData"),
        ({"@context": ["https://ex.org/unreachable", 7]}, "BadRequestData"),
        ({"@context": {"speed": 5}}, "BadRequestData"),
        ({"@context": {"a": {"@id": "urn:a", "@context": {}}}}, "BadRequestData"),
    ],
)
async def test_what_is_no_context_is_not_added(api: Api, doc: Json, kind: str) -> None:
    answer = await api("POST", "jsonldContexts", doc)
    assert answer.is_problem(400, kind)
    assert "Location" not in answer.headers
    assert not await api.get("jsonldContexts?kind=Hosted")


@pytest.mark.clause("5.13.3")
async def test_lists_are_by_kind(api: Api, host: Host) -> None:
    hosted = api.root + await add(api, SPEED)
    assert (await api("POST", "entities", car(host.url), media=LD_JSON)).status == 201
    assert await api.get("jsonldContexts?kind=Hosted") == [hosted]
    assert await api.get("jsonldContexts?kind=ImplicitlyCreated") == []
    cached = await api.get("jsonldContexts?kind=Cached&details=false")
    assert host.url in cached
    assert hosted not in cached
    every = await api.get("jsonldContexts?details=true")
    assert {one["URL"]: one["kind"] for one in every}.items() >= {(hosted, "Hosted"), (host.url, "Cached")}
    for query in ("kind=other", "details=other", "details=true&kind=hosted"):
        assert (await api("GET", f"jsonldContexts?{query}")).is_problem(400, "BadRequestData")
    assert (await api("GET", "jsonldContexts?limit=1")).is_problem(400, "InvalidRequest")


@pytest.mark.clause("5.13.4.4")
async def test_a_cached_one_shows_its_details_only(api: Api, host: Host) -> None:
    host.headers = {"Cache-Control": "public, max-age=3600"}
    assert (await api("POST", "entities", car([host.url]), media=LD_JSON)).status == 201
    shown = await details(api, host.url)
    assert (shown["URL"], shown["kind"], shown["numberOfHits"]) == (host.url, "Cached", 1)
    assert shown["expiresAt"][:10] >= shown["createdAt"][:10]
    by_id = await details(api, shown["localId"])
    assert by_id["numberOfHits"] == 2  # to show it was to find it, as the ETSI suite counts
    content = await api("GET", PATH + shown["localId"])
    assert content.is_problem(422, "OperationNotSupported")


@pytest.mark.clause("5.13.5.4")
async def test_a_cached_one_is_fetched_anew_when_it_was_deleted(api: Api, host: Host) -> None:
    for number in (1, 2):
        assert (await api("POST", "entities", car(host.url, number), media=LD_JSON)).status == 201
    assert host.asked == 1
    assert (await delete(api, host.url)).status == 204
    assert (await delete(api, host.url)).is_problem(404, "ResourceNotFound")
    assert (await api("POST", "entities", car(host.url, 3), media=LD_JSON)).status == 201
    assert host.asked == 2
    assert (await details(api, host.url))["numberOfHits"] == 1


@pytest.mark.clause("5.13.5.4")
async def test_reload_replaces_what_is_cached(api: Api, host: Host) -> None:
    assert (await api("POST", "entities", car(host.url), media=LD_JSON)).status == 201
    before = await details(api, host.url)
    host.answer = {"@context": {"velocity": "https://ex.org/speed"}}
    assert (await delete(api, before["localId"], "?reload=true")).status == 204
    assert "velocity" in await api.get("entities/urn:x:1", **linked(host.url))
    after = await details(api, host.url)
    assert after["localId"] == before["localId"]
    assert after["createdAt"] > before["createdAt"]


@pytest.mark.clause("5.13.5.4")
@pytest.mark.parametrize("answer", [None, [], {"@context": {"a": 5}}, {"@context": "http://127.0.0.1:1/x"}])
async def test_a_reload_that_fails_changes_nothing(api: Api, host: Host, answer: Json) -> None:
    assert (await api("POST", "entities", car(host.url), media=LD_JSON)).status == 201
    host.answer = answer
    assert (await delete(api, host.url, "?reload=true")).is_problem(504, "LdContextNotAvailable")
    assert (await details(api, host.url))["kind"] == "Cached"
    assert "speed" in await api.get("entities/urn:x:1", **linked(host.url))


@pytest.mark.clause("5.13.5.4")
async def test_only_a_cached_one_can_be_reloaded(api: Api) -> None:
    path = await add(api, SPEED)
    for name in (path, "unknown"):
        assert (await delete(api, name, "?reload=true")).is_problem(400, "BadRequestData")
        assert (await delete(api, name, "?reload=maybe")).is_problem(400, "BadRequestData")
    assert (await delete(api, "unknown", "?reload=false")).is_problem(404, "ResourceNotFound")
    assert (await api("GET", path)).status == 200


async def test_the_core_is_there_to_stay(api: Api) -> None:
    shown = await details(api, CORE_URL)
    assert (shown["kind"], shown["URL"][:40]) == ("Cached", CORE_URL[:40])
    assert (await delete(api, CORE_URL)).is_problem(400, "BadRequestData")
    assert (await delete(api, CORE_URL, "?reload=true")).status == 204
    assert await details(api, CORE_URL)


LINK = re.compile(r'<([^>]*)>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld\+json"')
LONG = {f"term{n}": f"https://ex.org/{n}" for n in range(5000)}


@pytest.mark.clause("5.13.1")
@pytest.mark.clause("6.3.6")
@pytest.mark.parametrize(
    "source", [SPEED, [CORE_URL, SPEED], [{**LONG, **SPEED}]], ids=["one", "array", "long"]
)
async def test_what_comes_inline_is_linked_by_a_url_that_answers(api: Api, source: Json) -> None:
    assert (await api("POST", "entities", car(SPEED), media=LD_JSON)).status == 201
    query = {"type": "Query", "entities": [{"type": "Car"}], "@context": source}
    window = {"timerel": "after", "timeAt": "2020-01-01T00:00:00Z", "timeproperty": "modifiedAt"}
    past = {**query, "temporalQ": window}
    for path, doc in (("entityOperations/query", query), ("temporal/entityOperations/query", past)):
        answers = [await api("POST", path, doc, media=LD_JSON) for _ in "12"]
        assert [one.status for one in answers] == [200, 200], answers[0].body
        assert [[*one] for one in answers[0].doc] == [["id", "type", "speed"]]
        (url,) = {found[1] for one in answers if (found := LINK.fullmatch(one.headers["Link"]))}
        assert await api.get(url.removeprefix(api.root)) == {"@context": source}
        assert "speed" in await api.get("entities/urn:x:1", **linked(url))
    assert [one["URL"] for one in await api.get("jsonldContexts?kind=ImplicitlyCreated&details=true")] == [
        url
    ]
    inside = await api("POST", "entityOperations/query", query, media=LD_JSON, headers={"Accept": LD_JSON})
    assert ([one["@context"] for one in inside.doc], "Link" in inside.headers) == ([source], False)
    assert (await delete(api, url.removeprefix(api.root))).status == 204
    again = await api("POST", "entityOperations/query", query, media=LD_JSON)
    assert again.headers["Link"] == answers[0].headers["Link"]
    assert await api.get(url.removeprefix(api.root)) == {"@context": source}


async def test_a_query_with_its_context_inside_makes_no_tenant(api: Api) -> None:
    query = {"type": "Query", "entities": [{"type": "Car"}], "@context": SPEED}
    refused = await api("POST", "entityOperations/query", query, media=LD_JSON)
    assert refused.is_problem(404, "NonexistentTenant")
    assert (await api("GET", "entities?type=Car")).is_problem(404, "NonexistentTenant")


@pytest.mark.clause("5.13.1")
async def test_a_url_that_is_too_long_for_a_header_gets_a_short_one(api: Api, host: Host) -> None:
    long = host.url + "?" + "x" * 6000
    assert (await api("POST", "entities", car(long), media=LD_JSON)).status == 201
    query = {"type": "Query", "entities": [{"type": "Car"}], "@context": [long]}
    answer = await api("POST", "entityOperations/query", query, media=LD_JSON)
    (url,) = LINK.fullmatch(answer.headers["Link"]).groups()  # type: ignore[union-attr]
    assert len(url) < 200
    assert "speed" in await api.get("entities/urn:x:1", **linked(url))


@pytest.mark.clause("5.5.6")
@pytest.mark.parametrize("deep", [100, 300, 900])
async def test_a_document_that_is_nested_too_deep(api: Api, host: Host, deep: int) -> None:
    await api.make({"id": "urn:x:9", "type": "Car"})
    nested = b"[" * deep + b"]" * deep
    host.text = b'{"@context":%s}' % nested
    for answer in (
        await api("POST", "entities", car(host.url), media=LD_JSON),
        await api("GET", "entities/urn:x:9", headers=linked(host.url)),
    ):
        assert answer.is_problem(400, "BadRequestData")
        assert "nested deeper" in answer.doc["detail"]
    host.text = b'{"@context":{"speed":"https://ex.org/speed"},"graph":%s}' % nested
    assert (await api("POST", "entities", car(host.url), media=LD_JSON)).status == 201


@pytest.mark.clause("5.5.10")
async def test_what_one_tenant_hosts_another_does_not_see(api: Api) -> None:
    path = await add(api, SPEED)
    other = Api(api._http, api.root, {"NGSILD-Tenant": api.tenant["NGSILD-Tenant"] + "b"})
    for query in ("", "?details=true"):
        assert (await other("GET", path + query)).is_problem(404, "ResourceNotFound")
    assert (await other("DELETE", path)).is_problem(404, "ResourceNotFound")
    assert path not in (await other("GET", "jsonldContexts?details=true")).body.decode()
    refused = await other("POST", "entities", car(path), media=LD_JSON)
    assert refused.is_problem(504, "LdContextNotAvailable")
    assert (await api("GET", path)).status == 200
