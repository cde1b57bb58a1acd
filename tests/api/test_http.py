"""The HTTP binding: methods, paths, media types, bodies, headers, contexts and tenants (6.3)."""

import asyncio
from typing import Any

import pytest
from yarl import URL

from broker.core import Json
from tests.api.conftest import CORE_URL, JSON, LD_JSON, Api, Kept, linked, room

ENTITY, ATTR = "entities/urn:x:1", "entities/urn:x:1/attrs/heat"
AWAY = "http://127.0.0.1:1/context"


@pytest.fixture
async def stored(api: Api) -> Any:
    """The entity urn:x:1, as it has to stay."""
    await api.make(room(heat=1))
    return await api.entity(options="sysAttrs")


async def raw(api: Api, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """What is answered to these very bytes: status, headers by small names, body."""
    url = URL(api.root)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    writer.close()
    await writer.wait_closed()
    return int(head[0].split()[1]), headers, body


@pytest.mark.clause("6.3.2")
@pytest.mark.parametrize(
    ("path", "wrong", "allowed"),
    [
        ("entities", "TRACE", "GET, POST"),
        ("entities/", "TRACE", "GET, POST"),
        (ATTR, "POST", "DELETE, PATCH"),
        ("entities/urn:x:1/attrs/", "GET", "PATCH, POST"),
        ("subscriptions", "PATCH", "GET, POST"),
        ("subscriptions/urn:s:1", "PUT", "DELETE, GET, PATCH"),
        ("entityOperations/create", "GET", "POST"),
        ("/version", "POST", "GET"),
    ],
)
async def test_another_method(kept: Kept, path: str, wrong: str, allowed: str) -> None:
    answer = await kept(wrong, path, {"heat": 2})
    assert (answer.status, answer.body) == (405, b"")
    assert set(allowed.split(", ")) <= set(answer.headers["Allow"].split(", "))
    assert wrong not in answer.headers["Allow"].split(", ")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.2")
@pytest.mark.parametrize(
    "path",
    [
        "nothing",
        "entities/urn:x:1/other",
        "entities/urn:x:1/attrs/heat/more",
        "entities/urn:x:1//",
        "/ngsi-ld//v1/entities",
        "/NGSI-LD/v1/entities",
        "Entities",
        "/ngsi-ld/v1/../v1/entities",
        "/ngsi-ld/v1/%65ntities",
        "entityOperations",
        "entities/urn:x:1/attrs/heat//",
        "/ngsi-ld/v1",
    ],
)
async def test_what_is_no_resource(kept: Kept, path: str) -> None:
    for method in ("GET", "DELETE"):
        assert (await kept(method, path)).is_problem(404, "ResourceNotFound")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.2")
async def test_a_final_slash_changes_nothing(api: Api, stored: Json) -> None:
    assert await api.get("entities/urn:x:1/?options=sysAttrs") == stored
    assert await api.get("entities/?type=T&options=sysAttrs") == [stored]
    assert (await api("PATCH", ATTR + "/", {"value": 2})).status == 204
    assert (await api("DELETE", "entities/urn:x:1/")).status == 204


@pytest.mark.clause("5.6.4")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "entities//attrs/heat"),
        ("DELETE", "entities//attrs/heat"),
        ("POST", "entities//attrs"),
        ("PATCH", "entities//attrs/"),
        ("GET", "entities//"),
        ("DELETE", "entities//"),
    ],
)
async def test_an_id_that_is_not_there_is_a_bad_request(kept: Kept, method: str, path: str) -> None:
    assert (await kept(method, path, None if method in ("GET", "DELETE") else {"value": 2})).is_problem(
        400, "BadRequestData"
    )
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.2")
async def test_a_subscription_id_that_is_not_there(kept: Kept) -> None:
    for method in ("PATCH", "DELETE"):
        answer = await kept(method, "subscriptions/", {})
        assert (answer.status, answer.body) == (405, b"")
        assert method not in answer.headers["Allow"]
    assert await kept.is_unchanged()


@pytest.mark.clause("4.6.2")
@pytest.mark.parametrize(
    "name", ["%2e%2e", "..", ".", "%2E", "%252e%252e", "..%2f..", "%2e%2e%2f", "%00", "%ff", "%20", "a%2Fb"]
)
async def test_names_of_dots_are_names_and_no_way_up(kept: Kept, name: str) -> None:
    for method, doc in (("PATCH", {"value": 2}), ("DELETE", None)):
        assert (await kept(method, f"entities/urn:x:1/attrs/{name}", doc)).is_problem(400, "BadRequestData")
    for path in (f"entities/{name}", f"subscriptions/{name}"):
        assert (await kept("DELETE", path)).is_problem(400, "BadRequestData")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.2")
async def test_paths_may_be_encoded(api: Api, stored: Json) -> None:
    assert await api.get("entities/urn%3Ax%3A1?options=sysAttrs") == stored
    encoded = "https%3A%2F%2Furi.etsi.org%2Fngsi-ld%2Fdefault-context%2Fheat"
    assert (await api("PATCH", f"entities/urn:x:1/attrs/{encoded}", {"value": 2})).status == 204
    assert (await api.entity())["heat"] == 2


@pytest.mark.clause("6.3.4")
@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/ld+json, application/json", JSON),
        ("application/ld+json", LD_JSON),
        ("application/ld+json, */*;q=0.1", LD_JSON),
        ("application/json;q=0.5, application/ld+json", LD_JSON),
        ("*/*, application/json;q=0", LD_JSON),
        ("text/html, APPLICATION/LD+JSON", LD_JSON),
        ("application/ld+json;q=x, application/json;q=0.9", LD_JSON),
    ],
)
async def test_the_media_type_of_an_answer(kept: Kept, accept: str | None, media: str) -> None:
    headers = {} if accept is None else {"Accept": accept}
    for path in (ENTITY, "entities?type=T"):
        answer = await kept("GET", path, headers=headers)
        assert (answer.status, answer.headers["Content-Type"]) == (200, media)
        assert ("Link" in answer.headers) is (media == JSON)
        assert (b"@context" in answer.body) is (media == LD_JSON)


@pytest.mark.clause("6.3.4")
@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "*/*;q=0", "image/*"])
async def test_nothing_that_the_client_accepts(kept: Kept, accept: str) -> None:
    for path in (ENTITY, "entities?type=T", "subscriptions"):
        answer = await kept("GET", path, headers={"Accept": accept})
        assert answer.is_problem(406, "InvalidRequest")
        assert JSON in answer.doc["detail"]
        assert LD_JSON in answer.doc["detail"]
        assert b"urn:x:1" not in answer.body


WRITES = [
    ("POST", "entities"),
    ("POST", "entities/urn:x:1/attrs"),
    ("PATCH", "entities/urn:x:1/attrs"),
    ("PATCH", ATTR),
]
WRITES += [
    ("POST", "entityOperations/upsert"),
    ("POST", "entityOperations/delete"),
    ("POST", "subscriptions"),
]


@pytest.mark.clause("6.3.4")
@pytest.mark.parametrize("media", ["text/plain", "application/geo+json", "application/xml", "", "json", None])
async def test_other_media_types_of_a_body(kept: Kept, media: str | None) -> None:
    for method, path in WRITES:
        answer = await kept(method, path, {"heat": 2}, media=media)
        assert (answer.status, answer.body) == (415, b"")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.4")
async def test_a_merge_patch_is_for_patch_alone(kept: Kept) -> None:
    answer = await kept("POST", "entities", room("urn:x:2"), media="application/merge-patch+json")
    assert (answer.status, answer.body) == (415, b"")
    assert (await kept("GET", "entities/urn:x:2")).status == 404


@pytest.mark.clause("6.3.4")
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_body_of_unknown_length(kept: Kept, method: str) -> None:
    lines = [
        f"{method} /ngsi-ld/v1/entities/urn:x:1/attrs HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
    ]
    lines += [f"NGSILD-Tenant: {kept.tenant['NGSILD-Tenant']}", "", ""]
    status, headers, body = await raw(kept, "\r\n".join(lines).encode())
    assert (status, body) == (411, b"")
    assert "content-type" not in headers or not body
    assert await kept.is_unchanged()


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}}",
        b"nope",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xed\xa0\x80"}',
        rb'{"a": "\ud800"}',
        b'{"a": "\x01"}',
        b"\x00",
        b'{"a": 01}',
    ],
)
async def test_a_body_that_is_no_json(kept: Kept, body: bytes) -> None:
    for method, path in WRITES:
        for media in (JSON, LD_JSON):
            assert (await kept(method, path, data=body, media=media)).is_problem(400, "InvalidRequest")
    assert await kept.is_unchanged()


@pytest.mark.clause("5.5.4")
async def test_a_body_that_is_too_large_or_too_deep(kept: Kept) -> None:
    huge = b'{"id": "urn:x:2", "type": "T", "heat": "' + b"x" * 16 * 1024**2 + b'"}'
    assert (await kept("POST", "entities", data=huge)).is_problem(413, "BadRequestData")
    deep = {
        b"[" * 200 + b"]" * 200: "BadRequestData",
        b'{"heat":' * 200 + b"1" + b"}" * 200: "BadRequestData",
        b"[" * 100_000 + b"]" * 100_000: "InvalidRequest",
        b"[" * 5_000_000: "InvalidRequest",
    }
    for body, kind in deep.items():
        for path in ("entities/urn:x:1/attrs", "entities/urn:x:1/attrs/heat"):
            assert (await kept("PATCH", path, data=body)).is_problem(400, kind)
    wide = b"[" + b"[]," * 2_000_000 + b"[]]"
    assert (await kept("POST", "entities", data=wide)).is_problem(400, "InvalidRequest")
    assert await kept.is_unchanged()


@pytest.mark.clause("5.5.4")
async def test_brackets_in_texts_are_not_deep(api: Api) -> None:
    await api.make(room(heat='["' * 100))
    assert (await api.entity())["heat"] == '["' * 100


@pytest.mark.clause("5.5.4")
async def test_as_deep_as_is_allowed(api: Api) -> None:
    value: Json = 1
    for _ in range(60):
        value = {"a": value}
    await api.make(room(heat={"type": "Property", "value": value}))
    assert (await api.entity())["heat"] == value


@pytest.mark.clause("6.3.20")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ENTITY),
        ("GET", "entities?type=T"),
        ("POST", "entities"),
        ("DELETE", ENTITY),
        ("PATCH", "entities/urn:x:1/attrs"),
        ("POST", "entities/urn:x:1/attrs"),
        ("PATCH", ATTR),
        ("DELETE", ATTR),
        ("POST", "entityOperations/create"),
        ("POST", "entityOperations/upsert"),
        ("POST", "entityOperations/delete"),
        ("GET", "subscriptions"),
        ("POST", "subscriptions"),
    ],
)
async def test_parameters_that_an_operation_does_not_have(kept: Kept, method: str, path: str) -> None:
    body = None if method in ("GET", "DELETE") else {"heat": 2}
    for query in (
        "unknown=1",
        "options=unknown",
        "format=xml",
        "Type=T",
        "options=",
        "type=T&type=T",
        "%ff=1",
        "x",
    ):
        answer = await kept(method, path + ("&" if "?" in path else "?") + query, body)
        assert answer.is_problem(400, "InvalidRequest"), query
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.6")
async def test_headers_of_answers_without_a_body(api: Api) -> None:
    made = await api("POST", "entities", room(heat=1))
    changed = await api("PATCH", ATTR, {"value": 2})
    assert (made.status, changed.status) == (201, 204)
    assert "Content-Length" not in changed.headers
    for answer in (made, changed):
        assert not answer.headers.keys() & {"Link", "Content-Type"}
        assert answer.headers["NGSILD-Tenant"] == api.tenant["NGSILD-Tenant"]


@pytest.mark.clause("6.3.5")
async def test_contexts_in_the_wrong_place(kept: Kept) -> None:
    for method, path in (
        ("POST", "entities"),
        ("PATCH", "entities/urn:x:1/attrs"),
        ("POST", "subscriptions"),
    ):
        doc = room("urn:x:2", heat=2)
        wrong = [
            await kept(method, path, {**doc, "@context": CORE_URL}),
            await kept(method, path, {**doc, "@context": CORE_URL}, headers=linked(CORE_URL)),
            await kept(method, path, doc, media=LD_JSON),
            await kept(method, path, {**doc, "@context": CORE_URL}, media=LD_JSON, headers=linked(CORE_URL)),
        ]
        assert all(one.is_problem(400, "BadRequestData") for one in wrong)
    assert await kept.is_unchanged()


@pytest.mark.clause("5.5.6")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(one for one in WRITES if one[1] != "entityOperations/delete"),
        ("GET", ENTITY),
        ("GET", "entities?type=T"),
        ("DELETE", ENTITY + "?type=T"),
        ("DELETE", ATTR),
    ],
)
async def test_a_context_that_cannot_be_had(kept: Kept, method: str, path: str) -> None:
    doc: Json = None
    if method in ("POST", "PATCH"):
        doc = [room(heat=2)] if "Operations" in path else {"heat": 2}
    answer = await kept(method, path, doc, headers=linked(AWAY))
    assert answer.is_problem(504, "LdContextNotAvailable")
    assert AWAY in answer.doc["detail"]
    if isinstance(doc, dict):
        inside = await kept(method, path, {**doc, "@context": AWAY}, media=LD_JSON)
        assert inside.is_problem(504, "LdContextNotAvailable")
    assert await kept.is_unchanged()


@pytest.mark.clause("5.5.7")
@pytest.mark.parametrize(
    "context", [5, [5], {"a": 5}, {"heat": {"@id": "urn:h", "@context": {}}}, [[]], True], ids=str
)
async def test_a_context_that_is_none(kept: Kept, context: Json) -> None:
    answer = await kept("PATCH", "entities/urn:x:1/attrs", {"heat": 2, "@context": context}, media=LD_JSON)
    assert answer.is_problem(400, "BadRequestData")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.5")
@pytest.mark.parametrize(
    "link",
    [
        f"<{CORE_URL}>; rel=http://www.w3.org/ns/json-ld#context",
        f'<{CORE_URL}>;type="application/ld+json";REL="http://www.w3.org/ns/json-ld#context"',
        f'<{AWAY}>; rel="next", <{CORE_URL}>; rel="http://www.w3.org/ns/json-ld#context"',
        f'<{AWAY}>; rel="next http://x/y"; title="a \\"b\\", <c>"',
        f"<{CORE_URL}>; rel='http://www.w3.org/ns/json-ld#context'",
        f'<{AWAY}> ; anchor="#a" ; rel = next ,, <{CORE_URL}>;rel="up http://www.w3.org/ns/json-ld#context",',
        "",
        " , ",
    ],
)
async def test_forms_of_the_link_header(kept: Kept, link: str) -> None:
    answer = await kept("GET", ENTITY + "?options=sysAttrs", headers={"Link": link})
    assert answer.doc == kept.before[0]
    assert "json-ld#context" in answer.headers["Link"]


@pytest.mark.clause("6.3.5")
@pytest.mark.parametrize(
    "link",
    [
        CORE_URL,
        f'{CORE_URL}; rel="http://www.w3.org/ns/json-ld#context"',
        f"<{CORE_URL}>",
        f'<{CORE_URL}>; type="application/ld+json"',
        f'<{CORE_URL}; rel="http://www.w3.org/ns/json-ld#context"',
        f'<{CORE_URL}>; rel="http://www.w3.org/ns/json-ld#context',
        f'<{CORE_URL}>; rel="http://www.w3.org/ns/json-ld#context" <{AWAY}>; rel="next"',
        '<>; rel="http://www.w3.org/ns/json-ld#context"',
        "nonsense",
        "<a>" + "; a  " * 1000 + "x",
    ],
)
async def test_a_link_header_that_is_none(kept: Kept, link: str) -> None:
    for method, doc in (("GET", None), ("PATCH", {"heat": 2})):
        answer = await kept(method, ENTITY, doc, headers={"Link": link})
        assert answer.is_problem(400, "BadRequestData")
        form = '<https://example.org/context.jsonld>; rel="http://www.w3.org/ns/json-ld#context"'
        assert form in answer.doc["detail"]
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.5")
async def test_a_write_whose_link_names_no_context_says_so(api: Api) -> None:
    other = {"Link": f'<{AWAY}>; rel="next"'}
    made = await api("POST", "entities", room(heat=1), headers=other)
    assert made.status == 201
    assert made.headers["NGSILD-Warning"].startswith('199 - "Link: ')
    changed = await api("PATCH", ENTITY, {"heat": 2}, headers=other)
    assert (changed.status, "NGSILD-Warning" in changed.headers) == (204, True)
    batch = await api("POST", "entityOperations/update", [room(heat=3)], headers=other)
    assert (batch.status, "NGSILD-Warning" in batch.headers) == (204, True)
    for quiet in (
        await api("GET", ENTITY, headers=other),
        await api("PATCH", ENTITY, {"heat": 4}, headers=linked(CORE_URL)),
        await api("PATCH", ENTITY, {"heat": 5}),
        await api("DELETE", ENTITY, headers=other),
    ):
        assert quiet.status in (200, 204)
        assert "NGSILD-Warning" not in quiet.headers


@pytest.mark.clause("5.5.2")
async def test_what_is_deleted_by_its_id_needs_no_context(api: Api) -> None:
    long = "https%3A%2F%2Fex.org%2Flong"
    await api.make(*(room(f"urn:x:{n}", **{"https://ex.org/long": 1, "heat": 1}) for n in range(1, 6)))
    assert (await api("DELETE", f"entities/urn:x:2/attrs/{long}", headers=linked(AWAY))).status == 204
    assert await api.entity("urn:x:2") == room("urn:x:2", heat=1)
    history = f"temporal/entities/urn:x:2/attrs/{long}?deleteAll=true"
    assert (await api("DELETE", history, headers=linked(AWAY))).status == 204
    for method, path, doc in (
        ("DELETE", ENTITY, None),
        ("DELETE", "temporal/entities/urn:x:2", None),
        ("POST", "entityOperations/delete", ["urn:x:3"]),
        ("DELETE", "entities?id=urn:x:4&local=true", None),
    ):
        answer = await api(method, path, doc, headers=linked(AWAY))
        assert answer.status == 204, answer.body
        assert (await api(method, path, doc, headers={"Link": "nonsense"})).status != 400
    assert [one["id"] for one in await api.get("entities?type=T")] == ["urn:x:2", "urn:x:5"]
    for named in (ENTITY.replace("1", "5") + "?type=T", "entities/urn:x:5/attrs/heat", "entities?type=T"):
        refused = await api("DELETE", named, headers=linked(AWAY))
        assert refused.is_problem(504, "LdContextNotAvailable")
    assert (await api("GET", "entities/urn:x:5")).status == 200


@pytest.mark.clause("6.3.5")
async def test_two_contexts_are_one_too_many(kept: Kept) -> None:
    link = linked(CORE_URL)["Link"]
    answer = await kept("GET", ENTITY, headers={"Link": f"{link}, {link}"})
    assert answer.is_problem(400, "BadRequestData")
    assert b"heat" not in answer.body


@pytest.mark.clause("6.3.14")
async def test_a_tenant_is_made_by_what_creates(api: Api) -> None:
    reads = [
        ("GET", ENTITY),
        ("GET", "entities?type=T"),
        ("GET", "subscriptions"),
        ("GET", "subscriptions/urn:s:1"),
    ]
    writes = [("DELETE", ENTITY), ("DELETE", ATTR), ("DELETE", "subscriptions/urn:s:1"), ("PATCH", ATTR)]
    for method, path in reads + writes:
        answer = await api(method, path, {"value": 1} if method == "PATCH" else None)
        assert answer.is_problem(404, "NonexistentTenant"), path
        assert answer.headers["NGSILD-Tenant"] == api.tenant["NGSILD-Tenant"]
    await api.make(room())
    assert await api.get("entities?type=T") == [room()]


@pytest.mark.clause("4.14")
async def test_tenants_do_not_see_each_other(api: Api, stored: Json) -> None:
    name = api.tenant["NGSILD-Tenant"]
    others = [name.upper(), name + "-x", name + ".x", name + ":x", "a" * 256]
    for n, other in enumerate(others):
        header = {"NGSILD-Tenant": other}
        assert (await api("GET", ENTITY, headers=header)).status == 404
        made = await api("POST", "entities", room(heat=n), headers=header)
        assert (made.status, made.headers["NGSILD-Tenant"]) == (201, other)
    for n, other in enumerate(others):
        found = await api("GET", ENTITY + "?options=simplified", headers={"NGSILD-Tenant": other})
        assert found.doc["heat"] == n
        assert (await api("DELETE", ENTITY, headers={"NGSILD-Tenant": other})).status == 204
    assert await api.entity(options="sysAttrs") == stored


@pytest.mark.clause("6.3.14")
@pytest.mark.parametrize("name", ["a b", "a/b", "a$b", "../x", "a" * 257, "é", "a\tb"])
async def test_names_that_no_tenant_has(api: Api, name: str) -> None:
    answer = await api("POST", "entities", room(), headers={"NGSILD-Tenant": name})
    assert answer.is_problem(400, "BadRequestData")


@pytest.mark.clause("6.3.14")
async def test_a_tenant_of_bytes_that_are_no_text(api: Api) -> None:
    request = b"GET /ngsi-ld/v1/entities/urn:x:1 HTTP/1.1\r\nHost: x\r\nNGSILD-Tenant: a\xff\r\n\r\n"
    status, headers, body = await raw(api, request)
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert b"BadRequestData" in body


async def test_a_connection_serves_on_after_an_error(api: Api) -> None:
    lines = ["POST /ngsi-ld/v1/entities HTTP/1.1", "Host: x", "Content-Type: text/plain", "Content-Length: 5"]
    url = URL(api.root)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    for _ in range(3):
        writer.write("\r\n".join([*lines, "", "hello"]).encode())
        assert b" 415 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    await writer.wait_closed()
