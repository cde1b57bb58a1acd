"""Evolutions as clients see them."""

from typing import Any

import pytest

from broker.core import Instance
from broker.core.entity import parse
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.temporal import SCOPE, Evolution, Window
from broker.core.temporal.evolution_view import TemporalView, view
from tests.core.documents import EX, KINDS, NULL, POINT, V

T1, T2, WRITTEN = "2026-07-01T12:00:00", "2026-07-01T13:00:00.50", "2026-07-01T14:00:00.000001"
HELLO = {"en": "hello", "fr": ["bonjour", "salut"]}


def evolution(**attrs: list[Instance]) -> Evolution:
    named = {SCOPE if name == "scope" else V + name: many for name, many in attrs.items()}
    return Evolution("urn:x:1", ["https://ex.org/Room"], T1, named)


def seen(one: Instance, time: str) -> Instance:
    return {**one, "instanceId": "urn:i:1", "observedAt": time, "createdAt": WRITTEN, "modifiedAt": WRITTEN}


def read(doc: dict[str, Any]) -> Instance:
    """One instance as the broker holds it."""
    entity = parse.entity({"id": "urn:x:1", "type": "T", "a": doc}, EX)
    [[one]] = entity["attrs"].values()
    return dict(one)


@pytest.mark.clause("4.5.7")
@pytest.mark.parametrize("doc", KINDS, ids=lambda doc: doc["type"])
def test_normalized_instances_are_as_they_were_sent_with_an_id(doc: dict[str, Any]) -> None:
    shown = view(evolution(a=[seen(read(doc), T1)]), EX, TemporalView())
    assert shown["a"] == [{**doc, "observedAt": T1 + "Z", "instanceId": "urn:i:1"}]
    assert shown["type"] == "Room"


@pytest.mark.clause("4.5.9")
@pytest.mark.parametrize(
    ("doc", "member", "value"),
    [
        ({"type": "Property", "value": {"a": [1]}}, "values", {"a": [1]}),
        ({"type": "GeoProperty", "value": POINT}, "values", POINT),
        ({"type": "Relationship", "object": "urn:x:2"}, "objects", "urn:x:2"),
        ({"type": "Relationship", "object": ["urn:x:2", "urn:x:3"]}, "objects", ["urn:x:2", "urn:x:3"]),
        ({"type": "LanguageProperty", "languageMap": HELLO}, "languageMaps", {"languageMap": HELLO}),
        ({"type": "VocabProperty", "vocab": ["Room", "other"]}, "vocabs", {"vocab": ["Room", "other"]}),
        ({"type": "JsonProperty", "json": [{"id": 1}]}, "jsons", {"json": [{"id": 1}]}),
        ({"type": "ListProperty", "valueList": ["a", 1]}, "valueLists", ["a", 1]),
        ({"type": "ListRelationship", "objectList": ["urn:x:2"]}, "objectLists", ["urn:x:2"]),
    ],
)  # fmt: skip
def test_temporal_values_are_pairs(doc: dict[str, Any], member: str, value: Any) -> None:
    many = [seen(read(doc), T1), seen(read(doc), T2)]
    shown = view(evolution(a=many), EX, TemporalView("temporalValues"))
    assert shown["a"] == {"type": doc["type"], member: [[value, T1 + "Z"], [value, T2 + "Z"]]}


@pytest.mark.clause("4.5.9")
def test_the_time_of_a_pair_is_the_one_asked_for() -> None:
    one = seen({"type": "Property", "value": 1}, T1)
    shape = TemporalView("temporalValues", window=Window(timeproperty="modifiedAt"))
    assert view(evolution(a=[one]), EX, shape)["a"]["values"] == [[1, WRITTEN + "Z"]]
    del one["observedAt"]
    assert view(evolution(a=[one]), EX, TemporalView("temporalValues"))["a"]["values"] == [[1, WRITTEN + "Z"]]


def test_temporal_values_are_apart_for_each_dataset_and_kind() -> None:
    a: Instance = {"type": "Property", "value": 1}
    many = [seen(a, T1), seen({**a, "datasetId": "urn:d:1"}, T1), seen({**a, "value": 2}, T2)]
    shown = view(evolution(a=many), EX, TemporalView("temporalValues"))
    assert shown["a"] == [
        {"type": "Property", "values": [[1, T1 + "Z"], [2, T2 + "Z"]]},
        {"type": "Property", "values": [[1, T1 + "Z"]], "datasetId": "urn:d:1"},
    ]


def test_sub_attributes_come_along_in_the_names_of_the_context() -> None:
    one = read({"type": "Property", "value": 1, "heat": {"type": "Property", "value": "low"}})
    shown = view(evolution(a=[seen(one, T1)]), EX, TemporalView())
    assert shown["a"][0]["heat"] == {"type": "Property", "value": "low"}


@pytest.mark.clause("4.5.7")
@pytest.mark.parametrize("sys_attrs", [False, True])
def test_a_deletion_is_a_null_and_its_time(sys_attrs: bool) -> None:
    one = {"type": "Relationship", "object": NULL, "deletedAt": T2, "instanceId": "urn:i:2"}
    shape = TemporalView(sys_attrs=sys_attrs)
    assert view(evolution(a=[one]), EX, shape)["a"] == [{**one, "deletedAt": T2 + "Z"}]
    shape = TemporalView("temporalValues", sys_attrs, Window(timeproperty="deletedAt"))
    assert view(evolution(a=[one]), EX, shape)["a"]["objects"] == [[NULL, T2 + "Z"]]


@pytest.mark.clause("4.5.6")
@pytest.mark.parametrize(("held", "shown"), [([], []), (["/A"], "/A"), (["/A", "/B"], ["/A", "/B"])])
def test_the_scope_is_a_property(held: list[str], shown: Any) -> None:
    one = seen({"type": "Property", "value": held}, T1)
    assert view(evolution(scope=[one]), EX, TemporalView())["scope"][0]["value"] == shown
    values = view(evolution(scope=[one]), EX, TemporalView("temporalValues"))["scope"]["values"]
    assert values == [[shown, T1 + "Z"]]
    assert NGSI_LD + "scope" == SCOPE


@pytest.mark.clause("6.3.11")
def test_system_attributes_are_shown_when_asked_for() -> None:
    found = evolution(a=[seen({"type": "Property", "value": 1}, T1)])
    plain, full = (view(found, EX, TemporalView(sys_attrs=asked)) for asked in (False, True))
    assert not {"createdAt", "modifiedAt", "deletedAt"} & (plain.keys() | plain["a"][0].keys())
    assert full["createdAt"] == T1 + "Z"
    assert not {"modifiedAt", "deletedAt"} & full.keys()
    assert full["a"][0]["createdAt"] == full["a"][0]["modifiedAt"] == WRITTEN + "Z"
    found.modified_at, found.deleted_at = T2, WRITTEN
    full = view(found, EX, TemporalView(sys_attrs=True))
    assert (full["modifiedAt"], full["deletedAt"]) == (T2 + "Z", WRITTEN + "Z")


@pytest.mark.clause("6.3.10")
def test_what_had_to_be_cut_away_is_an_empty_series() -> None:
    found = evolution(a=[])
    found.emptied = {V + "a": "LanguageProperty"}
    assert view(found, EX, TemporalView())["a"] == []
    shown = view(found, EX, TemporalView("temporalValues"))
    assert shown["a"] == {"type": "LanguageProperty", "languageMaps": []}


def test_a_view_leaves_the_evolution_alone() -> None:
    one = seen({"type": "Property", "value": 1}, T1)
    found = evolution(a=[one], scope=[seen({"type": "Property", "value": ["/A"]}, T1)])
    before = repr(found)
    for shape in (TemporalView(sys_attrs=True), TemporalView("temporalValues")):
        view(found, EX, shape)
    assert repr(found) == before
