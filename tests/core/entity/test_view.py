"""Entities as clients see them."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given

from broker.core import Entity, Json
from broker.core.entity import parse, update
from broker.core.entity.values import ParseOptions
from broker.core.entity.view import View, attribute, view
from broker.core.lang.projection import of_attrs
from tests.core.documents import CORE, EX, KINDS, LATER, NOW, POINT, V, created, entities, few

NORMALIZED, CONCISE, SIMPLIFIED = View(), View("concise"), View("simplified")


def stored(doc: dict[str, Json]) -> Entity:
    after = update.create(parse.entity(doc, EX))(None, NOW).after
    assert after is not None
    return after


def shown(raw: Json, shape: str) -> Json:
    """How an attribute comes back."""
    return attribute(created(heat=raw)["attrs"][V + "heat"], CORE, shape, None)


@few
@given(entities())
def test_normalized_entities_come_back_as_they_were_sent(doc: dict[str, Json]) -> None:
    assert orjson.dumps(view(stored(doc), EX, NORMALIZED), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        doc, option=orjson.OPT_SORT_KEYS
    )


@few
@given(entities())
def test_concise_entities_are_read_back_as_the_same(doc: dict[str, Json]) -> None:
    entity = stored(doc)
    concise = view(entity, EX, CONCISE)
    assert stored(concise) == entity
    assert view(stored(concise), EX, CONCISE) == concise


@few
@given(entities())
def test_showing_does_not_touch_the_entity(doc: dict[str, Json]) -> None:
    entity = stored(doc)
    before = copy.deepcopy(entity)
    for shape in (NORMALIZED, CONCISE, SIMPLIFIED, View(sys_attrs=True), View("concise", sys_attrs=True)):
        view(entity, EX, shape)
    assert entity == before


@pytest.mark.clause("4.5.1")
@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["type"]))
def test_each_kind_in_normalized_form(raw: dict[str, Json]) -> None:
    assert shown(raw, "normalized") == raw


@pytest.mark.clause("4.5.2.3")
@pytest.mark.parametrize(
    ("raw", "concise"),
    [
        ({"type": "Property", "value": 5}, 5),
        ({"type": "Property", "value": 5, "unitCode": "CEL"}, {"value": 5, "unitCode": "CEL"}),
        ({"type": "Property", "value": [1, "x", [True]]}, [1, "x", [True]]),
        ({"type": "Property", "value": []}, []),
        ({"type": "Property", "value": [1, {"a": 1}]}, {"value": [1, {"a": 1}]}),
        ({"type": "Property", "value": {"a": 1}}, {"value": {"a": 1}}),
        ({"type": "Property", "value": {"object": "x"}}, {"value": {"object": "x"}}),
        ({"type": "Property", "value": POINT}, {"type": "Property", "value": POINT}),
        ({"type": "GeoProperty", "value": POINT}, POINT),
        (
            {"type": "GeoProperty", "value": POINT, "datasetId": "urn:d"},
            {"value": POINT, "datasetId": "urn:d"},
        ),
        ({"type": "Relationship", "object": "urn:x:2"}, {"object": "urn:x:2"}),
        ({"type": "VocabProperty", "vocab": "x"}, {"vocab": "x"}),
        ({"type": "JsonProperty", "json": [1]}, {"json": [1]}),
        ({"type": "ListRelationship", "objectList": [{"object": "urn:x:2"}]}, {"objectList": ["urn:x:2"]}),
        ({"value": 1, "sub": {"type": "Property", "value": 2}}, {"value": 1, "sub": 2}),
        (
            [{"value": 1}, {"value": 2, "datasetId": "urn:d"}],
            [{"value": 1}, {"value": 2, "datasetId": "urn:d"}],
        ),
    ],
)
def test_the_concise_form(raw: Json, concise: Json) -> None:
    assert shown(raw, "concise") == concise


@pytest.mark.clause("4.5.4")
@pytest.mark.parametrize(
    ("raw", "simple"),
    [
        ({"type": "Property", "value": {"a": 1}, "unitCode": "CEL"}, {"a": 1}),
        (POINT, POINT),
        ({"object": ["urn:x:2", "urn:x:3"]}, ["urn:x:2", "urn:x:3"]),
        ({"languageMap": {"en": "x"}}, {"languageMap": {"en": "x"}}),
        ({"vocab": "x"}, {"vocab": "x"}),
        ({"json": {"a": 1}}, {"json": {"a": 1}}),
        ({"valueList": [1, 2]}, [1, 2]),
        ({"objectList": ["urn:x:2"]}, ["urn:x:2"]),
        ([{"value": 1}, {"value": 2, "datasetId": "urn:d"}], {"dataset": {"@none": 1, "urn:d": 2}}),
        ({"value": 2, "datasetId": "urn:d"}, {"dataset": {"urn:d": 2}}),
        (
            [{"vocab": "x"}, {"json": [], "datasetId": "urn:d"}],
            {"dataset": {"@none": {"vocab": "x"}, "urn:d": {"json": []}}},
        ),
    ],
)
def test_the_simplified_form(raw: Json, simple: Json) -> None:
    assert shown(raw, "simplified") == simple


@pytest.mark.clause("6.3.11")
def test_system_attributes_are_shown_when_asked_for_at_every_level() -> None:
    entity = created(heat={"value": 1, "sub": 2})
    again = update.append("urn:x:1", parse.fragment({"cold": 0}, ParseOptions(CORE)))(entity, LATER).after
    assert again is not None
    doc: dict[str, Any] = view(again, CORE, View(sys_attrs=True))
    assert (doc["createdAt"], doc["modifiedAt"]) == (NOW + "Z", LATER + "Z")
    assert doc["heat"]["createdAt"] == doc["heat"]["sub"]["modifiedAt"] == NOW + "Z"
    assert doc["cold"]["createdAt"] == LATER + "Z"
    text = str(view(again, CORE, NORMALIZED))
    assert "createdAt" not in text
    assert "modifiedAt" not in text


@pytest.mark.clause("4.5.4")
def test_the_attributes_asked_for_and_no_others() -> None:
    entity = created(heat=1, cold=2, scope="/a")
    doc = view(entity, CORE, View("simplified", pick=of_attrs((V + "cold", V + "absent"))))
    assert doc == {"id": "urn:x:1", "type": "T", "scope": "/a", "cold": 2}


@pytest.mark.clause("5.5.7")
def test_names_are_those_of_the_reader() -> None:
    entity = stored({"id": "urn:x:1", "type": ["Room", "T"], "heat": {"vocab": "heat", "ex:sub": 1}})
    doc = view(entity, CORE, NORMALIZED)
    iri = "https://ex.org/t/heat"
    assert doc["type"] == ["https://ex.org/Room", "T"]
    assert doc[iri]["vocab"] == iri
    assert doc[iri]["https://ex.org/sub"]["value"] == 1
    assert "heat" not in doc
