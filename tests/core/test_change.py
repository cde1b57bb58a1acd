"""What a write did, with_tombstones by identity."""

import pytest

from broker.core import Entity, Json
from broker.core.change import Change, events, previous, removed, tombstone, with_tombstones, written
from broker.core.entity import update
from tests.core.documents import KINDS, LATER, NULL, V, created, fragment

TWO = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]


def change(before: Entity | None, after: Entity | None) -> Change:
    return Change("urn:x:1", before, after, LATER)


def updated(before: Entity, **attrs: Json) -> Change:
    return change(before, update.update_attrs("urn:x:1", fragment(**attrs))(before, LATER).after)


def names(one: Change) -> tuple[list[str], list[str]]:
    """The attributes written and removed, each with its dataset."""

    def with_tombstones(pairs: list[tuple[str, Json]]) -> list[str]:
        return sorted(iri.removeprefix(V) + (it.get("datasetId") or "") for iri, it in pairs)

    return with_tombstones(list(written(one))), with_tombstones(list(removed(one)))


def test_a_creation_writes_everything_and_a_deletion_removes_it() -> None:
    entity = created(heat=TWO, cold=0)
    assert names(change(None, entity)) == (["cold", "heat", "heaturn:d:1"], [])
    assert names(change(entity, None)) == ([], ["cold", "heat", "heaturn:d:1"])
    assert names(change(entity, entity)) == ([], [])


def test_only_the_instances_that_differ() -> None:
    before = created(heat=TWO, cold=0)
    assert names(updated(before, heat={"value": 9, "datasetId": "urn:d:1"})) == (["heaturn:d:1"], [])
    assert names(updated(before, heat=NULL)) == ([], ["heat"])
    assert names(updated(before, new=1, cold=NULL)) == (["new"], ["cold"])
    assert names(updated(before)) == ([], [])


def test_the_entity_of_a_change() -> None:
    one, other = created(heat=1), created(heat=2)
    assert change(one, other).entity is other
    assert change(one, None).entity is one
    with pytest.raises(AssertionError):
        _ = change(None, None).entity


def test_what_says_the_same_again_did_not_happen() -> None:
    before = created(heat=TWO, cold=0)
    assert not events(updated(before, heat=TWO, cold=0)).all
    assert previous(updated(before, heat=TWO, cold=0)) == {}
    one = updated(before, heat={"value": 9, "datasetId": "urn:d:1"}, cold=0)
    assert [*events(one).attrs] == [V + "heat"]
    assert previous(one) == {V + "heat": [before["attrs"][V + "heat"][1]]}


@pytest.mark.clause("5.8.6")
def test_what_is_told_of() -> None:
    before = created(heat=TWO, cold=0)
    one = updated(before, heat=NULL)
    assert one.after is not None
    dead = {"type": "Property", "value": NULL, "deletedAt": LATER}
    assert with_tombstones(one) == {
        **one.after,
        "attrs": {**one.after["attrs"], V + "heat": [*one.after["attrs"][V + "heat"], dead]},
    }
    assert with_tombstones(updated(before, cold=1))["attrs"].keys() == before["attrs"].keys()
    gone = with_tombstones(change(before, None))
    assert gone.keys() == {"id", "type", "createdAt", "modifiedAt", "deletedAt", "attrs"}
    assert [one["value"] for many in gone["attrs"].values() for one in many] == [NULL] * 3
    assert previous(change(before, None)) == before["attrs"]
    assert previous(change(None, before)) == {}


@pytest.mark.clause("4.5.7")
@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["type"]))
def test_a_tombstone_is_of_the_same_kind_and_holds_nothing_else(raw: dict[str, Json]) -> None:
    (instance,) = created(heat={**raw, "datasetId": "urn:d:1", "sub": 1})["attrs"][V + "heat"]
    dead = tombstone(instance, LATER)
    assert dead.keys() == {"type", *(raw.keys() & set(NULLS)), "deletedAt", "datasetId"}
    assert dead["type"] == raw["type"]
    assert (dead["deletedAt"], dead["datasetId"]) == (LATER, "urn:d:1")
    (member,) = raw.keys() & set(NULLS)
    assert dead[member] == NULLS[member]


NULLS: dict[str, Json] = {
    "value": NULL,
    "object": NULL,
    "languageMap": {"@none": NULL},
    "vocab": NULL,
    "json": NULL,
    "valueList": [NULL],
    "objectList": [NULL],
}
