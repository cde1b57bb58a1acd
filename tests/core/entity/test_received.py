"""Entities as sources send them: with system attributes (4.8), in any form that can be read."""

import pytest
from hypothesis import given

from broker.core import Json
from broker.core.entity import parse
from broker.core.entity.instances import created_at, modified_at
from broker.core.entity.received import received
from broker.core.entity.view import View, view
from broker.core.errors import BadRequestData
from tests.core.documents import CORE, EX, KINDS, NOW, NULL, POINT, V, created, entities, few

pytestmark = pytest.mark.clause("4.5.5")

THEN, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00.5Z"
SMALL = {"id": "urn:x:1", "type": "T"}


@few
@given(entities())
def test_what_another_broker_shows_is_what_it_has(doc: dict[str, Json]) -> None:
    """But for times that its instances take from the entity: they are told there."""
    has = {**parse.entity(doc, EX), "createdAt": THEN[:-1], "modifiedAt": LATER[:-1]}
    got = received(view(has, EX, View(sys_attrs=True)), EX)
    assert {name: got[name] for name in has if name != "attrs"} == {
        name: has[name] for name in has if name != "attrs"
    }
    assert view(got, EX, View(sys_attrs=True)) == view(has, EX, View(sys_attrs=True))


def test_times_are_kept_at_each_level() -> None:
    times = {"createdAt": THEN, "modifiedAt": LATER}
    sub = {"type": "Property", "value": 2, "modifiedAt": LATER}
    a = {"type": "Property", "value": 1, **times, "observedAt": THEN, "expiresAt": LATER, "sub": sub}
    got = received({**SMALL, **times, "expiresAt": LATER, "scope": "/A", "a": a}, CORE)
    shown = {name: time[:-1] for name, time in times.items()}
    assert got == {
        "id": "urn:x:1", "type": [V + "T"], "scope": ["/A"], "expiresAt": LATER[:-1], **shown,
        "attrs": {V + "a": [{
            "type": "Property", "value": 1, **shown, "observedAt": THEN[:-1], "expiresAt": LATER[:-1],
            "attrs": {V + "sub": [{"type": "Property", "value": 2, "modifiedAt": LATER[:-1]}]},
        }]},
    }  # fmt: skip


def test_a_source_without_times_has_none() -> None:
    got = received({**SMALL, "a": {"value": 1}}, CORE)
    assert got == {"id": "urn:x:1", "type": [V + "T"], "attrs": {V + "a": [{"type": "Property", "value": 1}]}}


def test_times_that_are_none_are_left_out() -> None:
    got = received({**SMALL, "createdAt": 5, "a": {"value": 1, "modifiedAt": "yesterday"}}, CORE)
    assert "createdAt" not in got
    assert got["attrs"][V + "a"] == [{"type": "Property", "value": 1}]


@pytest.mark.clause("4.5.7")
def test_tombstones() -> None:
    got = received({**SMALL, "deletedAt": LATER, "a": {"value": NULL, "deletedAt": LATER}}, CORE)
    assert got["deletedAt"] == LATER[:-1]
    assert got["attrs"][V + "a"] == [{"type": "Property", "value": NULL, "deletedAt": LATER[:-1]}]


def test_other_forms() -> None:
    normalized = created(NOW, **{f"a{number}": kind for number, kind in enumerate(KINDS)})
    for form in ("normalized", "concise"):
        got = received(view(normalized, CORE, View(form)), CORE)
        assert got["attrs"] == {
            iri: [{k: v for k, v in one.items() if k not in ("createdAt", "modifiedAt")} for one in many]
            for iri, many in normalized["attrs"].items()
        }
    simplified = received(
        {**SMALL, "a": 5, "b": {"x": 1}, "c": POINT, "d": {"languageMap": {"en": "x"}}}, CORE
    )
    kinds = {iri: many[0]["type"] for iri, many in simplified["attrs"].items()}
    assert kinds == {
        V + "a": "Property", V + "b": "Property", V + "c": "GeoProperty", V + "d": "LanguageProperty",
    }  # fmt: skip


@pytest.mark.parametrize(
    "doc",
    [None, 5, "x", [], {}, {"id": "urn:x:1"}, {"type": "T"}, {"id": "x", "type": "T"},
     {**SMALL, "a": {"type": "Odd", "value": 1}}, {**SMALL, "a": {"type": "Property"}}, {**SMALL, "a": None},
     {**SMALL, "location": 5}, {**SMALL, "scope": 5}, {**SMALL, "a": {"value": 1, "observedAt": "x"}},
     {**SMALL, "a": NULL}, {**SMALL, "a": {"value": NULL}}, {**SMALL, "scope": NULL},
     {**SMALL, "a": {"value": 1, "observedAt": NULL}}],
)  # fmt: skip
def test_what_is_no_entity(doc: Json) -> None:
    with pytest.raises(BadRequestData):
        received(doc, CORE)


def test_clients_still_cannot_set_times() -> None:
    parsed = parse.entity({**SMALL, "createdAt": THEN, "a": {"value": 1, "createdAt": THEN}}, CORE)
    assert parsed == {
        "id": "urn:x:1", "type": [V + "T"], "attrs": {V + "a": [{"type": "Property", "value": 1}]},
    }  # fmt: skip
    assert created_at(parsed["attrs"][V + "a"][0], "then") == modified_at(parsed["attrs"][V + "a"][0], "then")
