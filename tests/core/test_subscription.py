"""Subscriptions: what clients send, validated, expanded, updated and shown."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.jsonld.context import Context
from broker.core.lang.show import show
from broker.core.lang.terms import Literal, Term
from broker.core.notification import subscriber
from broker.core.subscription import Subscription, compiled_q, read, selected_types, shown_body, updated
from broker.core.subscription_body import encoded
from broker.core.trigger import trigger
from tests.core.documents import CONTEXTS, CORE, EX, LATER, NOW, NULL, V, few, json_values
from tests.core.lang import some

HEAT, ROOM = "https://ex.org/t/heat", "https://ex.org/Room"
ENDPOINT = {"uri": "http://receiver:9/x"}
NEAR: dict[str, Any] = {"georel": "near;maxDistance==10", "geometry": "Point", "coordinates": [1, 2]}
FULL: dict[str, Any] = {
    "id": "urn:s:1",
    "type": "Subscription",
    "subscriptionName": "rooms",
    "description": "é",
    "entities": [
        {"type": "Room", "idPattern": "^urn:"},
        {"type": "(Room;T)|ex:U", "id": ["urn:x:1", "urn:x:2"]},
    ],
    "watchedAttributes": ["heat"],
    "q": 'heat>20|heat.cold=="x"',
    "geoQ": {**NEAR, "geoproperty": "heat"},
    "scopeQ": "/a/+|/b/#",
    "expandValues": "heat, cold",
    "jsonKeys": "heat",
    "throttling": 5,
    "expiresAt": "2030-01-01T00:00:00.5Z",
    "isActive": True,
    "jsonldContext": "http://contexts/one",
    "notification": {
        "attributes": ["heat", "cold"],
        "format": "concise",
        "sysAttrs": True,
        "endpoint": {
            "uri": "http://receiver:9/x",
            "accept": "application/ld+json",
            "timeout": 500,
            "receiverInfo": [{"key": "X-One", "value": "1 2"}],
        },
    },
}


def small(**members: Json) -> dict[str, Any]:
    return {
        "type": "Subscription",
        "entities": [{"type": "T"}],
        "notification": {"endpoint": ENDPOINT},
        **members,
    }


def of(**members: Json) -> Subscription:
    return read(small(**members), EX, "urn:s:new", NOW)


@pytest.mark.clause("5.2.12")
def test_everything_that_a_client_says_is_kept() -> None:
    subscription = read(FULL, EX, "urn:s:new", NOW)
    assert subscription.id == "urn:s:1"
    assert subscription.body.watched_attributes == [HEAT]
    assert subscription.body.notification.attributes == [HEAT, V + "cold"]
    assert shown_body(subscription, EX) == FULL
    assert shown_body(subscription, CORE)["watchedAttributes"] == [HEAT]


@pytest.mark.clause("5.8.1")
def test_what_a_client_does_not_say() -> None:
    subscription = of()
    assert (subscription.id, subscription.created_at, subscription.modified_at) == ("urn:s:new", NOW, NOW)
    assert shown_body(subscription, EX) == {**small(), "id": "urn:s:new"}


@pytest.mark.clause("5.2.12")
def test_names_of_types_and_queries_are_remembered_by_their_iris() -> None:
    subscription = read(FULL, EX, "urn:s:new", NOW)
    assert subscription.names["q"]["heat"] == HEAT
    assert subscription.body.entities is not None
    assert selected_types(subscription, subscription.body.entities[1]) == {ROOM, V + "T", "https://ex.org/U"}
    anything = of(entities=[{"type": "*"}])
    assert anything.body.entities is not None
    assert selected_types(anything, anything.body.entities[0]) == {None}


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "Sub"}, {"type": None}, {"id": "x"}, {"entities": []}, {"entities": {}}, {"entities": [{}]},
        {"entities": [{"id": "urn:x:1"}]}, {"entities": [{"type": ""}]}, {"entities": [{"type": "a b"}]},
        {"entities": [{"type": "T", "id": "x"}]}, {"entities": [{"type": "T", "idPattern": "("}]},
        {"entities": [{"type": "T", "other": 1}]}, {"watchedAttributes": []}, {"watchedAttributes": "heat"},
        {"watchedAttributes": ["a-b"]}, {"q": ""}, {"q": "heat>"}, {"q": 5}, {"throttling": 0},
        {"throttling": -1}, {"throttling": "5"}, {"throttling": True}, {"expiresAt": "tomorrow"},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"isActive": "true"}, {"isActive": 1}, {"jsonldContext": "x"},
        {"jsonldContext": "urn:foo:ctx"}, {"jsonldContext": "http:///x"}, {"unknown": 1},
        {"notification": None}, {"notification": {}}, {"notification": {"endpoint": {}}},
        {"notification": {"endpoint": {"uri": "x"}}},
        {"notification": {"endpoint": {"uri": "mailto:a@b"}}}, {"notification": {"endpoint": {"uri": "http://"}}},
        {"notification": {"endpoint": {**ENDPOINT, "accept": "text/plain"}}},
        {"notification": {"endpoint": {**ENDPOINT, "timeout": 0}}},
        {"notification": {"endpoint": {**ENDPOINT, "receiverInfo": [{"key": "a b", "value": "x"}]}}},
        {"notification": {"endpoint": {**ENDPOINT, "receiverInfo": [{"key": "a", "value": "x\r\nb: c"}]}}},
        {"notification": {"endpoint": {**ENDPOINT, "receiverInfo": [{"key": "a", "value": 5}]}}},
        {"notification": {"endpoint": {**ENDPOINT, "receiverInfo": [{"key": "Host", "value": "a"}]}}},
        {"notification": {"endpoint": ENDPOINT, "attributes": []}},
        {"notification": {"endpoint": ENDPOINT, "format": "xml"}},
        {"notification": {"endpoint": ENDPOINT, "format": "keyValues", "showChanges": True}},
        {"notification": {"endpoint": ENDPOINT, "format": "simplified", "showChanges": True}},
        {"notification": {"endpoint": ENDPOINT, "showChanges": "true"}},
        {"notification": {"endpoint": ENDPOINT, "pick": []}},
        {"notification": {"endpoint": ENDPOINT, "omit": "a"}},
        {"notification": {"endpoint": ENDPOINT, "pick": ["id"], "attributes": ["heat"]}},
        {"notification": {"endpoint": ENDPOINT, "omit": ["id"], "attributes": ["heat"]}},
        {"notification": {"endpoint": ENDPOINT, "attributes": ["type"]}},
        {"notification": {"endpoint": ENDPOINT, "pick": ["id", "heat"], "omit": ["heat"]}},
        {"notification": {"endpoint": ENDPOINT, "pick": ["heat{"]}},
        {"notification": {"endpoint": ENDPOINT, "pick": ["heat{cold}"]}},
        {"notification": {"endpoint": ENDPOINT, "pick": ["heat{a{b}}"], "join": "flat", "joinLevel": 1}},
        {"notification": {"endpoint": ENDPOINT, "join": "deep"}},
        {"notification": {"endpoint": ENDPOINT, "join": "flat", "joinLevel": 0}},
        {"geoQ": {}}, {"geoQ": {**NEAR, "georel": "nearby"}}, {"geoQ": {**NEAR, "other": 1}},
        {"geoQ": {**NEAR, "coordinates": [1, 2, "x"]}}, {"expandValues": "a b"}, {"jsonKeys": ""},
        {"scopeQ": ""}, {"scopeQ": "a b"},
        {"lang": "!"}, {"lang": ""}, {"datasetId": []}, {"datasetId": ["x"]}, {"datasetId": "urn:d:1"},
        {"notificationTrigger": []}, {"notificationTrigger": ["entityChanged"]},
        {"notificationTrigger": "entityCreated"}, {"csf": "(("}, {"localOnly": "true"}, {"splitEntities": 1},
    ],
    ids=str,
)  # fmt: skip
def test_members_that_are_wrong(wrong: dict[str, Json]) -> None:
    with pytest.raises(BadRequestData):
        of(**wrong)


def endpoint(**members: Json) -> dict[str, Any]:
    return {"notification": {"endpoint": {**ENDPOINT, **members}}}


@pytest.mark.clause("5.2.15")
@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        *((endpoint(uri=uri), "notification.endpoint.uri") for uri in (
            "http://h:99999/", "http://h:0/", "http://h:x/", "http://[::1/x", "http://[::g]/x", "http://a..b/",
            f"http://{'a' * 64}.org/", "http://:80/", "http://h/\x01", "http://h/\x85", "http://h/a b",
            "http://h/a\nb", "mqtt://h:99999/t", "mqtt://[::1/t", "mqtt://h/a\tb",
        )),
        (endpoint(receiverInfo=[{"key": "A", "value": "1"}, {"key": "B", "value": "x\x01"}]),
         "notification.endpoint.receiverInfo.1.value"),
        (endpoint(notifierInfo=[{"key": "A", "value": "\x7f"}]),
         "notification.endpoint.notifierInfo.0.value"),
        *(({"timeInterval": seconds}, "timeInterval") for seconds in (1e-9, 0.09, 1e13, 1e300, 10**18)),
        *(({"throttling": seconds}, "throttling") for seconds in (1e13, 1e300)),
        ({"entities": [{"type": "T"}] * 501}, "entities"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_what_can_never_be_served_is_refused_and_the_member_named(
    wrong: dict[str, Json], member: str
) -> None:
    with pytest.raises(BadRequestData) as raised:
        of(**wrong)
    assert raised.value.detail.startswith(member + ": "), raised.value.detail
    standing = of(throttling=5) if "timeInterval" not in wrong else of(timeInterval=5)
    with pytest.raises(BadRequestData):
        updated(standing, wrong, EX, LATER)


@pytest.mark.clause("5.2.15")
@pytest.mark.parametrize(
    "right",
    [
        *(endpoint(uri=uri) for uri in (
            "http://h:65535/", "http://[::1]:80/x", "http://1.2.3.4", "https://a.b.", "http://h:/x?a=|#y",
            "http://u:p@h/", "http://é.de/ü", "mqtt://u:p@h/a/b", "mqtts://[::1]:8883/t",
            f"http://{'a' * 63}.org/",
        )),
        endpoint(receiverInfo=[{"key": "A", "value": "\t é"}]),
        {"timeInterval": 0.1}, {"timeInterval": 10**9}, {"throttling": 1e-9}, {"throttling": 10**9},
        {"entities": [{"type": "T"}] * 500},
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_what_can_be_served_is_taken(right: dict[str, Any]) -> None:
    shown = shown_body(of(**right), EX)
    assert {name: shown[name] for name in right} == right


@pytest.mark.clause("5.2.12")
def test_a_subscription_is_to_entities_or_to_attributes() -> None:
    neither = {k: v for k, v in small().items() if k != "entities"}
    with pytest.raises(BadRequestData):
        read(neither, EX, "urn:s:new", NOW)
    assert read({**neither, "watchedAttributes": ["heat"]}, EX, "urn:s:new", NOW).body.entities is None


@pytest.mark.parametrize("doc", [[], None, 5, "x", {}])
def test_what_is_no_subscription(doc: Json) -> None:
    with pytest.raises(BadRequestData):
        read(doc, EX, "urn:s:new", NOW)


@few
@given(json_values())
def test_whatever_a_client_sends_is_read_or_refused(value: Json) -> None:
    for name in FULL:
        with suppress(BadRequestData, TooComplexQuery):
            read({**FULL, name: value}, EX, "urn:s:new", NOW)
            updated(of(), {name: value}, EX, LATER)


def test_a_temporal_query_is_of_no_use_here() -> None:
    with pytest.raises(BadRequestData, match="temporalQ"):
        of(temporalQ={"timerel": "before", "timeAt": "2026-01-01T00:00:00Z"})


@pytest.mark.clause("5.2.12")
def test_what_only_the_broker_tells_is_ignored() -> None:
    doc = small(status="expired", createdAt="x", modifiedAt="y")
    doc["notification"] = {**doc["notification"], "timesSent": 9, "status": "failed"}
    before = copy.deepcopy(doc)
    assert read(doc, EX, "urn:s:new", NOW) == of()
    assert doc == before


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize(
    ("members", "now", "status"),
    [
        ({}, NOW, "active"),
        ({"isActive": True}, NOW, "active"),
        ({"isActive": False}, NOW, "paused"),
        ({"expiresAt": "2026-07-02T00:00:00Z"}, "2026-07-01T23:59:59.999999", "active"),
        ({"expiresAt": "2026-07-02T00:00:00Z"}, "2026-07-02T00:00:00.000000", "expired"),
        ({"expiresAt": "2026-07-02T00:00:00,5Z", "isActive": False}, "2026-07-02T00:00:00.500000", "expired"),
    ],
)
def test_the_status(members: dict[str, Json], now: str, status: str) -> None:
    assert of(**members).status(now) == status


@pytest.mark.clause("5.8.2")
def test_an_update_replaces_the_members_it_has() -> None:
    old = read(FULL, EX, "urn:s:new", NOW)
    params = {"format": "simplified", "endpoint": ENDPOINT}
    new = updated(old, {"description": "new", "notification": params}, CORE, LATER)
    expected = copy.deepcopy(FULL) | {"description": "new", "notification": params}
    assert shown_body(new, EX) == expected
    assert (new.created_at, new.modified_at, new.id) == (NOW, LATER, old.id)
    assert shown_body(old, EX) == FULL


@pytest.mark.clause("5.8.2")
@pytest.mark.parametrize("null", [None, NULL])
def test_an_update_removes_by_null(null: Json) -> None:
    old = read(FULL, EX, "urn:s:new", NOW)
    new = updated(old, {"q": null, "throttling": null, "description": null}, EX, LATER)
    assert not shown_body(new, EX).keys() & {"q", "throttling", "description"}
    for needed in ("notification", "type"):
        with pytest.raises(BadRequestData):
            updated(old, {needed: null}, EX, LATER)
    with pytest.raises(BadRequestData):
        updated(old, {"notification": {"endpoint": null}}, EX, LATER)


@pytest.mark.clause("5.8.2")
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        {"id": "urn:s:2"},
        {"type": "Other"},
        {"q": "("},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"entities": None, "watchedAttributes": None},
        {"notification": {"format": "concise"}},
    ],
    ids=str,
)
def test_updates_that_are_wrong(wrong: Json) -> None:
    with pytest.raises(BadRequestData):
        updated(read(FULL, EX, "urn:s:new", NOW), wrong, EX, LATER)


@pytest.mark.clause("5.8.2")
def test_an_update_reads_its_names_in_its_own_context_and_leaves_the_others() -> None:
    old = of(watchedAttributes=["heat"], entities=[{"type": "Room"}])
    new = updated(old, {"q": "cold>1", "watchedAttributes": ["heat", "cold"]}, CORE, LATER)
    assert new.body.watched_attributes == [V + "heat", V + "cold"]
    assert [*new.names["entities"].values()] == [ROOM]
    assert new.names["q"]["cold"] == V + "cold"


@pytest.mark.clause("5.8.2")
def test_an_expired_subscription_revives_with_a_future_expiry_and_not_otherwise() -> None:
    later = "2026-08-01T00:00:00.000000"
    old = of(expiresAt="2026-07-02T00:00:00Z")
    assert updated(old, {"isActive": True}, EX, later).status(later) == "expired"
    assert updated(old, {"description": "x"}, EX, later).status(later) == "expired"
    assert updated(old, {"expiresAt": "2026-09-01T00:00:00Z"}, EX, later).status(later) == "active"
    with pytest.raises(BadRequestData):
        updated(old, {"expiresAt": "2026-07-31T00:00:00Z"}, EX, later)


@pytest.mark.clause("5.8.2")
def test_a_new_expiry_alone_revives_what_was_paused_before_it_expired() -> None:
    later, renewed = "2026-08-01T00:00:00.000000", {"expiresAt": "2026-09-01T00:00:00Z"}
    old = of(expiresAt="2026-07-02T00:00:00Z", isActive=False)
    assert updated(old, renewed, EX, later).status(later) == "active"
    assert updated(old, {**renewed, "isActive": False}, EX, later).status(later) == "paused"
    assert updated(old, renewed, EX, LATER).status(LATER) == "paused", "it had not expired"


@pytest.mark.clause("5.8.2")
def test_a_new_text_is_read_in_the_new_context_even_where_it_names_the_same() -> None:
    old = of(q="heat>1")
    assert updated(old, {"q": "heat>2"}, CORE, LATER).names["q"] == {"heat": V + "heat"}
    assert updated(old, {"description": "x"}, CORE, LATER).names["q"] == {"heat": HEAT}


def test_names_that_no_member_can_have_are_ignored_and_others_refused() -> None:
    assert of(__context="http://x/") == of()
    with pytest.raises(BadRequestData, match="notificationTriggers"):
        of(notificationTriggers=["entityCreated"])


@pytest.mark.clause("5.2.12")
def test_local_ones_need_neither_entities_nor_attributes() -> None:
    doc = {"type": "Subscription", "localOnly": True, "notification": {"endpoint": ENDPOINT}}
    assert read(doc, EX, "urn:s:1", NOW).body.entities is None


@pytest.mark.clause("4.21")
def test_projections_are_kept_by_their_iris_and_shown_in_the_names_of_the_reader() -> None:
    params: Json = {
        "endpoint": ENDPOINT,
        "pick": ["id", "heat{cold,type}"],
        "omit": ["scope"],
        "join": "inline",
    }
    one = of(notification=params, lang="fr, en;q=0.5", datasetId=["@none", "urn:d:1"])
    assert shown_body(one, EX)["notification"] == params
    assert shown_body(one, CORE)["notification"]["pick"] == ["id", HEAT + "{cold,type}"]
    assert shown_body(updated(one, {"description": "x"}, CORE, LATER), EX)["notification"] == params


@pytest.mark.parametrize("value", [5, 0.5])
def test_numbers_come_back_as_they_were_sent(value: float) -> None:
    for name in ("throttling", "timeInterval"):
        assert json.dumps(shown_body(of(**{name: value}), EX)[name]) == json.dumps(value)


@pytest.mark.clause("5.2.12")
def test_queries_are_shown_in_the_names_of_the_reader() -> None:
    one = of(q="heat>1;kind==Room,T", csf="heat==1", expandValues="kind")
    shown = shown_body(one, CORE)
    assert shown["q"] == f'<{HEAT}>>1;kind=="{ROOM}","T"'
    assert shown["csf"] == f"<{HEAT}>==1"
    assert (shown_body(one, EX)["q"], shown_body(one, EX)["csf"]) == (
        "heat>1;kind==Room,T",
        "heat==1",
    )


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize(
    ("sent", "meant"),
    [('name=="50%25"', "50%"), ('name=="%2541"', "%41"), ("name==%2250%%22", "50%"), ('name=="a%b"', "a%b")],
)
def test_percent_signs_mean_the_same_however_often_they_are_read(sent: str, meant: str) -> None:
    one = of(q=sent)
    for context in (EX, CORE, EX):
        one = updated(one, shown_body(one, context), context, LATER)
        q = compiled_q(one)
        assert isinstance(q, Term)
        assert q.value == Literal("text", meant)


@pytest.mark.clause("5.8.2")
def test_names_in_json_keys_are_of_the_context_that_they_came_with() -> None:
    old = of(q="heat==a;cold==a", expandValues="heat,cold")
    new = updated(old, {"jsonKeys": "heat"}, CORE, LATER)
    assert compiled_q(new) == compiled_q(old), "heat is another attribute there"
    assert compiled_q(updated(old, {"jsonKeys": "heat"}, EX, LATER)) != compiled_q(old)


@st.composite
def _subscriptions(draw: st.DrawFn) -> Subscription:
    """One that names things in all members that hold names, and the context that it was made with."""
    context = draw(st.sampled_from(CONTEXTS))
    attribute = st.sampled_from([*some.NAMES, HEAT, V + "cold", V + "kind"])
    compacted = attribute.map(context.compact)
    names = st.lists(compacted, min_size=1, max_size=3)
    types = st.sampled_from([*some.TYPES, ROOM]).map(context.compact)
    listed = st.lists(attribute.filter(lambda iri: "," not in iri), min_size=1, max_size=2)
    tree = some.query(draw(st.randoms(use_true_random=False)))
    doc = draw(
        st.fixed_dictionaries(
            {"entities": types.map(lambda one: [{"type": f"({one};T)|Room"}, {"type": "*"}])},
            optional={
                "watchedAttributes": names,
                "geoQ": compacted.map(lambda name: {**NEAR, "geoproperty": name}),
                "q": st.just(encoded(show(tree, context.compact))),
                "csf": st.just(encoded(show(tree, context.compact))),
                "expandValues": listed.map(lambda iris: ", ".join(map(context.compact, iris))),
                "jsonKeys": listed.map(lambda iris: ",".join(map(context.compact, iris))),
                "notification": names.map(lambda found: {"endpoint": ENDPOINT, "attributes": found})
                | names.map(lambda found: {"endpoint": ENDPOINT, "pick": ["id", *found]}),
            },
        )
    )
    return read({**small(), **doc}, context, "urn:s:new", NOW)


@pytest.mark.clause("5.8.2")
@given(_subscriptions(), st.lists(st.sampled_from(CONTEXTS), min_size=1, max_size=3))
def test_what_is_read_can_be_sent_back_and_nothing_changes(one: Subscription, readers: list[Context]) -> None:
    before = (trigger(one), subscriber(one))
    for reader in readers:
        one = updated(one, shown_body(one, reader), reader, LATER)
        assert (trigger(one), subscriber(one)) == before
