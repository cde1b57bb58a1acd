"""What consumers of older versions of the specification are shown."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from broker.core import Entity, Json
from broker.core.entity import parse, update
from broker.core.entity.downgrade import CURRENT, Version, conformant
from broker.core.entity.view import View, view
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.temporal import SCOPE, Evolution, Window
from broker.core.temporal.evolution_view import TemporalView
from broker.core.temporal.evolution_view import view as temporal_view
from tests.core.documents import CORE, EX, NOW, POINT, V, created, entities, few

VERSIONS = [(1, minor) for minor in range(10)]


def shown(version: Version, /, format: str = "normalized", **attrs: Json) -> Any:
    """The attributes of an entity as an older version has them."""
    doc = view(created(**attrs), CORE, View(format, version=version))
    return {name: member for name, member in doc.items() if name not in ("id", "type")}


@pytest.mark.clause("6.3.6")
@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.0", (1, 0)),
        ("1.5", (1, 5)),
        ("1.9", (1, 9)),
        ("1.8.1", (1, 8)),
        ("1.10", CURRENT),
        ("2.0", CURRENT),
        ("0.9", (1, 0)),
        *(
            (text, None)
            for text in ("", "1", "1.", "1.x", "-1.5", "1.5.", "v1.5", "1.5 ", "1.99999", "\u0661.5")
        ),
    ],
)
def test_versions_are_major_and_minor(text: str, version: Version | None) -> None:
    assert conformant(text) == version


@pytest.mark.clause("4.3.6.8")
@pytest.mark.parametrize(
    ("introduced", "new", "old"),
    [
        (
            (1, 4),
            {"type": "LanguageProperty", "languageMap": {"en": "hot"}},
            {"type": "Property", "value": {"en": "hot"}},
        ),
        (
            (1, 8),
            {"type": "JsonProperty", "json": {"heat": [1]}},
            {"type": "Property", "value": {"heat": [1]}},
        ),
        (
            (1, 8),
            {"type": "VocabProperty", "vocab": ["Room", "other"]},
            {"type": "Property", "value": ["Room", "other"]},
        ),
        ((1, 8), {"type": "ListProperty", "valueList": [3, "x"]}, {"type": "Property", "value": [3, "x"]}),
        (
            (1, 8),
            {"type": "ListRelationship", "objectList": [{"object": "urn:x:2"}, {"object": "urn:x:1"}]},
            {"type": "Relationship", "object": ["urn:x:2", "urn:x:1"]},
        ),
    ],
)
def test_new_kinds_become_the_nearest_old_one(introduced: Version, new: Any, old: Any) -> None:
    entity = update.create(parse.entity({"id": "urn:x:1", "type": "T", "a": new, "b": 1}, EX))(
        None, NOW
    ).after
    assert entity is not None
    for version in VERSIONS:
        doc = view(entity, EX, View(version=version))
        assert doc["a"] == (old if version < introduced else new)
        assert doc["b"] == {"type": "Property", "value": 1}


@pytest.mark.clause("4.3.6.8")
@pytest.mark.parametrize(
    ("introduced", "member"),
    [
        ((1, 3), {"datasetId": "urn:d:1"}),
        ((1, 3), {"observedAt": "2026-07-01T12:00:00Z"}),
        ((1, 3), {"unitCode": "CEL"}),
        ((1, 9), {"valueType": "Real"}),
    ],
)
def test_new_members_are_left_out_at_every_level(introduced: Version, member: Any) -> None:
    one = {"type": "Property", "value": 1, **member}
    for version in VERSIONS:
        known = one if version >= introduced else {"type": "Property", "value": 1}
        assert shown(version, heat={**one, "deep": one}) == {"heat": {**known, "deep": known}}


@pytest.mark.clause("4.3.6.8")
def test_what_entities_got_later_is_left_out() -> None:
    entity = {**created(heat=1, scope="/a"), "expiresAt": "2036-07-01T12:00:00", "type": [V + "T", V + "U"]}
    for version in VERSIONS:
        doc = view(entity, CORE, View(sys_attrs=True, version=version))
        assert ("scope" in doc) == (version >= (1, 4))
        assert ("expiresAt" in doc) == (version >= (1, 9))
        assert doc["type"] == (["T", "U"] if version >= (1, 3) else "T")
        assert doc["createdAt"] == doc["heat"]["createdAt"] == NOW + "Z"


@pytest.mark.clause("4.3.6.8")
def test_of_several_instances_an_old_consumer_gets_the_default_one_or_else_the_first() -> None:
    def one(value: int, **dataset: str) -> dict[str, Json]:
        return {"type": "Property", "value": value, **dataset}

    both = [one(1, datasetId="urn:d:1"), one(2)]
    assert shown((1, 0), heat=both) == {"heat": one(2)}
    assert shown((1, 3), heat=both) == {"heat": both}
    assert shown((1, 0), heat=[one(1, datasetId="urn:d:1"), one(2, datasetId="urn:d:2")]) == {"heat": one(1)}


@pytest.mark.clause("4.3.6.8")
def test_every_format_follows() -> None:
    tongue = {"languageMap": {"en": "hot"}}
    assert shown((1, 3), "simplified", heat=tongue, place=POINT) == {"heat": {"en": "hot"}, "place": POINT}
    assert shown((1, 3), "concise", heat=tongue) == {"heat": {"value": {"en": "hot"}}}
    assert shown((1, 4), "simplified", heat=tongue) == {"heat": tongue}


def stored(doc: dict[str, Json]) -> Entity:
    after = update.create(parse.entity(doc, EX))(None, NOW).after
    assert after is not None
    return after


@few
@given(entities(), st.sampled_from(VERSIONS))
def test_what_is_shown_is_an_entity_that_needs_no_more_downgrading(
    doc: dict[str, Json], version: Version
) -> None:
    assume(b'"objectList":[]' not in orjson.dumps(doc))  # a Relationship to nothing has no older form
    entity = stored(doc)
    before = copy.deepcopy(entity)
    once = view(entity, EX, View(version=version))
    assert view(stored(once), EX, View(version=version)) == view(stored(once), EX, View()) == once
    assert entity == before


@few
@given(entities())
def test_the_current_version_changes_nothing(doc: dict[str, Json]) -> None:
    entity = stored(doc)
    assert view(entity, EX, View(version=CURRENT)) == view(entity, EX, View())


@pytest.mark.clause("4.15")
def test_the_language_filter_comes_first() -> None:
    heat = {"languageMap": {"en": "hot", "fr": "chaud"}}
    doc = view(created(heat=heat), CORE, View(languages=("fr",), version=(1, 3)))
    assert doc["heat"] == {"type": "Property", "value": "chaud", "lang": "fr"}


@pytest.mark.clause("4.5.5")
def test_the_datasets_asked_for_come_first() -> None:
    heat = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]
    doc = view(created(heat=heat), CORE, View(datasets=frozenset({"urn:d:1"}), version=(1, 0)))
    assert doc["heat"] == {"type": "Property", "value": 2}


@pytest.mark.clause("4.3.6.8")
def test_evolutions_keep_their_times_and_all_instances_of_one_dataset() -> None:
    def one(at: str, dataset: str | None = None) -> dict[str, Json]:
        named = {"datasetId": dataset} if dataset else {}
        return {
            "type": "VocabProperty",
            "vocab": V + "hot",
            "instanceId": "urn:i:1",
            "observedAt": at,
            **named,
        }

    t1, t2 = "2026-07-01T12:00:00", "2026-07-01T13:00:00"
    scopes = [{"type": "Property", "value": ["/a"], "instanceId": "urn:i:2", "modifiedAt": t1}]
    many = [one(t1), one(t1, "urn:d:1"), one(t2)]
    evolution = Evolution("urn:x:1", [V + "T", V + "U"], NOW, {V + "a": many, SCOPE: scopes}, emptied={})
    series = temporal_view(evolution, EX, TemporalView("temporalValues", window=Window(), version=(1, 0)))
    pairs = [["hot", t1 + "Z"], ["hot", t2 + "Z"]]
    assert series == {"id": "urn:x:1", "type": "T", "a": {"type": "Property", "values": pairs}}
    normalized = temporal_view(evolution, EX, TemporalView(version=(1, 3)))
    assert [instance.get("datasetId") for instance in normalized["a"]] == [None, "urn:d:1", None]
    assert normalized["type"] == ["T", "U"]
    assert normalized["a"][0] == {
        "type": "Property", "value": "hot", "instanceId": "urn:i:1", "observedAt": t1 + "Z"
    }  # fmt: skip
    assert NGSI_LD + "scope" not in normalized
    assert "scope" not in normalized


@pytest.mark.clause("4.3.6.8")
def test_what_an_evolution_could_not_hold_has_the_old_kind() -> None:
    evolution = Evolution("urn:x:1", [V + "T"], NOW, {V + "a": []}, emptied={V + "a": "ListRelationship"})
    shape = TemporalView("temporalValues", version=(1, 7))
    assert temporal_view(evolution, EX, shape)["a"] == {"type": "Relationship", "objects": []}
