"""/entities over HTTP (6.4, 6.5)."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from broker.core import Json
from tests.api.conftest import CORE_URL, LD_JSON, Api, Kept, linked, room
from tests.core.documents import KINDS, NULL, POINT

EX = {"ex": "https://ex.org/", "heat": "ex:heat", "T": "ex:T"}


@pytest.mark.clause("5.6.1")
async def test_an_entity_is_created_where_its_location_says(api: Api) -> None:
    made = await api("POST", "entities", room(heat={"type": "Property", "value": 1}))
    assert (made.status, made.body) == (201, b"")
    assert made.headers["Location"] == "/ngsi-ld/v1/entities/urn:x:1"
    assert "Link" not in made.headers
    found = await api("GET", made.headers["Location"])
    assert found.doc == room(heat={"type": "Property", "value": 1})


@pytest.mark.clause("6.4.3.1")
@pytest.mark.parametrize(
    "entity_id", ["urn:x:é", "https://ex.org/a/b?c=d#e", "urn:x:%2F", "urn:x:%", "urn:x:a+b"]
)
async def test_a_location_leads_to_ids_of_any_characters(api: Api, entity_id: str) -> None:
    made = await api("POST", "entities", room(entity_id))
    found = await api("GET", made.headers["Location"])
    assert (found.status, found.doc["id"]) == (200, entity_id)
    assert (await api("DELETE", "entities/" + quote(entity_id, safe=""))).status == 204
    assert (await api("GET", made.headers["Location"])).is_problem(404, "ResourceNotFound")


@pytest.mark.clause("5.6.1")
async def test_an_entity_is_created_once(api: Api) -> None:
    await api.make(room(heat=1))
    again = await api("POST", "entities", room(heat=2))
    assert again.is_problem(409, "AlreadyExists")
    assert (await api.entity())["heat"] == 1


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"id": "x", "type": "T"},
        {"id": "urn:x:1"},
        {"id": NULL, "type": "T"},
        room(heat=None),
        room(heat=NULL),
        room(heat={"type": "Relationship", "object": "x"}),
        room(location=5),
        room(scope="/-"),
        room(**{"a-b": 1}),
    ],
    ids=str,
)
async def test_a_wrong_entity_is_not_created(kept: Kept, wrong: dict[str, Json]) -> None:
    assert (await kept("POST", "entities", wrong)).is_problem(400, "BadRequestData")
    assert await kept.is_unchanged()


@pytest.mark.clause("4.5.1")
async def test_every_kind_of_attribute_comes_back(api: Api) -> None:
    attrs = {f"a{n}": raw for n, raw in enumerate(KINDS)}
    await api.make(room(**attrs))
    assert await api.get("entities/urn:x:1") == room(**attrs)
    assert await api.get("entities?type=T") == [room(**attrs)]


VALUES: list[Json] = [
    "<>\"'=;()", "\x00", {"$set": {"a.b": [1, 1.0, 2**64 - 1]}, "": None, "\x00": "%00"},
    {"$ref": 1, "$id": 2}, -0.0, [[]], {"@id": "x", "@type": "y"},
]  # fmt: skip


@pytest.mark.clause("4.6.4")
async def test_a_value_comes_back_exactly(api: Api) -> None:
    await api.make(room(heat=0))
    for value in VALUES:
        for sent in (value, [value], {"in": value}):
            assert (await api("PATCH", "entities/urn:x:1/attrs/heat", {"value": sent})).status == 204
            assert repr((await api.entity())["heat"]) == repr(sent)


@pytest.mark.clause("6.3.7")
@pytest.mark.parametrize("query", ["options=concise", "format=concise", "options=simplified&format=concise"])
async def test_concise(api: Api, query: str) -> None:
    await api.make(room(heat={"value": 1, "unitCode": "CEL"}, location=POINT))
    assert await api.get(f"entities/urn:x:1?{query}") == room(
        heat={"value": 1, "unitCode": "CEL"}, location=POINT
    )


@pytest.mark.clause("6.3.7")
@pytest.mark.parametrize("query", ["options=keyValues", "options=simplified", "format=keyValues"])
async def test_simplified(api: Api, query: str) -> None:
    await api.make(room(heat={"value": 1, "unitCode": "CEL"}))
    assert await api.get(f"entities/urn:x:1?{query}") == room(heat=1)


@pytest.mark.clause("6.3.11")
async def test_system_attributes_when_asked_for(api: Api) -> None:
    await api.make(room(heat=1))
    shown = await api.entity(options="sysAttrs")
    assert shown["createdAt"] == shown["heat"]["createdAt"] == shown["heat"]["modifiedAt"]
    assert shown["createdAt"].endswith("Z")
    assert "createdAt" not in str(await api.entity())


@pytest.mark.clause("5.7.1")
async def test_only_the_attributes_asked_for(api: Api) -> None:
    await api.make(room(heat=1, cold=2))
    assert await api.get("entities/urn:x:1?attrs=cold,absent&options=keyValues") == room(cold=2)
    assert (await api("GET", "entities/urn:x:1?attrs=absent")).is_problem(404, "ResourceNotFound")
    assert (await api("GET", "entities/urn:x:1?attrs=a-b")).is_problem(400, "BadRequestData")


@pytest.mark.clause("4.17")
@pytest.mark.parametrize(
    ("types", "status"), [("T", 200), ("U", 404), ("U,T", 200), ("(T;U)", 404), ("T,,", 400)]
)
async def test_the_type_gates_a_retrieval(api: Api, types: str, status: int) -> None:
    await api.make(room())
    assert (await api("GET", f"entities/urn:x:1?type={types}")).status == status


@pytest.mark.clause("5.6.6")
async def test_an_entity_is_deleted(api: Api) -> None:
    await api.make(room(), room("urn:x:2"))
    assert (await api("DELETE", "entities/urn:x:1?type=U")).is_problem(404, "ResourceNotFound")
    gone = await api("DELETE", "entities/urn:x:1")
    assert (gone.status, gone.body) == (204, b"")
    for method in ("GET", "DELETE"):
        assert (await api(method, "entities/urn:x:1")).is_problem(404, "ResourceNotFound")
    assert [one["id"] for one in await api.get("entities?type=T")] == ["urn:x:2"]


@pytest.mark.clause("5.6.6")
async def test_what_is_created_again_is_new(api: Api) -> None:
    await api.make(room(heat=1, scope="/a"))
    first = await api.entity(options="sysAttrs")
    await api("DELETE", "entities/urn:x:1")
    await api.make(room(cold=1))
    second = await api.entity(options="sysAttrs")
    assert second["createdAt"] > first["createdAt"]
    assert not second.keys() & {"heat", "scope"}


async def test_writes_in_a_row_read_what_was_written(api: Api) -> None:
    await api.make(room(count=0))
    answers = await asyncio.gather(*(api("PATCH", "entities/urn:x:1/attrs", {f"n{n}": n}) for n in range(30)))
    assert {one.status for one in answers} == {204}
    assert await api.entity() == room(count=0, **{f"n{n}": n for n in range(30)})


QUERIES = {
    "type=T": "123",
    "type=U": "4",
    "type=*": "1234",
    "type=T,U": "1234",
    "local=true": "1234",
    "type=T&id=urn:x:2,urn:x:4": "2",
    "type=T&idPattern=[13]$": "13",
    "attrs=cold": "24",
    "q=heat>1": "23",
    "q=heat==1|cold": "124",
    "type=T&q=!cold": "13",
    "type=Nothing": "",
    "q=heat%3E=2;heat%3C3": "2",
}


@pytest.mark.clause("5.7.2")
async def test_queries(api: Api) -> None:
    await api.make(room("urn:x:1", heat=1), room("urn:x:2", heat=2, cold=True), room("urn:x:3", heat=3))
    await api.make({"id": "urn:x:4", "type": "U", "cold": False})
    for query, ids in QUERIES.items():
        found = await api("GET", f"entities?{query}&count=true")
        assert [one["id"] for one in found.doc] == [f"urn:x:{n}" for n in ids], query
        assert found.headers["NGSILD-Results-Count"] == str(len(ids))


@pytest.mark.clause("5.7.2")
@pytest.mark.parametrize(
    "query",
    [
        "",
        "id=urn:x:1",
        "idPattern=x",
        "attrs=createdAt",
        "type=",
        "type=T&id=x",
        "q=heat>",
        "type=T&idPattern=(",
        "q=",
        "type=T&limit=0",
        "type=T&limit=-1",
        "type=T&limit=x",
        "type=T&offset=-1",
        "type=T&count=yes",
        "type=T&limit=1.0",
        "type=T&limit=%D9%A1",
        "type=T&attrs=",
        "local=yes&type=T",
    ],
)
async def test_queries_that_are_wrong(kept: Kept, query: str) -> None:
    found = await kept("GET", f"entities?{query}")
    assert found.is_problem(400, "BadRequestData")
    assert b"urn:x:1" not in found.body


@pytest.mark.clause("6.3.10")
async def test_pages_lead_to_each_other(api: Api) -> None:
    await api.make(*(room(f"urn:x:{n}", heat=n) for n in range(5)))
    seen: list[str] = []
    uri = "entities?type=T&limit=2&q=heat%3E=0"
    while uri:
        page = await api("GET", uri)
        seen += [one["id"] for one in page.doc]
        assert ('rel="prev"' in page.headers["Link"]) is (len(seen) > 2)
        assert "NGSILD-Results-Count" not in page.headers
        links = page.headers["Link"].split(", ")
        uri = next((one.partition(">")[0][1:] for one in links if 'rel="next"' in one), "")
    assert seen == [f"urn:x:{n}" for n in range(5)]


@pytest.mark.clause("6.3.13")
async def test_a_count_alone(api: Api) -> None:
    await api.make(room(), room("urn:x:2"))
    found = await api("GET", "entities?type=T&limit=0&count=true")
    assert (found.doc, found.headers["NGSILD-Results-Count"]) == ([], "2")
    assert "next" not in found.headers["Link"]


@pytest.mark.clause("5.5.7")
async def test_each_request_has_names_of_its_own(api: Api) -> None:
    doc: dict[str, Any] = {
        **room(heat={"type": "VocabProperty", "vocab": "heat"}),
        "@context": [CORE_URL, EX],
    }
    made = await api("POST", "entities", doc, media=LD_JSON)
    assert made.status == 201
    plain = await api.get("entities/urn:x:1")
    assert plain == {
        "id": "urn:x:1",
        "type": "https://ex.org/T",
        "https://ex.org/heat": {"type": "VocabProperty", "vocab": "https://ex.org/heat"},
    }
    assert await api.get("entities?type=T") == []
    assert len(await api.get("entities?type=https://ex.org/T")) == 1
    assert len(await api.get("entities?q=<https://ex.org/heat>")) == 1


@pytest.mark.clause("6.3.5")
async def test_json_ld_holds_its_context_and_json_links_to_it(api: Api) -> None:
    await api.make(room())
    ld = await api("GET", "entities/urn:x:1", headers={"Accept": LD_JSON, **linked(CORE_URL)})
    assert ld.headers["Content-Type"] == LD_JSON
    assert ld.doc["@context"].startswith("https://uri.etsi.org/ngsi-ld/v1/")
    assert "Link" not in ld.headers
    plain = await api("GET", "entities/urn:x:1")
    assert "@context" not in plain.doc
    assert 'rel="http://www.w3.org/ns/json-ld#context"' in plain.headers["Link"]


@pytest.mark.clause("5.6.21")
async def test_a_purge_goes_through_all_pages(api: Api) -> None:
    for start in (0, 600):
        many = [{"id": f"urn:x:{n}", "type": "T", "a": 1, "b": 2} for n in range(start, start + 600)]
        assert (await api("POST", "entityOperations/create", many)).status == 201
    assert (await api("DELETE", "entities?type=T&drop=a")).status == 204
    answer = await api("GET", "entities?type=T&q=a&count=true&limit=0")
    assert answer.headers["NGSILD-Results-Count"] == "0"
    assert (await api("DELETE", "entities?type=T")).status == 204
    assert (await api("GET", "entities?type=T")).doc == []


@pytest.mark.clause("5.6.17")
async def test_a_merge_says_which_parameter_is_wrong(kept: Kept) -> None:
    for parameter in ("lang=!!", "lang=", "observedAt=now", "format=x"):
        answer = await kept("PATCH", f"entities/urn:x:1?{parameter}", {"heat": 2})
        assert answer.status == 400
        assert answer.doc["detail"].startswith(parameter.partition("=")[0] + ":")
    assert await kept.is_unchanged()
