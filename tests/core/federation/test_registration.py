"""Registrations: what clients send, validated, expanded, updated and shown."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.federation.operations import GROUPS, NAMES, expanded
from broker.core.federation.registration import read, shown_body, updated
from broker.core.federation.registration_body import MOST
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import NGSI_LD
from tests.core.documents import CONTEXTS, CORE, EX, LATER, NOW, NULL, POINT, V, few, json_values
from tests.core.federation.registrations import info, of, small

HEAT = "https://ex.org/t/heat"
FULL: dict[str, Any] = {
    "id": "urn:r:1",
    "type": "ContextSourceRegistration",
    "registrationName": "water",
    "description": "é",
    "information": [
        {
            "entities": [{"type": "Room", "idPattern": "^urn:"}, {"type": ["T", "ex:U"], "id": "urn:x:1"}],
            "propertyNames": ["heat"],
            "relationshipNames": ["cold"],
        },
        {"propertyNames": ["ex:p"]},
    ],
    "endpoint": "https://source.example:9/root",
    "contextSourceInfo": [{"key": "X-Token", "value": "a b"}, {"key": "accept", "value": "application/json"}],
    "contextSourceAlias": "source~t",
    "tenant": "t:1",
    "datasetId": ["urn:d:1", "@none"],
    "scope": ["/a/b", "/c"],
    "location": POINT,
    "observationSpace": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]},
    "operationSpace": POINT,
    "observationInterval": {"startAt": "2020-01-01T00:00:00Z"},
    "managementInterval": {"startAt": "2020-01-01T00:00:00Z", "endAt": "2020-01-01T00:00:00Z"},
    "mode": "redirect",
    "operations": ["updateOps", "queryTemporal"],
    "management": {"cacheDuration": "PT5M", "cooldown": 1, "timeout": 2.5, "localOnly": True},
    "localOnly": False,
    "refreshRate": "P1D",
    "expiresAt": "2030-01-01T00:00:00.5Z",
    "Room": 5,
    "label": {"a": [1, None]},
    "kind": {"type": "Property", "value": "pump", "heat": {"type": "Property", "value": 1}},
}


@pytest.mark.clause("5.2.9")
def test_everything_that_a_client_says_is_kept() -> None:
    registration = read(FULL, EX, "urn:r:new", NOW)
    assert registration.id == "urn:r:1"
    assert shown_body(registration, EX) == FULL
    in_core = shown_body(registration, CORE)
    assert in_core["information"][0]["propertyNames"] == [HEAT]
    assert in_core["information"][0]["entities"][1]["type"] == ["T", "https://ex.org/U"]
    assert in_core["kind"][HEAT] == {"type": "Property", "value": 1}


@pytest.mark.clause("5.9.2")
def test_what_a_client_does_not_say() -> None:
    registration = of()
    assert (registration.id, registration.created_at, registration.modified_at) == ("urn:r:new", NOW, NOW)
    assert shown_body(registration, EX) == {**small(), "id": "urn:r:new"}
    assert registration.mode == "inclusive"
    times = {"createdAt": NOW + "Z", "modifiedAt": NOW + "Z"}
    assert shown_body(registration, EX, sys_attrs=True) == {**small(), "id": "urn:r:new", **times}


@pytest.mark.clause("5.2.9")
@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        ({"type": "Sub"}, "type"),
        ({"type": None}, "type"),
        ({"id": "x"}, "id"),
        ({"information": []}, "information"),
        ({"information": None}, "information"),
        ({"information": [{}]}, "information.0"),
        ({"information": [{"entities": []}]}, "information.0.entities"),
        ({"information": [{"propertyNames": []}]}, "information.0.propertyNames"),
        ({"information": [{"propertyNames": ["type"]}]}, "information.0.propertyNames.0"),
        ({"information": [{"relationshipNames": ["a b"]}]}, "information.0.relationshipNames.0"),
        ({"information": [{"names": ["a"]}]}, "information.0.names"),
        ({"information": [{"entities": [{}]}]}, "information.0.entities.0"),
        ({"information": [info(type=[])]}, "information.0.entities.0.type"),
        ({"information": [info(type="a b")]}, "information.0.entities.0.type"),
        ({"information": [info(type="T", id="x")]}, "information.0.entities.0.id"),
        ({"information": [info(type="T", idPattern="(")]}, "information.0.entities.0.idPattern"),
        ({"information": [info(type="T")] * (MOST + 1)}, "information"),
        ({"information": [{"entities": [{"type": "T"}] * (MOST + 1)}]}, "information"),
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "x"}, "endpoint"),
        ({"endpoint": "mqtt://x/t"}, "endpoint"),
        ({"endpoint": "http://h:99999"}, "endpoint"),
        ({"endpoint": "http://[::1/x"}, "endpoint"),
        ({"registrationName": ""}, "registrationName"),
        ({"description": 1}, "description"),
        ({"contextSourceInfo": {"key": "a", "value": "b"}}, "contextSourceInfo"),
        ({"contextSourceInfo": [{"key": "a"}]}, "contextSourceInfo.0.value"),
        ({"contextSourceInfo": [{"key": "a", "value": 1}]}, "contextSourceInfo.0.value"),
        ({"contextSourceInfo": [{"key": "a", "value": "x\r\nb: c"}]}, "contextSourceInfo.0.value"),
        ({"contextSourceInfo": [{"key": "accept", "value": "text/plain"}]}, "contextSourceInfo"),
        ({"contextSourceInfo": [{"key": "jsonldContext", "value": "x"}]}, "contextSourceInfo"),
        ({"contextSourceInfo": [{"key": "ngsildConformance", "value": "new"}]}, "contextSourceInfo"),
        ({"contextSourceAlias": "a b"}, "contextSourceAlias"),
        ({"contextSourceAlias": ""}, "contextSourceAlias"),
        ({"tenant": ""}, "tenant"),
        ({"datasetId": []}, "datasetId"),
        ({"datasetId": ["x"]}, "datasetId.0"),
        ({"scope": "/a b"}, "scope"),
        ({"scope": []}, "scope"),
        ({"location": {}}, "location"),
        ({"location": {"type": "Point", "coordinates": [1]}}, "location"),
        ({"operationSpace": {"type": "GeometryCollection", "geometries": []}}, "operationSpace"),
        ({"observationInterval": {}}, "observationInterval.startAt"),
        ({"managementInterval": {"startAt": "2020-01-01"}}, "managementInterval.startAt"),
        (
            {"managementInterval": {"startAt": "2020-01-02T00:00:00Z", "endAt": "2020-01-01T00:00:00Z"}},
            "managementInterval",
        ),
        ({"mode": "both"}, "mode"),
        ({"operations": []}, "operations"),
        ({"operations": "updateOps"}, "operations"),
        ({"operations": ["doIt"]}, "operations.0"),
        ({"management": "yes"}, "management"),
        ({"management": {"cacheDuration": "bogus"}}, "management.cacheDuration"),
        ({"management": {"cooldown": 0}}, "management.cooldown"),
        ({"management": {"timeout": -5}}, "management.timeout"),
        ({"management": {"localOnly": "yes"}}, "management.localOnly"),
        ({"refreshRate": "often"}, "refreshRate"),
        ({"expiresAt": "tomorrow"}, "expiresAt"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"a-b": 1}, "'a-b'"),
        ({"label": None}, "label"),
        ({"label": NULL}, "label"),
        ({"tenant": NULL}, "tenant"),
    ],
    ids=str,
)
def test_members_that_are_wrong(wrong: dict[str, Json], member: str) -> None:
    with pytest.raises(BadRequestData) as refused:
        read({**small(), **wrong}, EX, "urn:r:new", NOW)
    assert refused.value.detail.startswith(member)


@pytest.mark.clause("4.3.6.3")
@pytest.mark.parametrize(
    "information",
    [
        info(id="urn:x:1", type="T"),
        info("heat", type="T"),
        info("heat", type="T", id="urn:x:1", idPattern=".*"),
        {"propertyNames": ["heat"]},
    ],
    ids=str,
)
def test_an_exclusive_registration_is_of_attributes_of_entities_with_ids(information: Json) -> None:
    right = info("heat", id="urn:x:1")
    assert of(right, mode="exclusive").mode == "exclusive"
    with pytest.raises(BadRequestData, match=r"information\.1.*exclusive"):
        of(right, information, mode="exclusive")
    assert of(information, mode="redirect").mode == "redirect"


@pytest.mark.clause("5.9.2")
def test_an_auxiliary_registration_is_for_retrieval() -> None:
    of(mode="auxiliary")
    of(mode="auxiliary", operations=["retrieveOps", "queryEntity"])
    with pytest.raises(BadRequestData, match=r"operations: .*auxiliary"):
        of(mode="auxiliary", operations=["retrieveOps", "updateEntity"])


@pytest.mark.clause("4.20")
def test_operations_and_their_groups() -> None:
    assert len(NAMES) == 43
    assert (
        expanded(None)
        == GROUPS["federationOps"]
        == GROUPS["associationOps"]
        | {"retrieveEntityMap", "updateEntityMap", "deleteEntityMap", "createEntityMapQueryEntity"}
    )
    assert not expanded(None) & GROUPS["updateOps"]
    assert expanded(["updateOps", "queryTemporal"]) == GROUPS["updateOps"] | {"queryTemporal"}
    assert "queryBatch" not in GROUPS["redirectionOps"]
    assert all(names < NAMES for names in GROUPS.values())


@pytest.mark.clause("5.2.9")
def test_what_the_broker_tells_is_passed_over_when_it_comes_back() -> None:
    told = {"status": "ok", "timesSent": 1, "timesFailed": 0, "lastSuccess": "x", "lastFailure": 1}
    registration = of(**told, createdAt="x", modifiedAt="x")
    assert (registration.created_at, shown_body(registration, EX)) == (NOW, {**small(), "id": "urn:r:new"})


@pytest.mark.clause("5.9.3")
def test_an_update_replaces_members_and_nulls_remove_them() -> None:
    old = read(FULL, EX, "urn:r:new", NOW)
    fragment = {
        "registrationName": None,
        "tenant": NULL,
        "management": {"cooldown": 5, "timeout": None},
        "information": [{"propertyNames": ["cold"]}],
        "label": NULL,
        "Room": None,
        "kind": {"type": "Property", "value": "well", "datasetId": "urn:d:1"},
        "new": 1,
    }
    new = updated(old, fragment, CORE, LATER)
    left = {name: value for name, value in FULL.items() if name not in fragment}
    assert shown_body(new, CORE) == {
        **left,
        "management": {"cooldown": 5},
        "information": [{"propertyNames": ["cold"]}],
        "kind": [shown_body(old, CORE)["kind"], fragment["kind"]],
        "new": 1,
    } | {"https://ex.org/Room": 5}  # another name than that in the fragment
    assert (new.id, new.created_at, new.modified_at, new.context) == (old.id, NOW, LATER, old.context)
    assert shown_body(old, EX) == FULL


@pytest.mark.clause("5.9.3")
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        {"id": "urn:r:2"},
        {"type": "building"},
        {"information": None},
        {"endpoint": NULL},
        {"mode": "all"},
        {"mode": "exclusive"},
        {"mode": "auxiliary"},
        {"expiresAt": "2020-01-01T00:00:00Z"},
    ],
    ids=str,
)
def test_updates_that_are_wrong(wrong: Json) -> None:
    with pytest.raises(BadRequestData):
        updated(read(FULL, EX, "urn:r:new", NOW), wrong, EX, LATER)


@pytest.mark.clause("5.9.3")
def test_an_update_of_other_members_keeps_names_as_they_were() -> None:
    old = read(FULL, EX, "urn:r:new", NOW)
    new = updated(old, {"endpoint": "http://other:1"}, CONTEXTS[4], LATER)
    assert new.body.information == old.body.information
    assert updated(new, {"expiresAt": None}, EX, LATER).expires is None


@pytest.mark.clause("5.9.2")
def test_a_registration_expires() -> None:
    registration = of(expiresAt="2026-07-01T12:00:00.5Z")
    assert not registration.is_expired("2026-07-01T12:00:00.499999")
    assert registration.is_expired("2026-07-01T12:00:00.500000")
    assert not of().is_expired("9999-01-01T00:00:00")


@pytest.mark.clause("5.5.7")
def test_a_property_that_would_look_like_a_member_keeps_its_iri() -> None:
    registration = of(**{NGSI_LD + "mode": "own"})
    assert shown_body(registration, CORE)[NGSI_LD + "mode"] == "own"
    assert registration.mode == "inclusive"


names = st.sampled_from(["heat", "cold", "https://ex.org/p", "Room", V + "x"])
entities = st.fixed_dictionaries(
    {"type": names | st.lists(names, min_size=1, max_size=2)},
    optional={"id": st.sampled_from(["urn:x:1", "urn:x:2"]), "idPattern": st.just("^urn:")},
)
infos = st.fixed_dictionaries(
    {"entities": st.lists(entities, min_size=1, max_size=3)},
    optional={"propertyNames": st.lists(names, min_size=1, unique=True)},
)
documents = st.fixed_dictionaries(
    {
        "type": st.just("ContextSourceRegistration"),
        "endpoint": st.just("http://source:9"),
        "information": st.lists(infos, min_size=1, max_size=3),
    },
    optional={
        "own": json_values(),
        "heat": st.sampled_from(
            [{"type": "Relationship", "object": "urn:x:1"}, {"type": "VocabProperty", "vocab": "cold"}]
        ),
        "scope": st.sampled_from(["/a", ["/a", "b/c"]]),
        "mode": st.sampled_from(["inclusive", "redirect", "auxiliary"]),
        "location": st.just(POINT),
        "description": st.text(min_size=1),
    },
)


@pytest.mark.clause("5.10.1")
@few
@given(documents, st.sampled_from(CONTEXTS), st.sampled_from(CONTEXTS))
def test_what_is_shown_and_read_again_is_the_same(doc: dict[str, Json], one: Context, other: Context) -> None:
    try:
        registration = read(doc, one, "urn:r:1", NOW)
    except BadRequestData:  # values that no attribute has
        return
    before = copy.deepcopy(registration)
    again = read(shown_body(registration, other), other, "urn:r:2", NOW)
    assert again == replace(registration, context=other.source)
    assert registration == before
