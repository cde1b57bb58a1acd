"""What a merge makes of an entity (5.5.12, 5.6.17)."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Entity, Instance, Json
from broker.core.entity import parse, update
from broker.core.entity.instances import created_at, modified_at
from broker.core.entity.merge import merge, patch
from broker.core.entity.sent import Form
from broker.core.entity.view import View, view
from broker.core.errors import BadRequestData, ResourceNotFound
from tests.core.documents import CORE, EX, LATER, NOW, NULL, POINT, V, created, entities, few, json_values

ID = "urn:x:1"
T0, T1 = "2026-07-01T12:00:00Z", "2026-07-02T12:00:00Z"
POLYGON = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}

# An attribute of each kind, with what goes beside its value.
STANDING: dict[str, Json] = {
    "t": {
        "value": 21.5,
        "unitCode": "CEL",
        "observedAt": T0,
        "expiresAt": "2999-01-01T00:00:00Z",
        "acc": {"value": 1, "unitCode": "P1"},
    },
    "obj": {"value": {"a": 1, "deep": {"b": 2, "c": 3}}, "observedAt": T0},
    "when": {"value": {"@type": "DateTime", "@value": T0}},
    "loc": {"type": "GeoProperty", "value": POINT, "observedAt": T0},
    "r": {"object": "urn:x:9", "objectType": "T", "observedAt": T0},
    "words": {"languageMap": {"en": "heat", "fr": "chaleur"}, "observedAt": T0},
    "vocab_": {"vocab": "heat", "observedAt": T0},
    "raw": {"json": {"a": 1, "b": [None]}, "observedAt": T0},
    "list": {"valueList": [1, {"a": 2}], "unitCode": "CEL", "observedAt": T0},
    "links": {"objectList": ["urn:x:9", "urn:x:8"], "observedAt": T0},
    "many": [{"value": 1, "unitCode": "CEL"}, {"value": 2, "unitCode": "FAR", "datasetId": "urn:d:1"}],
}
PLAIN = [name for name in STANDING if name not in ("many", "when")]


USUAL = Form(CORE)


def merged(
    entity: Entity, sent: dict[str, Json], form: Form = USUAL, observed_at: str | None = None
) -> Entity:
    after = merge(ID, patch(sent, form), observed_at)(entity, LATER).after
    assert after is not None
    return after


def shown(entity: Entity, form: str = "normalized") -> dict[str, Any]:
    return view(entity, CORE, View(form))


def expected(**changed: Json) -> dict[str, Any]:
    """The standing entity, as it is shown, with other attributes."""
    return shown(created(**{**STANDING, **changed}))


def standing(name: str, **members: Json) -> dict[str, Json]:
    """A standing attribute with these members, without those that are None."""
    found: Any = STANDING[name]
    return {key: one for key, one in {**found, **members}.items() if one is not None}


@pytest.mark.clause("5.5.12")
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("type_", [False, True])
def test_a_fragment_without_the_value_keeps_value_and_kind(name: str, type_: bool) -> None:
    before = created(**STANDING)
    sent: dict[str, Json] = {"observedAt": T1, "sub": {"value": 5}}
    if type_:
        sent["type"] = before["attrs"][V + name][0]["type"]
    assert shown(merged(before, {name: sent})) == expected(**{name: standing(name, observedAt=T1, sub=5)})


@pytest.mark.clause("5.5.12")
@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("member", ["observedAt", "unitCode", "acc", "expiresAt", "absent"])
def test_a_null_takes_the_member_and_leaves_the_value(name: str, member: str) -> None:
    before = created(**STANDING)
    unfit = member == "unitCode" and name not in ("t", "obj", "list")
    if unfit:
        with pytest.raises(BadRequestData, match=rf"^{name}\.unitCode: not allowed in a "):
            merged(before, {name: {"unitCode": "CEL"}})
    else:
        once = merged(before, {name: {member: NULL}})
        assert shown(once) == expected(**{name: standing(name, **{member: None})})
        assert shown(merged(once, {name: {member: NULL}})) == shown(once)


@pytest.mark.clause("5.5.12")
@pytest.mark.parametrize(
    ("sent", "after"),
    [
        # Members beside the value.
        ({"t": {"unitCode": "FAR"}}, {"t": standing("t", unitCode="FAR")}),
        ({"t": {"type": "Property", "unitCode": "FAR"}}, {"t": standing("t", unitCode="FAR")}),
        ({"t": {"expiresAt": "2998-01-01T00:00:00Z"}}, {}),
        ({"t": {"sub": {"value": 5}, "observedAt": T1}}, {"t": standing("t", observedAt=T1, sub=5)}),
        ({"t": {"acc": 7}}, {"t": standing("t", acc={"value": 7, "unitCode": "P1"})}),
        ({"t": {"sub": {"value": 5}}}, {"t": standing("t", sub=5)}),
        ({"t": {"sub": [{"value": 5, "datasetId": "urn:d:1"}]}},
         {"t": standing("t", sub={"value": 5, "datasetId": "urn:d:1"})}),
        ({"t": {"createdAt": T1}}, {}),
        ({"t": {}}, {}),
        # One level down.
        ({"t": {"value": 2, "acc": {"unitCode": "P2"}}},
         {"t": standing("t", value=2, acc={"value": 1, "unitCode": "P2"})}),
        ({"t": {"acc": {"unitCode": NULL}}}, {"t": standing("t", acc=1)}),
        # Bare values and objects.
        ({"t": 5}, {"t": standing("t", value=5)}),
        ({"t": [5, "x"]}, {"t": standing("t", value=[5, "x"])}),
        ({"t": {"b": 2}}, {"t": standing("t", value={"b": 2})}),
        ({"t": {"@type": "DateTime", "@value": T1}},
         {"t": standing("t", value={"@type": "DateTime", "@value": T1})}),
        ({"obj": {"b": 2}}, {"obj": standing("obj", value={"a": 1, "b": 2, "deep": {"b": 2, "c": 3}})}),
        ({"obj": {"deep": {"b": NULL}}}, {"obj": standing("obj", value={"a": 1, "deep": {"c": 3}})}),
        ({"obj": {"a": NULL}}, {"obj": standing("obj", value={"deep": {"b": 2, "c": 3}})}),
        ({"obj": {"a": {"value": 2}}},
         {"obj": standing("obj", value={"a": {"value": 2}, "deep": {"b": 2, "c": 3}})}),
        ({"obj": {"value": {"a": NULL}, "observedAt": NULL}},
         {"obj": {"value": {"deep": {"b": 2, "c": 3}}}}),
        ({"obj": {"@type": "DateTime", "@value": T1}},
         {"obj": standing("obj", value={"@type": "DateTime", "@value": T1})}),
        ({"when": {"value": {"@value": T1}}}, {"when": {"value": {"@type": "DateTime", "@value": T1}}}),
        ({"when": {"value": {"a": 1}}}, {"when": {"value": {"a": 1}}}),
        # Values of other kinds keep their kind.
        ({"loc": {"value": {"coordinates": [5, 6]}}},
         {"loc": standing("loc", value={"type": "Point", "coordinates": [5, 6]})}),
        ({"loc": {"coordinates": [5, 6]}},
         {"loc": standing("loc", value={"type": "Point", "coordinates": [5, 6]})}),
        ({"loc": POLYGON}, {"loc": standing("loc", value=POLYGON)}),
        ({"t": POINT}, {"t": standing("t", type="Property", value=POINT)}),
        ({"t": {"value": POINT}}, {"t": standing("t", type="Property", value=POINT)}),
        ({"r": "urn:x:2"}, {"r": standing("r", object="urn:x:2")}),
        ({"r": ["urn:x:2", "urn:x:3"]}, {"r": standing("r", object=["urn:x:2", "urn:x:3"])}),
        ({"vocab_": "cold"}, {"vocab_": standing("vocab_", vocab="cold")}),
        ({"words": {"fr": NULL}}, {"words": standing("words", languageMap={"en": "heat"})}),
        ({"words": {"de": "W"}},
         {"words": standing("words", languageMap={"en": "heat", "fr": "chaleur", "de": "W"})}),
        ({"words": {"languageMap": {"fr": "feu"}}},
         {"words": standing("words", languageMap={"en": "heat", "fr": "feu"})}),
        ({"raw": {"a": 2}}, {"raw": standing("raw", json={"a": 2, "b": [None]})}),
        ({"raw": {"json": {"b": NULL}}}, {"raw": standing("raw", json={"a": 1})}),
        ({"list": [7]}, {"list": standing("list", valueList=[7])}),
        ({"links": ["urn:x:7"]}, {"links": standing("links", objectList=["urn:x:7"])}),
        # Another kind, if it is named or told by the member that holds its value.
        ({"t": {"object": "urn:x:2"}}, {"t": {"object": "urn:x:2"}}),
        ({"r": {"type": "Property", "value": 5}}, {"r": {"value": 5}}),
        # Several instances.
        ({"many": {"unitCode": "KEL", "datasetId": "urn:d:1"}},
         {"many": [{"value": 1, "unitCode": "CEL"},
                   {"value": 2, "unitCode": "KEL", "datasetId": "urn:d:1"}]}),
        ({"many": [{"unitCode": NULL, "datasetId": "@none"}, {"unitCode": NULL, "datasetId": "urn:d:1"}]},
         {"many": [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]}),
        ({"many": {"value": 3, "datasetId": "urn:d:2"}},
         {"many": [*STANDING["many"], {"value": 3, "datasetId": "urn:d:2"}]}),
        ({"many": NULL}, {"many": {"value": 2, "unitCode": "FAR", "datasetId": "urn:d:1"}}),
        ({"many": {"value": NULL, "datasetId": "urn:d:1"}}, {"many": {"value": 1, "unitCode": "CEL"}}),
        # What is new.
        ({"new": {"a": {"value": 1}}}, {"new": {"value": {"a": {"value": 1}}}}),
        ({"new": {"value": {"a": NULL, "b": 1}}}, {"new": {"value": {"b": 1}}}),
        ({"new": {"value": 1, "sub": NULL, "unitCode": NULL}}, {"new": 1}),
        ({"new": NULL}, {}),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_fragment_makes_of_what_stands(sent: dict[str, Json], after: dict[str, Json]) -> None:
    before = created(**STANDING)
    untouched = copy.deepcopy(before)
    once = merged(before, sent)
    assert shown(once) == expected(**after)
    assert shown(merged(once, sent)) == shown(once)
    assert before == untouched
    for name in STANDING.keys() - sent.keys():
        assert once["attrs"][V + name] is before["attrs"][V + name]


@pytest.mark.clause("5.5.4")
@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"t": {"observedAt": "banana"}}, "t.observedAt: expected a date and time"),
        ({"t": {"acc": {"observedAt": "banana"}}}, "t.acc.observedAt: expected a date and time"),
        ({"t": {"unitCode": 5}}, "t.unitCode: expected a string"),
        ({"t": {"objectType": "T"}}, "t.objectType: not allowed in a Property"),
        ({"t": {"previousValue": 5}}, "t.previousValue: not allowed in a Property"),
        ({"t": {"type": "Relationship", "observedAt": T1}}, "t.object: expected, since t becomes"),
        ({"t": {"type": "Thing", "value": 5}}, "t.type: expected one of"),
        ({"t": {"datasetId": NULL}}, "t.datasetId: expected a URI"),
        ({"t": {"datasetId": "urn:d:9", "observedAt": T1}}, "t.value: expected beside datasetId, observedAt"),
        ({"t": {"value": 5, "a-b": {"value": 1}}}, "'t.a-b': expected a name"),
        ({"t": {"value": [{"a": NULL}]}}, "t.value[0].a: an NGSI-LD Null"),
        ({"t": {"value": {"@context": {}}}}, "t.value.@context: not allowed"),
        ({"t": None}, "t.value: expected a value, not null"),
        ({"new": {"observedAt": T1}}, "new.value: expected beside observedAt"),
        ({"new": {"type": "Property", "unitCode": "CEL"}}, "new.value: expected, since new becomes a Prop"),
        (
            {"loc": {"value": {"type": "Polygon"}}},
            "loc.value.coordinates: expected the coordinates of a Poly",
        ),
        ({"loc": {"value": {"coordinates": NULL}}}, "loc.value.coordinates: expected the coordinates"),
        ({"loc": {"value": 5}}, "loc.value: expected a GeoJSON geometry"),
        ({"loc": 5}, "loc.value: expected a GeoJSON geometry"),
        ({"r": "x"}, "r.object: expected a URI"),
        ({"r": {"a": 1}}, "r.object: expected a URI"),
        ({"words": "feu"}, "words.languageMap: expected an object"),
        ({"list": 5}, "list.valueList: expected an array"),
        ({"many": [{"value": 1}, {"unitCode": "CEL"}]}, "many: expected instances of distinct datasetIds"),
        ({"location": 5}, "location: expected a GeoProperty"),
    ],
    ids=str,
)
def test_what_would_come_of_it_has_to_be_right(sent: dict[str, Json], said: str) -> None:
    before = created(**STANDING)
    with pytest.raises(BadRequestData) as refused:
        merged(before, sent)
    assert refused.value.detail.startswith(said)
    assert before == created(**STANDING)


SIMPLE = Form(CORE, simplified=True)


@pytest.mark.clause("5.6.17")
@pytest.mark.parametrize(
    ("sent", "after"),
    [
        ({"t": {"observedAt": T1}}, {"t": standing("t", value={"observedAt": T1})}),
        ({"t": {"type": "Thing", "a": 1}}, {"t": standing("t", value={"type": "Thing", "a": 1})}),
        ({"r": "urn:x:2"}, {"r": standing("r", object="urn:x:2")}),
        ({"words": {"languageMap": {"fr": "feu"}}},
         {"words": standing("words", languageMap={"en": "heat", "fr": "feu"})}),
        ({"words": {"fr": "feu"}}, {"words": standing("words", languageMap={"en": "heat", "fr": "feu"})}),
        ({"raw": {"json": {"a": 2}}}, {"raw": standing("raw", json={"a": 2, "b": [None]})}),
        ({"vocab_": {"vocab": "cold"}}, {"vocab_": standing("vocab_", vocab="cold")}),
        ({"vocab_": "cold"}, {"vocab_": standing("vocab_", vocab="cold")}),
        ({"loc": POLYGON}, {"loc": standing("loc", value=POLYGON)}),
        ({"many": {"dataset": {"@none": 7, "urn:d:1": NULL, "urn:d:2": 8}}},
         {"many": [{"value": 7, "unitCode": "CEL"}, {"value": 8, "datasetId": "urn:d:2"}]}),
        ({"obj": {"dataset": {"urn:d:2": 8}}},
         {"obj": [STANDING["obj"], {"value": 8, "datasetId": "urn:d:2"}]}),
        ({"obj": {"dataset": {"a": 8}}},
         {"obj": standing("obj", value={"a": 1, "deep": {"b": 2, "c": 3}, "dataset": {"a": 8}})}),
        ({"new": {"value": 1}}, {"new": {"value": {"value": 1}}}),
        ({"new": {"type": "Thing"}}, {"new": {"type": "Property", "value": {"type": "Thing"}}}),
        ({"new": {"vocab": "cold"}}, {"new": {"vocab": "cold"}}),
        ({"new": {"languageMap": {"fr": "feu"}}}, {"new": {"languageMap": {"fr": "feu"}}}),
        ({"new": POINT}, {"new": POINT}),
        ({"new": {"@type": "@json", "@value": None}}, {"new": {"value": {"@type": "@json", "@value": None}}}),
        ({"t": NULL, "many": NULL}, {"t": [], "many": STANDING["many"][1]}),
    ],
    ids=str,
)  # fmt: skip
def test_bare_values_keep_the_kind(sent: dict[str, Json], after: dict[str, Json]) -> None:
    once = merged(created(**STANDING), sent, SIMPLE)
    wanted = expected(**{name: one for name, one in after.items() if one != []})
    for name, one in after.items():
        if one == []:
            del wanted[name]
    assert shown(once) == wanted
    assert shown(merged(once, sent, SIMPLE)) == shown(once)


@pytest.mark.clause("5.6.17")
@pytest.mark.parametrize(
    "sent", [{"r": 5}, {"r": {"json": {}}}, {"loc": "x"}, {"words": 5}, {"raw": 5}], ids=str
)
def test_bare_values_of_another_kind_are_refused(sent: dict[str, Json]) -> None:
    with pytest.raises(BadRequestData):
        merged(created(**STANDING), sent, SIMPLE)


@pytest.mark.clause("5.6.17")
@pytest.mark.parametrize("simplified", [False, True])
@pytest.mark.parametrize("words", ["feu", ["feu", "flamme"]])
def test_a_text_is_of_the_language_of_the_request(simplified: bool, words: Json) -> None:
    form = Form(CORE, simplified, "fr")
    after = merged(created(**STANDING), {"words": words, "t": "x", "new": words}, form)
    wanted = standing("words", languageMap={"en": "heat", "fr": words})
    assert shown(after) == expected(words=wanted, t=standing("t", value="x"), new=words)
    assert V + "words" not in merged(after, {"words": NULL}, form)["attrs"]


@pytest.mark.clause("5.6.17")
def test_a_common_observed_at_is_for_what_was_observed() -> None:
    before = created(a={"value": 1, "observedAt": T0}, b={"value": 1, "observedAt": T0}, c=1)
    sent = {"a": {"unitCode": "CEL"}, "b": {"value": 2, "observedAt": T0}, "c": 2}
    after = merged(before, sent, observed_at=T1.removesuffix("Z"))
    assert shown(after, "concise") | {"id": "", "type": ""} == {
        "id": "",
        "type": "",
        "a": {"value": 1, "unitCode": "CEL", "observedAt": T1},
        "b": {"value": 2, "observedAt": T0},
        "c": 2,
    }


@pytest.mark.clause("5.6.17")
def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(ResourceNotFound):
        merge(ID, patch({"t": 1}, Form(CORE)))(None, LATER)


@pytest.mark.clause("5.5.12")
def test_times_tell_what_was_merged_and_what_is_new() -> None:
    before = created(**STANDING)
    after = merged(before, {"t": {"sub": {"value": 1}}, "new": 1, "r": {"value": 1}})
    (was,), (t,), (new,), (r,) = before["attrs"][V + "t"], *(after["attrs"][V + n] for n in ("t", "new", "r"))
    assert (t["modifiedAt"], t["attrs"][V + "sub"][0]["createdAt"], new["createdAt"]) == (LATER,) * 3
    assert t["attrs"][V + "acc"] is was["attrs"][V + "acc"]
    assert (created_at(t, NOW), created_at(r, NOW), modified_at(r, NOW)) == (NOW, NOW, LATER)


# Properties.


def stored(doc: dict[str, Json]) -> Entity:
    after = update.create(parse.entity({**doc, "id": ID}, EX))(None, NOW).after
    assert after is not None
    return after


def said(entity: Entity) -> Any:
    """What an entity says, without the times of writing."""

    def plain(one: Any) -> Any:
        if isinstance(one, dict):
            return {name: plain(v) for name, v in one.items() if name not in ("createdAt", "modifiedAt")}
        return [plain(v) for v in one] if isinstance(one, list) else one

    return plain({**entity, "attrs": {iri: _sorted(many) for iri, many in entity["attrs"].items()}})


def _sorted(instances: list[Instance]) -> list[Instance]:
    return sorted(instances, key=lambda one: one.get("datasetId", ""))


def sent_back(entity: Entity, doc: dict[str, Json], form: str) -> Entity:
    after = merge(ID, patch(doc, Form(EX, form == "simplified")))(entity, LATER).after
    assert after is not None
    return after


FORMATS = st.sampled_from(["normalized", "concise", "simplified"])


@few
@given(entities(), FORMATS, st.booleans())
def test_what_a_get_showed_changes_nothing_when_merged(
    doc: dict[str, Json], form: str, sys_attrs: bool
) -> None:
    entity = stored(doc)
    back = view(entity, EX, View(form, sys_attrs=sys_attrs))
    assert said(sent_back(entity, back, form)) == said(entity)


@few
@given(json_values(4).filter(lambda value: value is not None), FORMATS)
def test_any_value_shown_changes_nothing_when_merged(value: Json, form: str) -> None:
    entity = created(heat={"type": "Property", "value": value}, raw={"json": [value]})
    after = merge(ID, patch(view(entity, CORE, View(form)), Form(CORE, form == "simplified")))(entity, LATER)
    assert after.after is not None
    assert said(after.after) == said(entity)


@few
@given(entities(), st.data())
def test_a_fragment_without_a_member_leaves_it_alone(doc: dict[str, Json], data: st.DataObject) -> None:
    """Each instance is sent with some of its members only, all of which are new."""
    entity = stored(doc)
    back = view(entity, EX, View(data.draw(st.sampled_from(["normalized", "concise"]))))
    fragment: dict[str, Json] = {}
    for name in back.keys() - {"id", "type", "scope"}:
        instances = back[name] if isinstance(back[name], list) else [back[name]]
        parts = [
            {k: v for k, v in one.items() if k == "datasetId" or data.draw(st.booleans())}
            for one in instances
            if isinstance(one, dict) and one.get("type") != "Point"
        ]
        if parts:
            fragment[name] = [{**one, "observedAt": T1} for one in parts]
    after = sent_back(entity, fragment, "normalized")
    for iri, many in after["attrs"].items():
        was = {one.get("datasetId"): one for one in entity["attrs"][iri]}
        for one in many:
            assert said_but_observed(one) == said_but_observed(was[one.get("datasetId")])


def said_but_observed(instance: Instance) -> Any:
    return said({"attrs": {"": [{k: v for k, v in instance.items() if k != "observedAt"}]}})


@few
@given(entities(), entities(), st.data())
def test_a_merge_twice_is_as_a_merge_once(
    doc: dict[str, Json], other: dict[str, Json], data: st.DataObject
) -> None:
    """Whatever a client sends: what another entity shows, or any JSON."""
    entity, form = stored(doc), data.draw(FORMATS)
    fragment = view(stored(other), EX, View(form))
    del fragment["id"]
    for name in fragment.keys() - {"type", "scope", "location"}:
        if data.draw(st.booleans()):
            fragment[name] = data.draw(wild())
    try:
        once = sent_back(entity, fragment, form)
    except BadRequestData:
        return
    assert said(sent_back(once, fragment, form)) == said(once)


def wild() -> st.SearchStrategy[Json]:
    """Attributes in any form, with Nulls at all depths, in names that the entities have."""
    leaf = st.sampled_from([NULL, 5, "x", [1], T1, {}, [NULL]])
    names = st.sampled_from(["heat", "a1", "name", "value", "observedAt", "unitCode", "languageMap", "en"])
    return st.recursive(leaf, lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6)


@pytest.mark.clause("5.6.20")
@pytest.mark.parametrize("raw", [{"type": "Property", "value": None}, {"object": 5}, {"languageMap": "text"}])
def test_a_value_that_is_none_is_told_of_before_an_entity_that_is_none(raw: Json) -> None:
    """As the suite has it (057_03_02); what hangs on the entity is not."""
    with pytest.raises(BadRequestData, match="a\\."):
        merge("urn:x:1", patch({"a": raw}, Form(EX)))(None, LATER)
    for fragment in ({"unitCode": "CEL"}, {"value": 1, "b": {"unitCode": "CEL"}}, 5):
        with pytest.raises(ResourceNotFound):
            merge("urn:x:1", patch({"a": fragment}, Form(EX)))(None, LATER)
