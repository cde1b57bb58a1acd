"""PATCH /entities/{entityId} and POST /entityOperations/merge (6.5.3.4, 6.31)."""

from typing import Any

import pytest

from broker.core import Json
from tests.api.conftest import Api, room
from tests.core.documents import NULL, POINT

T0, T1 = "2026-07-01T12:00:00Z", "2026-07-02T12:00:00Z"
STANDING: dict[str, Json] = {
    "t": {"value": 21.5, "unitCode": "CEL", "observedAt": T0, "acc": {"value": 1, "unitCode": "P1"}},
    "r": {"object": "urn:x:9", "observedAt": T0},
    "loc": POINT,
    "words": {"languageMap": {"en": "heat", "fr": "chaleur"}},
    "many": [{"value": 1, "unitCode": "CEL"}, {"value": 2, "datasetId": "urn:d:1"}],
    "tags": ["x", "y"],
    "obj": {"value": {"a": 1}},
}
FRAGMENTS: list[tuple[dict[str, Json], dict[str, Json]]] = [
    ({"t": {"observedAt": T1}}, {"t": {**STANDING["t"], "observedAt": T1}}),
    ({"t": {"observedAt": NULL, "acc": NULL}}, {"t": {"value": 21.5, "unitCode": "CEL"}}),
    ({"t": {"value": 2, "acc": {"unitCode": "P2"}}},
     {"t": {**STANDING["t"], "value": 2, "acc": {"value": 1, "unitCode": "P2"}}}),
    ({"r": {"observedAt": T1}}, {"r": {"object": "urn:x:9", "observedAt": T1}}),
    ({"r": "urn:x:2"}, {"r": {"object": "urn:x:2", "observedAt": T0}}),
    ({"loc": {"value": {"coordinates": [5, 6]}}}, {"loc": {"type": "Point", "coordinates": [5, 6]}}),
    ({"many": {"unitCode": "FAR", "datasetId": "urn:d:1"}},
     {"many": [STANDING["many"][0], {"value": 2, "unitCode": "FAR", "datasetId": "urn:d:1"}]}),
    ({"obj": {"b": 2}}, {"obj": {"value": {"a": 1, "b": 2}}}),
    ({"tags": ["z"], "words": NULL}, {"tags": ["z"], "words": None}),
]  # fmt: skip
WRONG: list[dict[str, Json]] = [
    {"t": {"observedAt": "banana"}},
    {"loc": {"value": {"type": "Polygon"}}},
    {"t": 5, "new": {"unitCode": "CEL"}},
]


@pytest.mark.clause("5.6.17")
@pytest.mark.parametrize(("fragment", "after"), FRAGMENTS, ids=str)
async def test_one_and_many_are_merged_alike(
    api: Api, fragment: dict[str, Json], after: dict[str, Json]
) -> None:
    await api.make(room(**STANDING), room("urn:x:2", **STANDING))
    one = await api("PATCH", "entities/urn:x:1", fragment)
    many = await api("POST", "entityOperations/merge", [room("urn:x:2", **fragment)])
    assert (one.status, many.status) == (204, 204)
    wanted = {name: value for name, value in (STANDING | after).items() if value is not None}
    assert await api.entity(options="concise") == room(**wanted)
    assert await api.entity("urn:x:2", "concise") == room("urn:x:2", **wanted)


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize("fragment", WRONG, ids=str)
async def test_what_would_come_out_wrong_is_refused_and_changes_nothing(
    api: Api, fragment: dict[str, Json]
) -> None:
    await api.make(room(**STANDING))
    before = await api.entity(options="sysAttrs")
    assert (await api("PATCH", "entities/urn:x:1", fragment)).is_problem(400, "BadRequestData")
    many = await api("POST", "entityOperations/merge", [room(**fragment)])
    assert (many.status, many.doc["success"]) == (207, [])
    assert many.doc["errors"][0]["error"]["type"].endswith("BadRequestData")
    assert await api.entity(options="sysAttrs") == before


@pytest.mark.clause("5.6.17")
@pytest.mark.parametrize("form", ["normalized", "concise", "simplified"])
async def test_what_was_shown_can_be_sent_back(api: Api, form: str) -> None:
    typed: Any = {"@type": "DateTime", "@value": T0}
    await api.make(room(**STANDING, when=typed, null={"@type": "@json", "@value": None}))
    before = await api.entity(options="normalized")
    query = "?format=simplified" if form == "simplified" else ""
    assert (await api("PATCH", f"entities/urn:x:1{query}", await api.entity(options=form))).status == 204
    assert await api.entity(options="normalized") == before
    if not query:
        assert (await api("PUT", "entities/urn:x:1", await api.entity(options=form))).status == 204
        assert await api.entity(options="normalized") == before


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    ("method", "path", "end"),
    [
        ("POST", "entities", None),
        ("PUT", "entities/urn:x:1", None),
        ("POST", "entities/urn:x:1/attrs", None),
        ("PATCH", "entities/urn:x:1/attrs", None),
        ("PUT", "entities/urn:x:1/attrs/t", "t"),
        ("POST", "entityOperations/create", "many"),
        ("POST", "entityOperations/upsert", "many"),
        ("POST", "entityOperations/upsert?options=update", "many"),
        ("POST", "entityOperations/update", "many"),
    ],
)
async def test_members_beside_a_value_that_is_missing(
    api: Api, method: str, path: str, end: str | None
) -> None:
    await api.make(room(**STANDING))
    before = await api.entity(options="sysAttrs")
    attribute: dict[str, Json] = {"unitCode": "CEL", "observedAt": T1}
    doc: Json = {"t": attribute}
    if end == "t":
        doc = attribute
    elif "attrs" not in path:
        doc = room("urn:x:2" if path.endswith(("entities", "create")) else "urn:x:1", **doc)
    answer = await api(method, path, [doc] if end == "many" else doc)
    error = answer.doc["errors"][0]["error"] if end == "many" else answer.doc
    assert error["status"] == 400
    assert error["detail"].startswith("t.value: expected")
    assert await api.entity(options="sysAttrs") == before
