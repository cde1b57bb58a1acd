"""What clients send, read into the broker's shape."""

import copy
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.entity import parse
from broker.core.entity.values import ParseOptions
from broker.core.errors import BadRequestData
from broker.core.jsonld.core_context import NGSI_LD
from tests.core.documents import CORE, EX, KINDS, NULL, POINT, V, entities, few, json_values


def entity(**members: Json) -> dict[str, Any]:
    return parse.entity({"id": "urn:x:1", "type": "T", **members}, CORE)


PLAIN, FRAGMENTS = ParseOptions(CORE), ParseOptions(CORE, nulls=True)


def only(raw: Json, options: ParseOptions = PLAIN) -> dict[str, Any]:
    """The one instance of an attribute named `heat`."""
    (instance,) = parse.attribute("heat", raw, options)
    return instance


@pytest.mark.clause("4.5.1")
def test_an_entity_in_the_shape_of_the_broker() -> None:
    doc = {"id": "urn:x:1", "type": "Room", "scope": "/a", "heat": {"type": "Property", "value": 1}}
    assert parse.entity(doc, EX) == {
        "id": "urn:x:1",
        "type": ["https://ex.org/Room"],
        "scope": ["/a"],
        "attrs": {"https://ex.org/t/heat": [{"type": "Property", "value": 1}]},
    }


@pytest.mark.clause("4.4")
def test_at_id_and_at_type_are_read_as_well() -> None:
    found = parse.entity({"@id": "urn:x:1", "@type": "T", "heat": {"@type": "Property", "value": 1}}, CORE)
    assert found == entity(heat={"type": "Property", "value": 1})


@pytest.mark.clause("4.16")
def test_types_are_told_once_each() -> None:
    assert entity(type=["B", "A", "B"])["type"] == [V + "B", V + "A"]


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"}, {"id": None}, {"id": 5}, {"id": NULL}, {"id": ["urn:x:1"]},
        {"type": []}, {"type": None}, {"type": 5}, {"type": "1"}, {"type": [["A"]]}, {"type": NULL},
        {"type": ["A", "b-c"]}, {"expiresAt": "2030-01-01"}, {"expiresAt": NULL}, {"createdAt": NULL},
        {"modifiedAt": NULL},
    ],
)  # fmt: skip
def test_members_of_an_entity_that_are_wrong(wrong: dict[str, Json]) -> None:
    with pytest.raises(BadRequestData):
        entity(**wrong)


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize("doc", [[], "x", 5, None, True, {}, {"id": "urn:x:1"}, {"type": "T"}])
def test_what_is_no_entity(doc: Json) -> None:
    with pytest.raises(BadRequestData):
        parse.entity(doc, CORE)


@pytest.mark.clause("4.18")
@pytest.mark.parametrize("scope", ["/a", "/a/b", "/é_1", ["/a", "/b/c"], "a/b"])
def test_scopes(scope: Json) -> None:
    assert entity(scope=scope)["scope"] == (scope if isinstance(scope, list) else [scope])


@pytest.mark.clause("4.18")
@pytest.mark.parametrize(
    "scope", ["", "/", "//a", "/a/", "/a//b", "/1a", "/a-b", "/a b", "/a:b", "/#", NULL, 5, [], ["/a", "/-"]]
)
def test_one_bad_scope_spoils_all(scope: Json) -> None:
    with pytest.raises(BadRequestData, match="scope"):
        entity(scope=scope)


@pytest.mark.clause("4.5.2")
@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["type"]))
def test_each_kind_of_attribute_has_its_value(raw: dict[str, Json]) -> None:
    found = only(raw)
    assert found["type"] == raw["type"]
    assert "attrs" not in found


@pytest.mark.clause("4.5.22")
def test_targets_in_order_with_and_without_object() -> None:
    for targets in (["urn:b", "urn:a"], [{"object": "urn:b"}, {"object": "urn:a"}]):
        assert only({"objectList": targets}) == {"type": "ListRelationship", "objectList": ["urn:b", "urn:a"]}


@pytest.mark.clause("4.5.20")
def test_words_of_a_vocabulary_are_expanded_and_json_is_not() -> None:
    assert only({"vocab": "heat"}, ParseOptions(EX))["vocab"] == "https://ex.org/t/heat"
    assert only({"json": {"heat": 1}}, ParseOptions(EX))["json"] == {"heat": 1}
    assert only({"json": {"@context": [1]}})["json"] == {"@context": [1]}
    assert only({"value": {"heat": 1}}, ParseOptions(EX))["value"] == {"heat": 1}


@pytest.mark.clause("4.5.2.3")
@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (5, "Property"),
        ("x", "Property"),
        (False, "Property"),
        ([1, 2], "Property"),
        ([], "Property"),
        ({"a": 1}, "Property"),
        ({}, "Property"),
        ({"value": 5}, "Property"),
        ({"@type": "DateTime", "@value": "2026-07-01T12:00:00Z"}, "Property"),
        ({"@type": "@json", "@value": None}, "Property"),
        ({"@value": 5}, "Property"),
        ([{"@type": "DateTime", "@value": "2026-07-01T12:00:00Z"}], "Property"),
        ({"unitCode": "CEL", "b": 1}, "Property"),
        (POINT, "GeoProperty"),
        ({"value": POINT}, "GeoProperty"),
        ({"type": "Property", "value": POINT}, "Property"),
        ({"object": "urn:x:2"}, "Relationship"),
        ({"languageMap": {"en": "x"}}, "LanguageProperty"),
        ({"vocab": "x"}, "VocabProperty"),
        ({"json": []}, "JsonProperty"),
        ({"valueList": []}, "ListProperty"),
        ({"objectList": []}, "ListRelationship"),
    ],
)
def test_the_concise_form_tells_the_kind(raw: Json, kind: str) -> None:
    assert only(raw)["type"] == kind


@pytest.mark.clause("4.7.1")
def test_a_geometry_may_come_as_text() -> None:
    found = only({"type": "GeoProperty", "value": '{"type": "Point", "coordinates": [13.4, 52.5]}'})
    assert found["value"] == POINT


@pytest.mark.clause("4.7.1")
@pytest.mark.parametrize("name", ["location", "observationSpace", "operationSpace", NGSI_LD + "location"])
@pytest.mark.parametrize("raw", [5, {"type": "Property", "value": POINT}, {"object": "urn:x:2"}])
def test_the_places_of_the_core_are_geo_properties(name: str, raw: Json) -> None:
    with pytest.raises(BadRequestData, match="GeoProperty"):
        entity(**{name: raw})
    assert entity(**{name: POINT})["attrs"].keys() == {CORE.expand(name)}


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    "raw",
    [
        None,
        NULL,
        {"type": "Property"},
        {"type": "Property", "value": None},
        {"type": "Property", "value": NULL},
        {"type": "Property", "value": {"deep": [{"a": NULL}]}},
        {"type": "Property", "value": [1, NULL]},
        {"type": "Property", "value": {"@context": {"a": "urn:a"}}},
        {"type": "Property", "value": [{"a": {"@context": "urn:a"}}]},
        {"type": "ListProperty", "valueList": [{"@context": "urn:a"}]},
        {"type": "GeoProperty", "value": {**POINT, "@context": "urn:a"}},
        {"type": "GeoProperty", "value": {**POINT, "bbox": NULL}},
        {"type": "LanguageProperty", "languageMap": {"en": NULL}},
        {"type": "LanguageProperty", "languageMap": {"en": ["x", NULL]}},
        {"type": "VocabProperty", "vocab": ["x", NULL]},
        {"type": "Relationship", "object": ["urn:x:2", NULL]},
        {"type": "JsonProperty", "json": {"a": [{"b": NULL}]}},
        {"type": "Property", "value": 1, "unitCode": 5},
        {"type": "Property", "value": 1, "unitCode": ""},
        {"type": "Property", "value": 1, "observedAt": "2026-07-01"},
        {"type": "Property", "value": 1, "observedAt": "2026-07-01T12:00:00+02:00"},
        {"type": "Property", "value": 1, "datasetId": "x"},
        {"type": "Property", "value": 1, "datasetId": NULL},
        {"type": "Property", "value": 1, "sub": NULL},
        {"type": "Property", "value": 1, "sub": {"type": "Property"}},
        {"type": "Property", "value": 1, "object": "urn:x:2"},
        {"type": "Property", "value": 1, "previousValue": 0},
        {"type": "Property", "value": 1, "expiresAt": "tomorrow"},
        {"type": "Nothing", "value": 1},
        {"type": 5, "value": 1},
        {"type": ["Property"], "value": 1},
        {"type": ["Point"], "coordinates": [1, 2]},
        {"type": "Relationship", "object": "x"},
        {"type": "Relationship", "object": []},
        {"type": "Relationship", "object": {"id": "urn:x:2"}},
        {"type": "Relationship", "object": "urn:x:2", "unitCode": "CEL"},
        {"type": "LanguageProperty", "languageMap": "x"},
        {"type": "LanguageProperty", "languageMap": {"en": 5}},
        {"type": "LanguageProperty", "languageMap": {"en": ["x", None]}},
        {"type": "LanguageProperty", "languageMap": {"@none": NULL}},
        {"type": "VocabProperty", "vocab": ""},
        {"type": "VocabProperty", "vocab": [5]},
        {"type": "JsonProperty", "json": 5},
        {"type": "JsonProperty", "json": NULL},
        {"type": "ListProperty", "value": [1]},
        {"type": "ListProperty", "valueList": [NULL]},
        {"type": "ListProperty", "valueList": "text"},
        {"type": "ListProperty", "valueList": {"a": 1}},
        {"type": "ListProperty", "valueList": [{"a": NULL}]},
        {"type": "ListRelationship", "objectList": "urn:x:2"},
        {"type": "ListRelationship", "objectList": {"object": "urn:x:2"}},
        {"type": "ListRelationship", "objectList": ["x"]},
        {"type": "ListRelationship", "objectList": [{"object": NULL}]},
        {"type": "GeoProperty", "value": 5},
        {"type": "GeoProperty", "value": "not JSON"},
        {"type": "GeoProperty", "value": {"type": "GeometryCollection", "geometries": []}},
    ],
    ids=str,
)
def test_attributes_that_are_wrong_are_named(raw: Json) -> None:
    with pytest.raises(BadRequestData) as refused:
        entity(heat=raw)
    assert refused.value.detail.startswith("heat")


@pytest.mark.clause("4.5.1")
@pytest.mark.parametrize(
    "name",
    [
        "",
        "1a",
        "a-b",
        "a b",
        "..",
        "%2e%2e",
        "datasetId",
        "observedAt",
        "unitCode",
        "instanceId",
    ],
)
def test_names_that_no_attribute_may_have(name: str) -> None:
    with pytest.raises(BadRequestData):
        entity(**{name: 1})


@pytest.mark.clause("4.5.1")
@pytest.mark.parametrize("name", ["", "1a", "a-b", "..", "@context"])
def test_names_that_no_sub_attribute_may_have(name: str) -> None:
    with pytest.raises(BadRequestData):
        entity(heat={"value": 1, name: {"type": "Property", "value": 1}})


@pytest.mark.clause("5.2.2")
def test_what_only_the_broker_tells_is_ignored() -> None:
    mine = {"createdAt": "x", "modifiedAt": 5, "deletedAt": None, "instanceId": "y"}
    plain = {name: value for name, value in mine.items() if name != "instanceId"}
    assert entity(heat={"value": 1, **mine}, **plain) == entity(heat={"value": 1})


@pytest.mark.clause("4.5.5")
def test_one_instance_for_each_dataset() -> None:
    many = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]
    found = parse.attribute("heat", many, ParseOptions(CORE))
    assert [one.get("datasetId") for one in found] == [None, "urn:d:1"]
    assert only({"value": 1, "datasetId": "@none"}) == only({"value": 1})


@pytest.mark.clause("4.5.5")
@pytest.mark.parametrize("dataset", ["urn:d:1", "@none"])
def test_no_dataset_twice(dataset: str) -> None:
    twice = [{"value": 1, "datasetId": dataset}, {"value": 2, "datasetId": dataset}]
    with pytest.raises(BadRequestData, match="distinct"):
        parse.attribute("heat", twice, ParseOptions(CORE))


@pytest.mark.clause("4.5.0")
@pytest.mark.parametrize(
    "raw",
    [
        NULL,
        {"type": "Property", "value": NULL},
        {"type": "Relationship", "object": NULL},
        {"type": "LanguageProperty", "languageMap": {"@none": NULL}},
        {"type": "VocabProperty", "vocab": NULL},
        {"type": "JsonProperty", "json": NULL},
        {"type": "ListProperty", "valueList": [NULL]},
        {"type": "ListRelationship", "objectList": [NULL]},
        {"type": "GeoProperty", "value": NULL},
    ],
    ids=str,
)
def test_an_ngsi_ld_null_in_a_fragment(raw: Json) -> None:
    found = only(raw, FRAGMENTS)
    assert NULL in found.values()
    assert parse.fragment({"location": raw}, FRAGMENTS).attrs


@pytest.mark.clause("5.6.4")
def test_a_partial_attribute_needs_no_value() -> None:
    assert parse.partial("heat", {"unitCode": "CEL"}, FRAGMENTS) == {"unitCode": "CEL"}
    assert parse.partial("heat", {"type": "Property", "unitCode": "CEL"}, FRAGMENTS) == {
        "type": "Property",
        "unitCode": "CEL",
    }
    assert parse.partial("heat", POINT, FRAGMENTS) == {"type": "GeoProperty", "value": POINT}
    typed = {"@type": "DateTime", "@value": "2026-07-01T12:00:00Z"}
    assert parse.partial("heat", typed, FRAGMENTS) == {"type": "Property", "value": typed}


@pytest.mark.clause("5.6.4")
@pytest.mark.parametrize(
    "raw",
    [
        {},
        [],
        5,
        NULL,
        None,
        {"type": "Nothing", "observedAt": "2026-07-01T12:00:00Z"},
        {"type": 5},
        {"type": "Relationship", "unitCode": "CEL"},
        {"datasetId": NULL},
        {"previousValue": 5},
        {"a-b": 1},
    ],
    ids=str,
)
def test_what_is_no_partial_attribute(raw: Json) -> None:
    with pytest.raises(BadRequestData):
        parse.partial("heat", raw, FRAGMENTS)


@few
@given(json_values().filter(lambda value: value is not None))
def test_a_value_is_taken_as_it_is(value: Json) -> None:
    assert only({"type": "Property", "value": value})["value"] is value
    assert only({"type": "ListProperty", "valueList": [value]})["valueList"] == [value]


@few
@given(json_values())
def test_whatever_a_client_sends_is_read_or_refused(doc: Json) -> None:
    for raw in (doc, {"id": "urn:x:1", "type": "T", "heat": doc}, {"heat": doc, "location": doc}):
        with suppress(BadRequestData):
            parse.entity(raw, CORE)
            parse.fragment(raw, FRAGMENTS)


@few
@given(st.sampled_from(["type", "scope", "id", "@id", "@type", "location", "heat"]), json_values())
def test_whatever_stands_in_a_member_is_read_or_refused(name: str, value: Json) -> None:
    for member in (value, {"type": value, "value": 1}, {"value": 1, name: value}, {"languageMap": value}):
        with suppress(BadRequestData):
            entity(**{name: member})
            parse.partial("heat", member, FRAGMENTS)


@few
@given(entities())
def test_reading_does_not_touch_the_document(doc: dict[str, Json]) -> None:
    before = copy.deepcopy(doc)
    parse.entity(doc, EX)
    assert doc == before


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    ("member", "said"),
    [
        ({"a": {"value": 1, "b c": 1}}, "'a.b c': expected a name"),
        ({"a": {"value": 1, "b": {"value": 1, "c-d": 1}}}, "'a.b.c-d': expected a name"),
        ({"a": {"value": 1, "id": 1}}, "a.id: a core term cannot name an attribute"),
        ({"a": {"value": {"b": [1, {"c": NULL}]}}}, "a.value.b[1].c: an NGSI-LD Null"),
        ({"a": {"object": ["urn:x:1", "x"]}}, "a.object[1]: expected a URI"),
        (
            {"a": {"unitCode": "CEL", "observedAt": "2026-07-01T12:00:00Z"}},
            "a.value: expected beside observedA",
        ),
        ({"a": {"value": 1, "b": {"unitCode": "CEL"}}}, "a.b.value: expected beside unitCode"),
        ({"a": [{"datasetId": "urn:d:1"}]}, "a.value: expected beside datasetId"),
        ({"a": {"value": {"b": [{"@context": "urn:a"}]}}}, "a.value.b[0].@context: not allowed"),
        ({"a": {"valueList": "text"}}, "a.valueList: expected an array"),
        ({"a": {"object": []}}, "a.object: expected a URI, or an array of at least one"),
        ({"a": {"objectList": [{"object": "urn:x:1"}, {"object": 5}]}}, "a.objectList[1]: expected a URI"),
        ({"a": {"languageMap": {"en": "x", "no!": "y"}}}, "a.languageMap.no!: expected a language tag"),
        ({"a": {"languageMap": {"en": 1}}}, "a.languageMap.en: expected a string"),
        ({"@type": "U"}, "@type: not allowed beside type"),
        ({"@id": "urn:x:1"}, "@id: not allowed beside id"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(member: dict[str, Json], said: str) -> None:
    with pytest.raises(BadRequestData) as refused:
        entity(**member)
    assert refused.value.detail.startswith(said)
