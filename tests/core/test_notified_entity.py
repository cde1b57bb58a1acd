"""Deletions and previous values in what a subscriber is with_tombstones (5.8.6, 5.2.14)."""

from typing import Any

import pytest

from broker.core import Entity, Json
from broker.core.change import Change, previous, with_tombstones
from broker.core.entity import update
from broker.core.notification import Content, rendering, subscriber
from broker.core.subscription import read
from tests.core.documents import CORE, KINDS, LATER, NOW, NULL, created, fragment

TWO = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]
TIMES = {"createdAt": NOW + "Z", "modifiedAt": NOW + "Z", "deletedAt": LATER + "Z"}


def data(
    before: Entity | None, after: Entity | None, params: dict[str, Json] | None = None, **members: Json
) -> dict[str, Any]:
    """What a subscriber is with_tombstones of a change; `params` are of its notification."""
    endpoint = {"endpoint": {"uri": "http://x/"}}
    doc = {"type": "Subscription", "entities": [{"type": "T"}], **members}
    to = subscriber(read({**doc, "notification": {**endpoint, **(params or {})}}, CORE, "urn:s:1", NOW))
    change = Change("urn:x:1", before, after, LATER)
    was = previous(change) if to.parts.previous else None
    (entity,) = rendering(to, Content([with_tombstones(change)], {"urn:x:1": was}), CORE).data
    return dict(entity)


def updated(before: Entity, **attrs: Json) -> Entity | None:
    return update.update_attrs("urn:x:1", fragment(**attrs))(before, LATER).after


@pytest.mark.clause("5.8.6")
@pytest.mark.parametrize(
    ("params", "heat"),
    [
        ({}, {"type": "Property", "value": NULL}),
        ({"format": "concise"}, NULL),
        ({"format": "simplified"}, NULL),
        ({"sysAttrs": True}, {"type": "Property", "value": NULL, **TIMES}),
        ({"sysAttrs": True, "format": "concise"}, {"value": NULL, **TIMES}),
        ({"showChanges": True}, {"type": "Property", "value": NULL, "previousValue": 1}),
        ({"showChanges": True, "format": "concise"}, {"value": NULL, "previousValue": 1}),
    ],
    ids=str,
)
def test_a_deleted_attribute(params: dict[str, Json], heat: Json) -> None:
    before = created(heat=1, cold=2)
    shown = data(before, updated(before, heat=NULL), params)
    assert shown["heat"] == heat
    assert "previous" not in str(shown["cold"])
    assert "deletedAt" not in shown


@pytest.mark.clause("5.8.6")
def test_a_deleted_instance_is_one_among_the_others() -> None:
    before = created(heat=TWO)
    after = updated(before, heat={"value": NULL, "datasetId": "urn:d:1"})
    alive, dead = (
        {"type": "Property", "value": 1},
        {"type": "Property", "value": NULL, "datasetId": "urn:d:1"},
    )
    assert data(before, after)["heat"] == [alive, dead]
    assert data(before, after, {"showChanges": True})["heat"] == [alive, {**dead, "previousValue": 2}]
    assert data(before, after, {"format": "keyValues"})["heat"] == {"dataset": {"@none": 1, "urn:d:1": NULL}}
    no_more = update.delete_attr("urn:x:1", next(iter(before["attrs"])), delete_all=True)(before, LATER).after
    assert data(before, no_more)["heat"] == {"type": "Property", "value": NULL}, "the suite's 046_22_08"
    simplified, concise, with_times = (
        data(before, no_more, params)["heat"]
        for params in ({"format": "simplified"}, {"format": "concise"}, {"sysAttrs": True})
    )
    assert simplified == {"dataset": {"@none": NULL, "urn:d:1": NULL}}
    assert concise == [{"value": NULL}, {"value": NULL, "datasetId": "urn:d:1"}]
    assert [one.get("datasetId") for one in with_times] == [None, "urn:d:1"]
    assert data(before, no_more, datasetId=["urn:d:1"])["heat"] == dead
    assert [one["previousValue"] for one in data(before, no_more, {"showChanges": True})["heat"]] == [1, 2]


@pytest.mark.clause("5.8.6")
def test_without_a_default_instance_each_deleted_one_is_named() -> None:
    before = created(heat=[{"value": n, "datasetId": f"urn:d:{n}"} for n in (1, 2)])
    after = update.delete_attr("urn:x:1", next(iter(before["attrs"])), delete_all=True)(before, LATER).after
    assert data(before, after)["heat"] == [
        {"type": "Property", "value": NULL, "datasetId": f"urn:d:{n}"} for n in (1, 2)
    ]


PREVIOUS: dict[str, str] = {
    "value": "previousValue",
    "object": "previousObject",
    "languageMap": "previousLanguageMap",
    "vocab": "previousVocab",
    "json": "previousJson",
    "valueList": "previousValueList",
    "objectList": "previousObjectList",
}


@pytest.mark.clause("5.2.14")
@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["type"]))
def test_every_kind_shows_its_value_before_as_it_shows_its_value(raw: dict[str, Json]) -> None:
    before = created(heat=raw, cold=1)
    (member,) = raw.keys() & PREVIOUS.keys()
    for form in ("normalized", "concise"):
        params: dict[str, Json] = {"showChanges": True, "format": form}
        was = data(None, before, {"format": form})["heat"]
        value = was[member] if isinstance(was, dict) and member in was else was
        (new,) = (one["heat"] for one in [data(before, updated(before, heat=9), params)])
        assert new[PREVIOUS[member]] == value
        assert new["value"] == 9
        gone = data(before, updated(before, heat=NULL), params)["heat"]
        assert gone[PREVIOUS[member]] == value
        assert NULL in str(gone[member])


@pytest.mark.clause("5.2.14")
def test_what_did_not_change_and_what_is_new_has_no_value_before() -> None:
    before = created(heat=1, cold=2)
    shown = data(before, updated(before, heat=9, cold=2, new=3), {"showChanges": True})
    assert shown["heat"] == {"type": "Property", "value": 9, "previousValue": 1}
    assert "previous" not in str([shown["cold"], shown["new"]])
    assert "previous" not in str(data(None, before, {"showChanges": True}))
    assert "previous" not in str(data(before, updated(before, heat=9)))


@pytest.mark.clause("5.8.6")
def test_a_deleted_entity() -> None:
    before = {**created(heat=1, cold=2), "scope": ["/a"]}
    bare = {"id": "urn:x:1", "type": "T", "deletedAt": LATER + "Z"}
    dead = {"type": "Property", "value": NULL}
    assert data(before, None, notificationTrigger=["entityDeleted"]) == bare
    assert data(before, None, {"sysAttrs": True}, notificationTrigger=["entityDeleted"]) == {
        "id": "urn:x:1", "type": "T", **TIMES
    }  # fmt: skip
    deleted = ["attributeDeleted"]
    assert data(before, None, notificationTrigger=deleted) == {**bare, "heat": dead, "cold": dead}
    watched = data(before, None, notificationTrigger=deleted, watchedAttributes=["heat"])
    assert watched == {**bare, "heat": dead}
    both: Json = ["attributeDeleted", "entityDeleted"]
    assert data(before, None, notificationTrigger=both) == bare, (
        "who asked for it is with_tombstones that the entity is gone"
    )
    changes: dict[str, Json] = {"showChanges": True}
    assert data(before, None, changes, notificationTrigger=["entityDeleted"]) == {
        **bare, "heat": {**dead, "previousValue": 1}, "cold": {**dead, "previousValue": 2},
    }  # fmt: skip
