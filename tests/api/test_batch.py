"""/entityOperations over HTTP (6.14, 6.15, 6.17)."""

from typing import Any

import pytest

from broker.api.batch import _item
from broker.core import Json
from broker.core.errors import BadRequestData, InvalidRequest
from broker.core.jsonld.context import Context
from tests.api.conftest import ERRORS, LD_JSON, Answer, Api, Kept, linked, room
from tests.core.documents import CORE

OPS = "entityOperations/"


async def stored(api: Api) -> dict[str, Any]:
    """All entities in simplified form, by id."""
    return {one["id"]: one for one in await api.get("entities?local=true&options=simplified")}


def errors(answer: Answer) -> list[tuple[str, str]]:
    """The (entity id, type of error) pairs of a partial success."""
    assert (answer.status, answer.headers["Content-Type"]) == (207, "application/json")
    assert "Link" not in answer.headers
    assert answer.doc.keys() == {"success", "errors"}
    return [(one["entityId"], one["error"]["type"].removeprefix(ERRORS)) for one in answer.doc["errors"]]


@pytest.mark.clause("5.6.7")
async def test_create(api: Api) -> None:
    rooms = [room(f"urn:x:{n}", heat=n) for n in range(3)]
    answer = await api("POST", OPS + "create", rooms)
    assert (answer.status, answer.doc) == (201, [one["id"] for one in rooms])
    assert answer.headers["Content-Type"] == "application/json"
    assert "Link" not in answer.headers
    assert list((await stored(api)).values()) == rooms


@pytest.mark.clause("5.6.7")
async def test_every_item_has_an_outcome_of_its_own(api: Api) -> None:
    await api.make(room("urn:x:0", heat=0))
    items: list[Json] = [
        room("urn:x:0", heat=9), room("urn:x:1", heat=1), room("urn:x:1", heat=9), room("x"),
        {"id": "urn:x:2"},
        5, room("urn:x:3", **{"a-b": 1}),
    ]  # fmt: skip
    answer = await api("POST", OPS + "create", items)
    assert answer.doc["success"] == ["urn:x:1"]
    assert errors(answer) == [
        ("urn:x:0", "AlreadyExists"),
        ("urn:x:1", "AlreadyExists"),
        ("x", "BadRequestData"),
        ("urn:x:2", "BadRequestData"),
        ("", "BadRequestData"),
        ("urn:x:3", "BadRequestData"),
    ]
    assert await stored(api) == {"urn:x:0": room("urn:x:0", heat=0), "urn:x:1": room("urn:x:1", heat=1)}


@pytest.mark.clause("6.14.3.1")
async def test_nothing_succeeded_is_partial_success(api: Api) -> None:
    answer = await api("POST", OPS + "create", [room("x")])
    assert errors(answer) == [("x", "BadRequestData")]
    assert answer.doc["success"] == []


@pytest.mark.clause("5.6.8")
@pytest.mark.parametrize(
    ("query", "first"),
    [("", {"heat": 2}), ("?options=replace", {"heat": 2}), ("?options=update", {"heat": 2, "cold": 1})],
)
async def test_upsert_tells_which_were_created(api: Api, query: str, first: dict[str, Json]) -> None:
    await api.make(room(heat=1, cold=1))
    answer = await api("POST", f"{OPS}upsert{query}", [room(heat=2), room("urn:x:2", heat=3)])
    assert (answer.status, answer.doc) == (201, ["urn:x:2"])
    assert await stored(api) == {"urn:x:1": room(**first), "urn:x:2": room("urn:x:2", heat=3)}
    again = await api("POST", f"{OPS}upsert{query}", [room(heat=4)])
    assert (again.status, again.body) == (204, b"")


@pytest.mark.clause("5.5.11")
async def test_one_entity_twice_is_written_in_order(api: Api) -> None:
    answer = await api("POST", OPS + "upsert?options=update", [room(heat=1, a=1), room(heat=2), room(b=1)])
    assert (answer.status, answer.doc) == (201, ["urn:x:1"])
    assert await api.entity() == room(heat=2, a=1, b=1)
    gone = await api("POST", OPS + "delete", ["urn:x:1", "urn:x:1"])
    assert errors(gone) == [("urn:x:1", "ResourceNotFound")]
    assert gone.doc["success"] == ["urn:x:1"]


@pytest.mark.clause("5.6.10")
async def test_delete(api: Api) -> None:
    await api.make(room("urn:x:1"), room("urn:x:2"), room("urn:x:3"))
    gone = await api("POST", OPS + "delete", ["urn:x:1", "urn:x:2"])
    assert (gone.status, gone.body) == (204, b"")
    mixed = await api("POST", OPS + "delete", ["urn:x:2", "x", 5, "urn:x:3"])
    assert errors(mixed) == [
        ("urn:x:2", "ResourceNotFound"),
        ("x", "BadRequestData"),
        ("5", "BadRequestData"),
    ]
    assert mixed.doc["success"] == ["urn:x:3"]
    assert await stored(api) == {}


@pytest.mark.clause("5.6.7")
@pytest.mark.parametrize("operation", ["create", "upsert", "delete"])
@pytest.mark.parametrize("body", [[], {}, 5, "x", None, [None], [None, "urn:x:9"]], ids=str)
async def test_bodies_that_are_wrong_as_a_whole(kept: Kept, operation: str, body: Json) -> None:
    answer = await kept("POST", OPS + operation, data=b"null" if body is None else None, doc=body)
    assert answer.is_problem(400, "BadRequestData")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.15.3.1")
async def test_replace_and_update_exclude_each_other(api: Api) -> None:
    answer = await api("POST", OPS + "upsert?options=replace,update", [room()])
    assert answer.is_problem(400, "InvalidRequest")
    assert (await api("POST", OPS + "create?options=update", [room()])).is_problem(400, "InvalidRequest")
    assert (await api("GET", "entities?local=true")).is_problem(404, "NonexistentTenant")


@pytest.mark.clause("6.3.5")
async def test_each_item_of_json_ld_has_a_context_of_its_own(api: Api) -> None:
    away = "http://127.0.0.1:1/context"
    items = [
        {**room("urn:x:1", heat=1), "@context": {"heat": "https://ex.org/heat"}},
        {**room("urn:x:2", heat=1), "@context": []},
        room("urn:x:3", heat=1),
        {**room("urn:x:4", heat=1), "@context": away},
    ]
    answer = await api("POST", OPS + "create", items, media=LD_JSON)
    assert answer.doc["success"] == ["urn:x:1", "urn:x:2"]
    assert errors(answer) == [("urn:x:3", "BadRequestData"), ("urn:x:4", "LdContextNotAvailable")]
    assert answer.doc["errors"][1]["error"]["status"] == 504
    assert [sorted(one) for one in (await stored(api)).values()] == [
        ["https://ex.org/heat", "id", "type"],
        ["heat", "id", "type"],
    ]


@pytest.mark.clause("6.3.5")
async def test_contexts_in_the_wrong_place(api: Api) -> None:
    with_context = [{**room("urn:x:9"), "@context": []}, room("urn:x:1")]
    url = "http://127.0.0.1:1/context"
    both = await api("POST", OPS + "create", with_context, media=LD_JSON, headers=linked(url))
    assert both.is_problem(400, "BadRequestData")
    away = await api("POST", OPS + "create", [room()], headers=linked(url))
    assert away.is_problem(504, "LdContextNotAvailable")
    assert (await api("GET", "entities?local=true")).is_problem(404, "NonexistentTenant")
    assert errors(await api("POST", OPS + "create", with_context)) == [("urn:x:9", "BadRequestData")]
    assert (await stored(api)).keys() == {"urn:x:1"}


@pytest.mark.clause("5.6.7")
async def test_a_thousand_at_once(api: Api) -> None:
    items = [room(f"urn:x:{n:04}", heat=n) for n in range(1000)]
    assert (await api("POST", OPS + "create", items)).status == 201
    counted = await api("GET", "entities?type=T&limit=1&count=true")
    assert counted.headers["NGSILD-Results-Count"] == "1000"
    assert (await api("POST", OPS + "delete", [one["id"] for one in items])).status == 204
    assert await stored(api) == {}


@pytest.mark.parametrize(
    ("raised", "kept"),
    [
        (BadRequestData("no"), BadRequestData),
        (RecursionError("a fault of ours"), RecursionError),
        (UnicodeEncodeError("utf-8", "x", 0, 1, "surrogates"), InvalidRequest),
    ],
)
def test_whatever_is_wrong_with_an_item_is_its_own(raised: Exception, kept: type[Exception]) -> None:
    def read(doc: Json, context: Context) -> Any:
        raise raised

    item = _item(room("urn:x:1"), CORE, read, CORE)
    assert item.entity_id == "urn:x:1"
    assert type(item.rule) is kept
