"""The rules by which writes change an entity."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Entity, Instance, Json
from broker.core.entity import parse, update
from broker.core.entity.instances import created_at, modified_at
from broker.core.entity.update import Rule
from broker.core.entity.values import ParseOptions
from broker.core.errors import AlreadyExists, BadRequestData, ResourceNotFound
from tests.core.documents import CORE, KINDS, LATER, NOW, NULL, V, created, entities, few, fragment

ID = "urn:x:1"
TWO = [{"value": 1}, {"value": 2, "datasetId": "urn:d:1"}]


def done(rule: Rule, before: Entity | None, now: str = LATER) -> Entity:
    after = rule(before, now).after
    assert after is not None
    return after


def instances(entity: Entity, name: str = "heat") -> list[Instance]:
    found: list[Instance] = entity["attrs"].get(V + name, [])
    return found


def values(entity: Entity, name: str = "heat") -> dict[str | None, Json]:
    """The values of an attribute by datasetId."""
    return {one.get("datasetId"): one["value"] for one in instances(entity, name)}


def partial(**members: Json) -> Rule:
    """A partial update of the attribute `heat`."""
    return update.partial_update(
        ID, V + "heat", parse.partial("heat", members, ParseOptions(CORE, nulls=True))
    )


def new(**attrs: Json) -> Entity:
    """What a create or replace sends."""
    return parse.entity({"id": ID, "type": "T", **attrs}, CORE)


@pytest.mark.clause("5.6.1")
def test_create_stamps_every_level() -> None:
    entity = created(heat={"value": 1, "sub": {"value": 2}})
    assert (entity["createdAt"], entity["modifiedAt"]) == (NOW, NOW)
    (heat,) = instances(entity)
    assert (
        {created_at(one, NOW) for one in (heat, heat["attrs"][V + "sub"][0])}
        == {modified_at(heat, NOW)}
        == {NOW}
    )


@pytest.mark.clause("5.6.1")
def test_create_leaves_alone_what_exists() -> None:
    with pytest.raises(AlreadyExists):
        update.create(new())(created(), LATER)


@pytest.mark.clause("5.6.18")
def test_replace_keeps_nothing_but_creation() -> None:
    before = created(heat=TWO, cold=1, scope="/a")
    after = done(update.replace({**new(heat=3), "type": [V + "U"]}), before)
    assert (after["createdAt"], after["modifiedAt"]) == (NOW, LATER)
    assert after["type"] == [V + "U"]
    assert "scope" not in after
    assert values(after) == {None: 3}
    assert created_at(instances(after)[0], NOW) == NOW
    assert V + "cold" not in after["attrs"]


@pytest.mark.clause("5.6.8")
@pytest.mark.parametrize(("only_update", "left"), [(False, {"heat"}), (True, {"heat", "cold"})])
def test_upsert_creates_replaces_or_updates(only_update: bool, left: set[str]) -> None:
    rule = update.upsert(new(heat=3), update=only_update)
    made = rule(None, NOW)
    assert made.answer is True
    assert made.after == created(heat=3)
    there = rule(created(heat=1, cold=1), LATER)
    assert there.answer is False
    assert there.after is not None
    assert there.after["attrs"].keys() == {V + name for name in left}
    assert there.after["createdAt"] == created_at(instances(there.after)[0], NOW) == NOW


@pytest.mark.clause("5.6.3")
def test_append_overwrites_by_dataset_and_adds() -> None:
    before = created(heat=TWO)
    rule = update.append(ID, fragment(heat={"value": 9, "datasetId": "urn:d:1"}, cold=0))
    after = done(rule, before)
    assert values(after) == {None: 1, "urn:d:1": 9}
    assert instances(after)[0] is instances(before)[0]
    assert created_at(instances(after)[1], NOW) == NOW
    assert instances(after, "cold")[0]["createdAt"] == LATER


@pytest.mark.clause("5.6.3")
def test_append_with_no_overwrite_tells_what_was_there() -> None:
    before = created(heat=TWO)
    many = [{"value": 8}, {"value": 9, "datasetId": "urn:d:2"}]
    outcome = update.append(ID, fragment(heat=many, cold=0), overwrite=False)(before, LATER)
    assert outcome.after is not None
    assert values(outcome.after) == {None: 1, "urn:d:1": 2, "urn:d:2": 9}
    assert outcome.answer.updated == [V + "cold"]
    assert [name for name, _ in outcome.answer.not_updated] == [V + "heat"]


@pytest.mark.clause("5.6.3")
def test_append_with_no_overwrite_of_nothing_new_keeps_the_attributes_as_they_are() -> None:
    before = created(heat=1)
    outcome = update.append(ID, fragment(heat=2), overwrite=False)(before, LATER)
    assert outcome.after is not None
    assert outcome.after["attrs"][V + "heat"] is before["attrs"][V + "heat"]


@pytest.mark.clause("5.6.2")
def test_update_attrs_swaps_whole_instances_and_appends_missing_ones() -> None:
    before = created(heat={"value": 1, "unitCode": "CEL", "sub": 2}, kept=1)
    after = done(update.update_attrs(ID, fragment(heat=5, cold=0)), before)
    assert instances(after) == [{"type": "Property", "value": 5, "modifiedAt": LATER}]
    assert values(after, "cold") == {None: 0}
    assert after["attrs"][V + "kept"] is before["attrs"][V + "kept"]


@pytest.mark.clause("5.6.2")
def test_update_attrs_may_change_the_kind() -> None:
    after = done(update.update_attrs(ID, fragment(heat={"object": "urn:x:2"})), created(heat=1))
    assert instances(after)[0]["type"] == "Relationship"
    assert "value" not in instances(after)[0]


@pytest.mark.clause("5.5.8")
@pytest.mark.parametrize(
    ("raw", "left"),
    [
        (NULL, {"urn:d:1": 2}),
        ({"type": "Property", "value": NULL}, {"urn:d:1": 2}),
        ({"languageMap": {"@none": NULL}}, {"urn:d:1": 2}),
        ({"value": NULL, "datasetId": "urn:d:1"}, {None: 1}),
        ({"value": NULL, "datasetId": "urn:d:9"}, {None: 1, "urn:d:1": 2}),
        ([{"value": NULL}, {"value": NULL, "datasetId": "urn:d:1"}], {}),
        ([{"value": NULL}, {"value": 7, "datasetId": "urn:d:1"}], {"urn:d:1": 7}),
    ],
    ids=str,
)
def test_a_null_deletes_the_instance_it_names(raw: Json, left: dict[str | None, Json]) -> None:
    after = done(update.update_attrs(ID, fragment(heat=raw)), created(heat=TWO))
    assert values(after) == left
    assert (V + "heat" in after["attrs"]) is bool(left)


@pytest.mark.clause("5.5.8")
def test_a_null_for_what_is_not_there_leaves_no_trace() -> None:
    after = done(
        update.update_attrs(ID, fragment(cold=NULL, heat={"value": 2, "sub": NULL})), created(heat=1)
    )
    assert after["attrs"].keys() == {V + "heat"}
    assert "attrs" not in instances(after)[0]


@pytest.mark.clause("5.6.4")
def test_a_partial_update_overwrites_the_members_given_and_keeps_the_others() -> None:
    before = created(heat={"value": 1, "unitCode": "CEL", "a": 1, "b": 1}, cold=0)
    after = done(partial(value=2, a=2, c=3), before)
    (heat,) = instances(after)
    assert (heat["value"], heat["unitCode"]) == (2, "CEL")
    assert {name: subs[0]["value"] for name, subs in heat["attrs"].items()} == {
        V + "a": 2,
        V + "b": 1,
        V + "c": 3,
    }
    assert (created_at(heat, NOW), heat["modifiedAt"], after["modifiedAt"]) == (NOW, LATER, LATER)
    assert created_at(heat["attrs"][V + "a"][0], NOW) == NOW
    assert heat["attrs"][V + "b"] is instances(before)[0]["attrs"][V + "b"]
    assert after["attrs"][V + "cold"] is before["attrs"][V + "cold"]


@pytest.mark.clause("5.6.4")
def test_a_partial_update_is_of_one_dataset() -> None:
    before = created(heat=TWO)
    after = done(partial(value=9, datasetId="urn:d:1"), before)
    assert values(after) == {None: 1, "urn:d:1": 9}
    assert instances(after)[0] is instances(before)[0]
    with pytest.raises(ResourceNotFound):
        partial(value=9, datasetId="urn:d:2")(before, LATER)


@pytest.mark.clause("5.6.4")
@pytest.mark.parametrize("raw", KINDS, ids=lambda raw: str(raw["type"]))
def test_a_partial_update_cannot_change_the_kind(raw: dict[str, Json]) -> None:
    others = [other for other in KINDS if other["type"] != raw["type"]]
    for other in others:
        with pytest.raises(BadRequestData):
            partial(**other)(created(heat=raw), LATER)
    assert done(partial(observedAt="2026-07-01T12:00:00Z"), created(heat=raw))


@pytest.mark.clause("4.5.3")
@pytest.mark.parametrize("member", ["unitCode", "valueType"])
def test_a_partial_update_brings_no_member_of_another_kind(member: str) -> None:
    with pytest.raises(BadRequestData):
        partial(**{member: "x"})(created(heat={"object": "urn:x:2"}), LATER)


@pytest.mark.clause("5.5.8")
@pytest.mark.parametrize("member", ["unitCode", "observedAt", "valueType", "sub"])
def test_a_null_in_a_partial_update_deletes_the_member(member: str) -> None:
    full = {"unitCode": "CEL", "observedAt": "2026-07-01T12:00:00Z", "valueType": "x", "sub": 1}
    after = done(partial(**{member: NULL}), created(heat={"value": 1, **full}))
    rest = {name: raw for name, raw in full.items() if name != member}
    assert {**after, "modifiedAt": NOW} == {
        **created(heat={"value": 1, **rest}),
        "attrs": {V + "heat": [{**instances(created(heat={"value": 1, **rest}))[0], "modifiedAt": LATER}]},
    }


@pytest.mark.clause("5.6.4")
def test_a_null_value_in_a_partial_update_deletes_the_instance() -> None:
    assert values(done(partial(value=NULL), created(heat=TWO))) == {"urn:d:1": 2}
    assert V + "heat" not in done(partial(value=NULL), created(heat=1))["attrs"]


@pytest.mark.clause("5.6.5")
def test_delete_attr_takes_one_instance_or_all() -> None:
    before = created(heat=TWO, cold=0)
    assert values(done(update.delete_attr(ID, V + "heat"), before)) == {"urn:d:1": 2}
    assert values(done(update.delete_attr(ID, V + "heat", "urn:d:1"), before)) == {None: 1}
    after = done(update.delete_attr(ID, V + "heat", delete_all=True), before)
    assert after["attrs"] == {V + "cold": before["attrs"][V + "cold"]}


@pytest.mark.clause("5.6.5")
def test_delete_attr_needs_the_instance_it_names() -> None:
    before = created(heat={"value": 2, "datasetId": "urn:d:1"})
    wrong = [update.delete_attr(ID, V + "heat"), update.delete_attr(ID, V + "heat", "urn:d:2")]
    wrong += [update.delete_attr(ID, V + "cold", delete_all=True), update.delete_scope(ID)]
    for rule in wrong:
        with pytest.raises(ResourceNotFound):
            rule(before, LATER)


@pytest.mark.clause("5.6.6")
def test_delete() -> None:
    assert update.delete(ID)(created(), LATER).after is None


RULES: list[Callable[[], Rule]] = [
    lambda: update.replace(new(heat=1)),
    lambda: update.append(ID, fragment(heat=1)),
    lambda: update.append(ID, fragment(heat=1), overwrite=False),
    lambda: update.update_attrs(ID, fragment(heat=1)),
    lambda: partial(value=1),
    lambda: update.delete_attr(ID, V + "heat"),
    lambda: update.delete_attr(ID, V + "heat", delete_all=True),
    lambda: update.delete_scope(ID),
    lambda: update.delete(ID),
]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_not_there_is_not_found(rule: Callable[[], Rule]) -> None:
    with pytest.raises(ResourceNotFound):
        rule()(None, LATER)


@pytest.mark.clause("4.17")
def test_a_gate_hides_entities_of_other_types() -> None:
    rule = update.delete(ID)
    with pytest.raises(ResourceNotFound):
        update.only_if(lambda entity: False, rule)(created(), LATER)
    assert update.only_if(lambda entity: True, rule)(created(), LATER).after is None


@pytest.mark.clause("4.16")
@pytest.mark.parametrize("verb", [update.append, update.update_attrs])
def test_types_are_added_and_never_taken_away(verb: Callable[[str, Any], Rule]) -> None:
    before = created()
    after = done(verb(ID, fragment(type=["U", "T"])), before)
    assert after["type"] == [V + "T", V + "U"]
    assert done(verb(ID, fragment(type="T")), before)["type"] is before["type"]


@pytest.mark.clause("4.18")
@pytest.mark.parametrize(
    ("rule", "has", "gets"),
    [
        (lambda: update.append(ID, fragment(scope="/b")), None, ["/b"]),
        (lambda: update.append(ID, fragment(scope="/b")), "/a", ["/b"]),
        (lambda: update.append(ID, fragment(scope=["/a", "/b"]), overwrite=False), "/a", ["/a", "/b"]),
        (lambda: update.append(ID, fragment(heat=1)), "/a", ["/a"]),
        (lambda: update.update_attrs(ID, fragment(scope="/b")), "/a", ["/b"]),
        (lambda: update.update_attrs(ID, fragment(scope="/b")), None, None),
        (lambda: update.replace({**new(), "scope": ["/b"]}), "/a", ["/b"]),
        (lambda: update.replace(new()), "/a", None),
        (lambda: update.delete_scope(ID), "/a", None),
    ],
)
def test_scopes_differ_by_verb(rule: Callable[[], Rule], has: str | None, gets: list[str] | None) -> None:
    before = created() if has is None else created(scope=has)
    assert done(rule(), before).get("scope") == gets


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """Any rule on the entity, with whatever a client may send."""
    doc = {**draw(entities()), "id": ID, "type": "T"}
    part = parse.fragment({k: v for k, v in doc.items() if k != "id"}, ParseOptions(CORE, nulls=True))
    iri = draw(st.sampled_from([*part.attrs, V + "heat"]))
    found = part.attrs.get(iri, [{"type": "Property", "value": 1}])[0]
    dataset = draw(st.sampled_from([None, "urn:d:1"]))
    nulls = fragment(**{name: NULL for name in doc if name not in ("id", "type", "scope")})
    return draw(
        st.sampled_from(
            [
                update.replace(parse.entity(doc, CORE)),
                update.upsert(parse.entity(doc, CORE), update=True),
                update.append(ID, part),
                update.append(ID, part, overwrite=False),
                update.update_attrs(ID, part),
                update.update_attrs(ID, nulls),
                update.partial_update(ID, iri, found),
                update.delete_attr(ID, iri, dataset, delete_all=draw(st.booleans())),
                update.delete_scope(ID),
            ]
        )
    )


@few
@given(entities(), st.lists(rules(), max_size=4))
def test_a_chain_of_writes(doc: dict[str, Json], chain: list[Rule]) -> None:
    """No rule touches what it is given; creation survives; what a rule leaves alone is the same object."""
    entity = done(update.create(parse.entity({**doc, "id": ID}, CORE)), None, NOW)
    for rule in chain:
        before = copy.deepcopy(entity)
        try:
            after = done(rule, entity)
        except (ResourceNotFound, BadRequestData):
            assert entity == before
            continue
        assert entity == before
        assert after["createdAt"] == NOW
        assert done(rule, entity) == after
        _check_shares(entity, after)
        entity = after


def _check_shares(before: Entity, after: Entity) -> None:
    for iri, many in after["attrs"].items():
        assert many, f"{iri} has no instances"
        old = {one.get("datasetId"): one for one in before["attrs"].get(iri, ())}
        assert len({one.get("datasetId") for one in many}) == len(many)
        for one in many:
            was = old.get(one.get("datasetId"))
            assert one is was or modified_at(one, NOW) == LATER
            assert created_at(one, NOW) == (created_at(was, NOW) if was else LATER)
