"""Parameters as clients in the field send them, and what is said of those that are none (6.3.20)."""

import gzip
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest

from broker.core import Json
from tests.api.conftest import LD_JSON, Answer, Api, Kept, room
from tests.conftest import free_port, running

WINDOW = "timerel=between&timeAt=2026-07-02T00:00:00Z&endTimeAt="
BACKWARDS, FORWARDS = WINDOW + "2026-07-01T00:00:00Z", WINDOW + "2026-07-03T00:00:00Z"
COUNT = "NGSILD-Results-Count"


async def ids(api: Api, query: str) -> list[str]:
    """The ids of the entities that a query finds."""
    return [one["id"] for one in await api.get(f"entities?{query}")]


@pytest.mark.clause("4.19")
async def test_a_plus_in_a_scope_query_is_a_level(api: Api) -> None:
    await api.make(room("urn:x:1", scope="/A/B/C"), room("urn:x:2", scope="/A/C"), room("urn:x:3"))
    for scope in ("/A/+/C", "%2FA%2F%2B%2FC", "/+/B/C", "/A/+/C/%23"):
        assert await ids(api, f"type=T&scopeQ={scope}") == ["urn:x:1"], scope
    assert await ids(api, "type=T&scopeQ=/A/C,%20/A/B/C") == ["urn:x:1", "urn:x:2"]
    counted = await api("GET", "entities?scopeQ=/A/+/C/%23&type=T&limit=1&idPattern=.+&count=true")
    assert counted.headers[COUNT] == "1"


@pytest.mark.clause("4.19")
async def test_a_plus_survives_the_links_to_pages(api: Api) -> None:
    await api.make(room("urn:x:1", scope="/A/B/C"), room("urn:x:2", scope="/A/C/C"))
    answer = await api("GET", "entities?type=T&scopeQ=/A/+/C&limit=1")
    assert "scopeQ=/A/%2B/C" in answer.headers["Link"]


@pytest.mark.clause("6.3.7")
async def test_a_plus_in_a_pattern_of_ids_repeats(api: Api) -> None:
    await api.make(room("urn:x:11"), room("urn:x:2"))
    assert await ids(api, "type=T&idPattern=^urn:x:1+$") == ["urn:x:11"]
    assert await ids(api, "idPattern=^urn:x:[0-9]+$&type=T") == ["urn:x:11", "urn:x:2"]


@pytest.mark.clause("4.9")
async def test_a_plus_in_q_is_a_space(api: Api) -> None:
    await api.make(room("urn:x:1", name="a b"), room("urn:x:2", name="a+b"))
    assert await ids(api, "type=T&q=name==%22a+b%22") == ["urn:x:1"]
    assert await ids(api, "type=T&q=name==%22a%2Bb%22&scopeQ=/x/+") == []
    assert await ids(api, "type=T&q=name==%22a%2Bb%22") == ["urn:x:2"]


LISTS: list[tuple[str, str, Json]] = [
    ("GET", "entities?type=T", None),
    ("POST", "entityOperations/query?limit=20", {"type": "Query", "entities": [{"type": "T"}]}),
    (
        "GET",
        "temporal/entities?type=T&timerel=after&timeAt=2020-01-01T00:00:00Z&timeproperty=modifiedAt",
        None,
    ),
    (
        "POST",
        "temporal/entityOperations/query?limit=20",
        {
            "type": "Query",
            "entities": [{"type": "T"}],
            "temporalQ": {
                "timerel": "after",
                "timeAt": "2020-01-01T00:00:00Z",
                "timeproperty": "modifiedAt",
            },
        },
    ),
    ("GET", "subscriptions?limit=20", None),
]


@pytest.mark.clause("6.3.13")
@pytest.mark.parametrize(("method", "path", "doc"), LISTS)
async def test_options_count_is_count(api: Api, method: str, path: str, doc: Json) -> None:
    await api.make(room("urn:x:1", heat=1), room("urn:x:2", heat=2))
    for _ in range(2):
        endpoint = {"uri": "http://127.0.0.1:1/"}
        body = {"type": "Subscription", "entities": [{"type": "Z"}], "notification": {"endpoint": endpoint}}
        assert (await api("POST", "subscriptions", body)).status == 201
    plain = await api(method, path, doc)
    assert COUNT not in plain.headers
    for options in ("count", "sysAttrs,count", "count,%20sysAttrs"):
        answer = await api(method, f"{path}&options={options}", doc)
        assert (answer.status, answer.headers.get(COUNT), len(answer.doc)) == (200, "2", 2), options
        assert ("createdAt" in answer.doc[0]) is ("sysAttrs" in options)
    first = await api(method, path.replace("limit=20", "local=true") + "&limit=1&options=count", doc)
    assert "count=true" in first.headers["Link"]
    assert "options" not in first.headers["Link"]
    assert (await api(method, f"{path}&options=count&count=false", doc)).headers.get(COUNT) is None


@pytest.mark.clause("6.3.20")
@pytest.mark.parametrize(
    "path", ["entities/urn:x:1", "temporal/entities/urn:x:1", "subscriptions/urn:s:1", "types"]
)
async def test_what_has_no_count_refuses_it(kept: Kept, path: str) -> None:
    assert (await kept("GET", f"{path}?options=count")).is_problem(400, "InvalidRequest")
    assert (await kept("PATCH", "entities/urn:x:1?options=count", {"heat": 2})).is_problem(
        400, "InvalidRequest"
    )
    assert await kept.is_unchanged()


@pytest.mark.clause("5.6.9")
async def test_a_batch_update_may_be_called_one(api: Api) -> None:
    await api.make(room(heat=1))
    batch: Json = [room(heat=2)]
    assert (await api("POST", "entityOperations/update?options=update", batch)).status == 204
    assert (await api.entity())["heat"] == 2
    for options in ("update,noOverwrite", "replace"):
        answer = await api("POST", f"entityOperations/update?options={options}", [room(heat=3)])
        assert answer.is_problem(400, "InvalidRequest")
    assert (await api.entity())["heat"] == 2


@pytest.fixture(scope="module")
async def narrow(mongo_uri: str) -> AsyncIterator[str]:
    """A broker whose greatest page is less than its usual one."""
    port = free_port()
    async with running(port, mongo_uri=mongo_uri, database="narrow", max_limit=2):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.clause("6.3.10")
async def test_the_usual_page_is_never_above_the_greatest(
    narrow: str, http: Any, tenant: dict[str, str]
) -> None:
    api = Api(http, narrow, tenant)
    await api.make(*(room(f"urn:x:{n}", heat=n) for n in range(3)))
    assert len(await api.get("entities?type=T")) == 2
    assert await api.get("subscriptions") == []
    found = await api.get(
        "temporal/entities?type=T&timerel=after&timeAt=2020-01-01T00:00:00Z&timeproperty=createdAt"
    )
    assert len(found) == 2
    assert (await api("GET", "entities?type=T&limit=3")).is_problem(403, "TooManyResults")


@pytest.mark.clause("6.3.20")
@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("entities?type=T&q=name=='x'", "double quotes"),
        ("entities?type=T&format=geojson", "Accept: application/geo+json"),
        ("entities/urn:x:1?format=GeoJSON", "Accept: application/geo+json"),
        (
            f"temporal/entities?type=T&{FORWARDS}&aggrMethods=avg",
            "aggrMethods: expected only with format=aggr",
        ),
        (
            f"temporal/entities/urn:x:1?{FORWARDS}&aggrPeriodDuration=PT1H",
            "aggrPeriodDuration: expected only",
        ),
    ],
)
async def test_hints(kept: Kept, path: str, hint: str) -> None:
    answer = await kept("GET", path)
    assert answer.status == 400
    assert hint in answer.doc["detail"]


@pytest.mark.clause("6.3.12")
async def test_methods_may_stay_where_format_wins_over_options(kept: Kept) -> None:
    query = f"{FORWARDS}&options=aggregatedValues&format=temporalValues&aggrMethods=sum"
    assert (await kept("GET", f"temporal/entities?type=T&{query}")).status == 200


@pytest.mark.clause("4.11")
async def test_a_window_that_ends_before_it_begins_is_told_of(kept: Kept) -> None:
    def is_told(text: str) -> bool:
        return "endTimeAt: expected a time after timeAt" in text

    for wrong in (BACKWARDS, WINDOW + "2026-07-02T00:00:00Z"):
        missing = await kept("GET", f"temporal/entities/urn:x:1?{wrong}")
        assert missing.is_problem(404, "ResourceNotFound")
        assert is_told(missing.doc["detail"])
        empty = await kept("GET", f"temporal/entities?type=T&{wrong}")
        assert (empty.status, empty.doc) == (200, [])
        assert is_told(empty.headers["NGSILD-Warning"])
        assert empty.headers["NGSILD-Warning"].startswith('199 eridanus "')
    missing = await kept("GET", f"temporal/entities/urn:x:1?{FORWARDS}")
    assert missing.is_problem(404, "ResourceNotFound")
    assert not is_told(missing.doc["detail"])
    assert "NGSILD-Warning" not in (await kept("GET", f"temporal/entities?type=T&{FORWARDS}")).headers


JSONS, PATCHES = "application/json, application/ld+json", "application/merge-patch+json"


@pytest.mark.clause("6.3.4")
@pytest.mark.parametrize(
    ("method", "path", "header", "value"),
    [
        ("POST", "entities", "Accept-Post", JSONS),
        ("POST", "entityOperations/query", "Accept-Post", JSONS),
        ("POST", "jsonldContexts", "Accept-Post", JSONS),
        ("PATCH", "entities/urn:x:1", "Accept-Patch", f"{JSONS}, {PATCHES}"),
        ("PATCH", "subscriptions/urn:s:1", "Accept-Patch", f"{JSONS}, {PATCHES}"),
        ("PUT", "entities/urn:x:1", "Accept", JSONS),
    ],
)
@pytest.mark.parametrize("media", [None, "text/plain"])
async def test_a_refused_body_is_told_what_is_taken(
    kept: Kept, method: str, path: str, header: str, value: str, media: str | None
) -> None:
    answer = await kept(method, path, {"heat": 2}, media=media)
    assert (answer.status, answer.body, answer.headers[header]) == (415, b"", value)
    assert len(answer.headers.keys() & {"Accept", "Accept-Post", "Accept-Patch"}) == 1
    assert await kept.is_unchanged()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("entities", {"Accept-Post": JSONS}),
        ("entities/urn:x:1", {"Accept-Patch": f"{JSONS}, {PATCHES}"}),
        ("entities/urn:x:1/attrs", {"Accept-Post": JSONS, "Accept-Patch": f"{JSONS}, {PATCHES}"}),
        ("types", {}),
        ("/eridanus/v1/subscriptions/urn:s:1/deliveries/replay", {}),
    ],
)
async def test_options_tells_what_is_taken(kept: Kept, path: str, said: dict[str, str]) -> None:
    answer = await kept("OPTIONS", path)
    assert (answer.status, answer.body) == (204, b"")
    found = {name: answer.headers[name] for name in ("Accept-Post", "Accept-Patch") if name in answer.headers}
    assert found == said


async def packed(api: Api, path: str, doc: Json) -> Answer:
    """The answer to a gzipped body."""
    body = gzip.compress(orjson.dumps(doc))
    return await api("POST", path, data=body, headers={"Content-Encoding": "gzip"})


@pytest.mark.clause("5.2.23")
@pytest.mark.parametrize("q", ['heat=="' + "x" * 6_000_000 + '"', "heat" + ".b" * 3_000_000, "9" * 6_000_000])
async def test_a_query_is_measured_unpacked(kept: Kept, q: str) -> None:
    query = {"type": "Query", "entities": [{"type": "T"}]}
    for path in ("entityOperations/query", "temporal/entityOperations/query"):
        assert (await packed(kept, path, {**query, "q": q})).is_problem(413, "BadRequestData")
    found = await packed(kept, "entityOperations/query", {**query, "q": "heat==1"})
    assert [one["id"] for one in found.doc] == ["urn:x:1"]


@pytest.mark.clause("4.9")
@pytest.mark.parametrize(
    "name", ["<urn:a\0b>", "a.<urn:x\0>", "a.<urn:x\0>.b", "http://a\0b/c", "<urn:a|b>", "<urn:\u200b>"]
)
async def test_what_is_no_iri_is_refused_as_a_name(kept: Kept, name: str) -> None:
    temporal = "temporal/entities?timerel=after&timeAt=2020-01-01T00:00:00Z&"
    for path in ("entities?q=", f"{temporal}q=", "entities?type=T&orderBy=", "entities?type=T&csf="):
        assert (await kept("GET", path + quote(name))).is_problem(400, "BadRequestData"), path
    linked = f"entities?type=T&join=flat&joinLevel=1&q={quote('a{' + name + '}')}"
    assert (await kept("GET", linked)).is_problem(400, "BadRequestData")


@pytest.mark.clause("4.23")
@pytest.mark.parametrize("origin", ["[NaN,1]", "[1,2,NaN]", "[" * 300 + "]" * 300, "[" * 2000, "[1,2,1e999]"])
async def test_an_origin_that_is_none(kept: Kept, origin: str) -> None:
    params = urlencode({"type": "T", "orderBy": "location;dist-asc", "orderFrom": origin})
    answer = await kept("GET", f"entities?{params}")
    assert answer.is_problem(400, "BadRequestData")
    assert answer.doc["detail"].startswith("orderFrom")


@pytest.mark.clause("5.5.7")
async def test_a_context_may_name_what_nothing_else_can(api: Api) -> None:
    """An @context with odd names, or that gives odd IRIs, is no fault of ours wherever it is used."""
    for n, context in enumerate([{"a\0": "urn:x"}, {"heat": "urn:x\0"}, {"$a": "urn:x", "b.c": "urn:y"}]):
        sent: dict[str, Json] = {"@context": context}
        made = await api("POST", "entities", sent | room(f"urn:x:{n}", heat=1), media=LD_JSON)
        assert made.status in (201, 400)
        endpoint = {"uri": "http://127.0.0.1:1/"}
        body = {"type": "Subscription", "entities": [{"type": "Z"}], "notification": {"endpoint": endpoint}}
        made = await api("POST", "subscriptions", sent | body | {"q": "heat==1"}, media=LD_JSON)
        assert made.status in (201, 400)
        asked = await api(
            "POST", "entityOperations/query", sent | {"type": "Query", "q": "heat==1"}, media=LD_JSON
        )
        assert asked.status in (200, 400, 404)


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 1e30])
async def test_numbers_of_subscriptions_may_be_large(api: Api, number: float) -> None:
    endpoint = {"uri": "http://127.0.0.1:1/", "cooldown": number}
    place = {"georel": "within", "geometry": "Point", "coordinates": [1, 2, number]}
    body = {"id": "urn:s:1", "type": "Subscription", "entities": [{"type": "T"}],
            "geoQ": place, "notification": {"endpoint": endpoint}}  # fmt: skip
    made = await api("POST", "subscriptions", body)
    assert made.status == 201
    shown = await api.get("subscriptions/urn:s:1")
    assert shown["geoQ"]["coordinates"] == [1, 2, float(number)]
    assert shown["notification"]["endpoint"]["cooldown"] == float(number)


@pytest.mark.clause("4.6.2")
async def test_a_name_that_no_key_has_room_for(api: Api) -> None:
    answer = await api("POST", "entities", room(**{"x" * 9_000_000: 1}))
    assert answer.is_problem(400, "BadRequestData")
    assert (await api("GET", "entities/urn:x:1")).status == 404
