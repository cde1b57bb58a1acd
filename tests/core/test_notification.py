"""Notifications as they are put on the wire (5.3.1, 6.3.8)."""

import copy
from typing import Any

import pytest

from broker.core import Json
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from broker.core.notification import Content, Rendering, notification, rendering, subscriber
from broker.core.subscription import read
from tests.core.documents import CORE, EX, LATER, NOW, created

ENTITY = created(heat={"value": 1, "unitCode": "CEL"}, cold={"object": "urn:x:2"})


def told(context: Context = CORE, endpoint: dict[str, Json] | None = None, **params: Json) -> Rendering:
    doc = {
        "type": "Subscription",
        "entities": [{"type": "T"}],
        "notification": {"endpoint": {"uri": "http://x/", **(endpoint or {})}, **params},
    }
    return rendering(subscriber(read(doc, CORE, "urn:s:1", NOW)), Content([ENTITY]), context)


def data(one: Rendering) -> dict[str, Any]:
    (entity,) = one.data
    return dict(entity)


@pytest.mark.clause("5.2.15")
@pytest.mark.parametrize(
    ("timeout", "seconds"), [(None, None), (500, 0.5), (1e-9, 0.01), (10**30, 60), (1e300, 60)]
)
def test_the_timeout_of_an_endpoint_is_kept_in_bounds(timeout: float | None, seconds: float | None) -> None:
    endpoint: dict[str, Json] = {"uri": "http://x/"} | ({} if timeout is None else {"timeout": timeout})
    doc = {"type": "Subscription", "watchedAttributes": ["a"], "notification": {"endpoint": endpoint}}
    assert subscriber(read(doc, CORE, "urn:s:1", NOW)).timeout == seconds


@pytest.mark.clause("5.3.1")
def test_a_notification() -> None:
    before = copy.deepcopy(ENTITY)
    one = told()
    doc = {"type": "Subscription", "entities": [{"type": "T"}], "notification": {"endpoint": ENDPOINT}}
    to = subscriber(read(doc, CORE, "urn:s:1", NOW))
    assert notification(to, one.data, "urn:n:1", LATER) == {
        "id": "urn:n:1",
        "type": "Notification",
        "subscriptionId": "urn:s:1",
        "notifiedAt": LATER + "Z",
        "data": one.data,
    }
    assert data(one) == {
        "id": "urn:x:1",
        "type": "T",
        "heat": {"type": "Property", "value": 1, "unitCode": "CEL"},
        "cold": {"type": "Relationship", "object": "urn:x:2"},
    }
    assert before == ENTITY


@pytest.mark.clause("5.3.1")
@pytest.mark.parametrize(
    ("format", "heat"),
    [
        ("normalized", {"type": "Property", "value": 1, "unitCode": "CEL"}),
        ("concise", {"value": 1, "unitCode": "CEL"}),
        ("simplified", 1),
        ("keyValues", 1),
    ],
)
def test_the_format(format: str, heat: Json) -> None:
    assert data(told(format=format))["heat"] == heat


@pytest.mark.clause("5.8.6")
def test_only_the_attributes_asked_for() -> None:
    assert data(told(attributes=["heat"])).keys() == {"id", "type", "heat"}
    assert data(told(attributes=["absent"])).keys() == {"id", "type"}


def test_system_attributes_when_asked_for() -> None:
    assert data(told(sysAttrs=True))["heat"]["createdAt"] == NOW + "Z"
    assert "createdAt" not in str(told().data)


@pytest.mark.clause("6.3.8")
def test_json_links_to_its_context() -> None:
    remote = Context("http://contexts/one", {}, {}, "urn:")
    for context, url in ((CORE, CORE_CONTEXT_URL), (remote, "http://contexts/one")):
        one = told(context)
        assert one.content_type == "application/json"
        assert one.link == f'<{url}>; rel="http://www.w3.org/ns/json-ld#context"; type="application/ld+json"'
        assert "@context" not in data(one)


@pytest.mark.clause("6.3.8")
def test_json_ld_holds_its_context() -> None:
    one = told(endpoint={"accept": "application/ld+json"})
    assert (one.content_type, one.link) == ("application/ld+json", None)
    assert data(one)["@context"] == CORE_CONTEXT_URL


def test_a_context_that_has_no_url_travels_inside() -> None:
    one = told(EX)
    assert (one.content_type, one.link) == ("application/ld+json", None)
    assert data(one)["@context"] == EX.source


@pytest.mark.clause("4.21")
def test_only_what_is_picked_and_not_omitted() -> None:
    assert data(told(pick=["id", "heat"])).keys() == {"id", "heat"}
    assert data(told(omit=["type", "heat"])).keys() == {"id", "cold"}


@pytest.mark.clause("4.5.23")
@pytest.mark.parametrize("join", ["inline", "flat", "@none", None])
def test_linked_entities(join: str | None) -> None:
    params: dict[str, Json] = {} if join is None else {"join": join}
    linked = {**created(n=1), "id": "urn:x:2"}
    doc: Json = {"endpoint": {"uri": "http://x/"}, "format": "simplified", **params}
    doc = {"type": "Subscription", "entities": [{"type": "T"}], "notification": doc}
    to = subscriber(read(doc, CORE, "urn:s:1", NOW))
    found = rendering(to, Content([ENTITY], {}, [(linked, to.view)]), CORE).data
    shown = {"id": "urn:x:2", "type": "T", "n": 1}
    mine = {"id": "urn:x:1", "type": "T", "heat": 1, "cold": shown if join == "inline" else "urn:x:2"}
    assert found == [mine, shown] if join == "flat" else [mine]


@pytest.mark.clause("6.3.8")
def test_geojson() -> None:
    endpoint: dict[str, Json] = {"accept": "application/geo+json"}
    one = told(endpoint=endpoint, format="simplified")
    assert (one.content_type, one.link) == ("application/geo+json", None)
    assert one.data == {
        "type": "FeatureCollection",
        "@context": CORE_CONTEXT_URL,
        "features": [
            {
                "id": "urn:x:1",
                "type": "Feature",
                "geometry": None,
                "properties": {"type": "T", "heat": 1, "cold": "urn:x:2"},
            }
        ],
    }
    linked = told(endpoint={**endpoint, "receiverInfo": [{"key": "Prefer", "value": "body=json"}]})
    assert "@context" not in linked.data
    assert linked.link is not None


@pytest.mark.clause("4.3.6.8")
def test_an_older_version_of_the_specification() -> None:
    doc: Json = {"type": "Subscription", "entities": [{"type": "T"}], "notification": {"endpoint": ENDPOINT}}
    to = subscriber(read({**doc, "ngsildConformance": "1.3"}, CORE, "urn:s:1", NOW))
    entity = {**created(heat={"languageMap": {"en": "warm"}}), "scope": ["/a"]}
    shown = rendering(to, Content([entity]), CORE).data
    assert shown == [{"id": "urn:x:1", "type": "T", "heat": {"type": "Property", "value": {"en": "warm"}}}]


ENDPOINT = {"uri": "http://x/"}
