"""/entities/{entityId}/attrs over HTTP (6.6, 6.7)."""

from typing import Any

import pytest

from broker.core import Json
from tests.api.conftest import LD_JSON, Answer, Api, Kept, room
from tests.core.documents import NULL, POINT, V

ATTRS = "entities/urn:x:1/attrs"
TWO = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]


async def changed(api: Api, method: str, path: str, doc: Json = None) -> Any:
    """The entity after a write that has to succeed."""
    answer = await api(method, path, doc)
    assert (answer.status, answer.body) == (204, b"")
    return await api.entity()


async def refused(api: Api, method: str, path: str, doc: Json = None, **how: Any) -> Answer:
    """The answer to a write that has to leave the entity as it is, times included."""
    before = await api.entity(options="sysAttrs")
    answer = await api(method, path, doc, **how)
    assert await api.entity(options="sysAttrs") == before
    return answer


@pytest.mark.clause("5.6.3")
@pytest.mark.parametrize("path", [ATTRS, ATTRS + "/"])
async def test_append_overwrites_and_adds(api: Api, path: str) -> None:
    await api.make(room(heat={"value": 1, "unitCode": "CEL"}, kept=1))
    assert await changed(api, "POST", path, {"heat": 2, "cold": 3}) == room(heat=2, kept=1, cold=3)
    assert "unitCode" not in str(await api.entity(options="normalized"))


@pytest.mark.clause("5.6.3")
async def test_append_with_no_overwrite_tells_in_full_names_what_was_there(api: Api) -> None:
    await api.make(room(heat=1))
    answer = await api("POST", ATTRS + "?options=noOverwrite", {"heat": 2, "cold": 3})
    assert (answer.status, answer.headers["Content-Type"]) == (207, "application/json")
    assert "Link" not in answer.headers
    (failed,) = answer.doc["notUpdated"]
    assert (answer.doc["updated"], failed["attributeName"]) == ([V + "cold"], V + "heat")
    assert failed["reason"]
    assert await api.entity() == room(heat=1, cold=3)
    assert (await api("POST", ATTRS + "?options=noOverwrite", {"mild": 2})).status == 204


@pytest.mark.clause("5.6.2")
async def test_update_swaps_adds_and_deletes(api: Api) -> None:
    await api.make(room(heat={"value": 1, "unitCode": "CEL"}, cold=TWO, kept=1, gone=1))
    fragment = {
        "heat": {"object": "urn:x:2"},
        "gone": NULL,
        "new": 5,
        "cold": {"value": NULL, "datasetId": "urn:d:1"},
    }
    assert await changed(api, "PATCH", ATTRS, fragment) == room(heat="urn:x:2", cold=1, kept=1, new=5)
    assert (await api.entity(options="normalized"))["heat"] == {"type": "Relationship", "object": "urn:x:2"}


@pytest.mark.clause("5.6.2")
async def test_creation_survives_updates(api: Api) -> None:
    await api.make(room(heat=1))
    before = await api.entity(options="sysAttrs")
    for method, path, doc in (
        ("PATCH", ATTRS, {"heat": 2}),
        ("POST", ATTRS, {"heat": 3}),
        ("PATCH", ATTRS + "/heat", {"value": 4}),
    ):
        await changed(api, method, path, doc)
        after = await api.entity(options="sysAttrs")
        assert after["createdAt"] == after["heat"]["createdAt"] == before["createdAt"]
        assert after["modifiedAt"] == after["heat"]["modifiedAt"] > before["modifiedAt"]
        before = after


@pytest.mark.clause("5.6.4")
async def test_partial_update_keeps_what_it_does_not_name(api: Api) -> None:
    await api.make(
        room(heat={"value": 1, "unitCode": "CEL", "sub": 1, "observedAt": "2026-07-01T12:00:00.50Z"})
    )
    await changed(api, "PATCH", ATTRS + "/heat", {"value": 2, "other": 3})
    shown = await api.entity(options="concise")
    expected = {"value": 2, "unitCode": "CEL", "sub": 1, "observedAt": "2026-07-01T12:00:00.50Z", "other": 3}
    assert shown["heat"] == expected
    await changed(api, "PATCH", ATTRS + "/heat", {"unitCode": NULL, "observedAt": NULL, "sub": NULL})
    assert (await api.entity(options="concise"))["heat"] == {"value": 2, "other": 3}


@pytest.mark.clause("5.6.4")
async def test_partial_update_of_one_dataset(api: Api) -> None:
    await api.make(room(heat=TWO))
    after = await changed(api, "PATCH", ATTRS + "/heat", {"value": 9, "datasetId": "urn:d:1"})
    assert after["heat"] == {"dataset": {"@none": 1, "urn:d:1": 9}}
    missing = await refused(api, "PATCH", ATTRS + "/heat", {"value": 9, "datasetId": "urn:d:2"})
    assert missing.is_problem(404, "ResourceNotFound")


@pytest.mark.clause("5.6.4")
async def test_partial_update_with_a_null_deletes(api: Api) -> None:
    await api.make(room(heat=1, cold=1))
    assert await changed(api, "PATCH", ATTRS + "/heat", {"value": NULL}) == room(cold=1)


@pytest.mark.clause("5.6.4")
@pytest.mark.parametrize(
    "media", ["application/merge-patch+json", "application/json; charset=utf-8", "Application/JSON"]
)
async def test_media_types_of_a_patch(api: Api, media: str) -> None:
    await api.make(room(heat=1))
    assert (await api("PATCH", ATTRS + "/heat", {"value": 2}, media=media)).status == 204
    assert (await api.entity())["heat"] == 2


@pytest.mark.clause("5.6.5")
@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", {"dataset": {"urn:d:1": 2}}),
        ("?datasetId=urn:d:1", 1),
        ("?datasetId=@none", {"dataset": {"urn:d:1": 2}}),
        ("?deleteAll=true", None),
        ("?deleteAll=false", {"dataset": {"urn:d:1": 2}}),
    ],
)
async def test_delete_takes_one_instance_or_all(api: Api, query: str, left: Json) -> None:
    await api.make(room(heat=TWO, cold=1))
    after = await changed(api, "DELETE", f"{ATTRS}/heat{query}")
    assert after == (room(cold=1) if left is None else room(heat=left, cold=1))


@pytest.mark.clause("4.18")
async def test_the_scope_is_deleted_as_an_attribute_is_and_not_patched(api: Api) -> None:
    await api.make(room(scope="/a"))
    patched = await refused(api, "PATCH", ATTRS + "/scope", {"value": "/b"})
    assert patched.is_problem(400, "BadRequestData")
    assert await changed(api, "DELETE", ATTRS + "/scope") == room()
    assert (await api("DELETE", ATTRS + "/scope")).is_problem(404, "ResourceNotFound")


@pytest.mark.clause("4.16")
async def test_types_and_scopes_in_fragments(api: Api) -> None:
    await api.make(room())
    after = await changed(api, "POST", ATTRS, {"type": ["U", "T"], "scope": "/a"})
    assert (after["type"], after["scope"]) == (["T", "U"], "/a")
    after = await changed(api, "PATCH", ATTRS, {"type": "W", "scope": ["/b", "/c"]})
    assert (after["type"], after["scope"]) == (["T", "U", "W"], ["/b", "/c"])


MISSING = [
    ("POST", "entities/urn:x:2/attrs", {"heat": 1}),
    ("PATCH", "entities/urn:x:2/attrs", {"heat": 1}),
    ("PATCH", "entities/urn:x:2/attrs/heat", {"value": 1}),
    ("DELETE", "entities/urn:x:2/attrs/heat", None),
    ("PATCH", ATTRS + "/cold", {"value": 1}),
    ("DELETE", ATTRS + "/cold", None),
    ("DELETE", ATTRS + "/heat?datasetId=urn:d:9", None),
    ("DELETE", ATTRS + "/cold?deleteAll=true", None),
    ("POST", ATTRS + "?type=U", {"heat": 2}),
    ("PATCH", ATTRS + "?type=U", {"heat": 2}),
    ("PATCH", ATTRS + "/heat?type=U", {"value": 2}),
    ("DELETE", ATTRS + "/heat?type=U", None),
]


@pytest.mark.clause("5.6.4")
@pytest.mark.parametrize(("method", "path", "doc"), MISSING, ids=lambda one: str(one))
async def test_what_is_not_there_is_not_found(kept: Kept, method: str, path: str, doc: Json) -> None:
    assert (await kept(method, path, doc)).is_problem(404, "ResourceNotFound")
    assert await kept.is_unchanged()


WRONG = [
    ("POST", ATTRS, {"heat": NULL}), ("POST", ATTRS, {"a-b": 1}), ("POST", ATTRS, {"heat": None}),
    ("PATCH", ATTRS, {"heat": {"type": "Property"}}), ("PATCH", ATTRS, {"location": 5}), 
    ("PATCH", ATTRS, {"cold": 1, "heat": {"value": 1, "datasetId": NULL}}), ("PATCH", ATTRS, {"scope": "/-"}),
    ("PATCH", ATTRS + "/heat", {}), ("PATCH", ATTRS + "/heat", POINT),
    ("PATCH", ATTRS + "/heat", {"type": "Relationship", "object": "urn:x:2"}),
    ("PATCH", ATTRS + "/heat", {"type": "Nothing", "observedAt": "2026-07-01T12:00:00Z"}),
    ("PATCH", ATTRS + "/heat", {"objectType": "T"}), ("PATCH", ATTRS + "/heat", {"observedAt": "now"}),
    ("PATCH", ATTRS + "/a-b", {"value": 1}), ("PATCH", ATTRS + "/observedAt", {"value": 1}),
    ("PATCH", "entities/x/attrs/heat", {"value": 1}), ("POST", "entities/x/attrs", {"heat": 1}),
    ("DELETE", "entities/x/attrs/heat", None), ("DELETE", ATTRS + "/a-b", None),
    ("DELETE", ATTRS + "/heat?datasetId=x", None), ("DELETE", ATTRS + "/heat?deleteAll=True", None),
    ("DELETE", ATTRS + "/heat?deleteAll=", None),
]  # fmt: skip


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(("method", "path", "doc"), WRONG, ids=lambda one: str(one))
async def test_what_is_wrong_changes_nothing(kept: Kept, method: str, path: str, doc: Json) -> None:
    assert (await kept(method, path, doc)).is_problem(400, "BadRequestData")
    assert await kept.is_unchanged()


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize("body", [[], "x", 5, [{"heat": 2}]], ids=str)
async def test_what_is_no_object_is_no_request(kept: Kept, body: Json) -> None:
    for method, path in (("POST", ATTRS), ("PATCH", ATTRS), ("PATCH", ATTRS + "/heat")):
        assert (await kept(method, path, body)).is_problem(400, "InvalidRequest")
    assert await kept.is_unchanged()


@pytest.mark.clause("6.3.5")
async def test_names_of_the_fragment_are_of_its_own_context(api: Api) -> None:
    await api.make(room(heat=1))
    fragment = {"@context": {"heat": "https://ex.org/heat"}, "heat": 2}
    assert (await api("PATCH", ATTRS, fragment, media=LD_JSON)).status == 204
    assert await api.entity() == {**room(heat=1), "https://ex.org/heat": 2}
