"""What is said of documents that are none: the member and the JSON expected, never the library's words."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core import Json
from broker.core.errors import NgsiLdError
from broker.core.query_body import query_body
from broker.core.subscription_body import read_body
from broker.core.temporal.temporal_query_body import temporal_query_body
from tests.core.documents import few, json_values

ENDPOINT = {"uri": "http://x/"}
WORDS = (
    "Input",
    "instance",
    "Extra",
    "inputs",
    "valid ",
    "List ",
    "dictionary",
    "Field",
    "str]",
    "function-",
)


def subscription(**members: Json) -> dict[str, Any]:
    """A subscription with these members."""
    entities = [{"type": "T"}]
    return {
        "type": "Subscription",
        "entities": entities,
        "notification": {"endpoint": ENDPOINT},
        **members,
    }


def endpoint(**members: Json) -> dict[str, Any]:
    """A subscription whose endpoint has these members."""
    return subscription(notification={"endpoint": {**ENDPOINT, **members}})


def told(read: Any, doc: Json) -> str:
    """What is said of a document."""
    with pytest.raises(NgsiLdError) as caught:
        read(doc)
    return caught.value.detail


@pytest.mark.clause("5.2.12")
@pytest.mark.parametrize(
    ("doc", "detail"),
    [
        (
            subscription(watchedAttribute=["a"]),
            "watchedAttribute: not a member that is known here; watchedAttributes is one",
        ),
        (subscription(Q="a"), "Q: not a member that is known here; q is one"),
        (subscription(condition=5), "condition: not a member that is known here"),
        (subscription(int=5), "int: not a member that is known here"),
        (subscription(notification="x"), "notification: expected a JSON object"),
        (
            subscription(notification={"endpoint": "http://x/"}),
            "notification.endpoint: expected a JSON object",
        ),
        (subscription(notification={}), "notification.endpoint: expected a value, and it is missing"),
        (
            subscription(notification={"endpoint": {"url": "http://x/"}}),
            "notification.endpoint.url: not a member that is known here; uri is one",
        ),
        (subscription(entities={}), "entities: expected an array"),
        (subscription(entities=[]), "entities: expected an array that is not empty"),
        (
            subscription(entities=[{"typ": "T"}]),
            "entities.0.typ: not a member that is known here; type is one",
        ),
        (subscription(entities=[{"type": "T", "id": 5}]), "entities.0.id: expected a string or an array"),
        (subscription(entities=[{"type": "T", "id": "x"}]), "entities.0.id: expected a URI or an array"),
        (
            subscription(entities=[{"type": "T", "id": ["urn:x:1", 5]}]),
            "entities.0.id.1: expected a string",
        ),
        (subscription(throttling="5"), "throttling: expected a number"),
        (subscription(throttling=-5), "throttling: expected more than 0"),
        (subscription(isActive="yes"), "isActive: expected true or false"),
        (subscription(q=5), "q: expected a string"),
        (subscription(q=""), "q: expected a string that is not empty"),
        (subscription(type="Sub"), 'type: expected "Subscription"'),
        (
            endpoint(accept="x"),
            'notification.endpoint.accept: expected "application/json", "application/ld+json" or '
            '"application/geo+json"',
        ),
        (endpoint(receiverInfo={"a": "b"}), "notification.endpoint.receiverInfo: expected an array"),
        (
            endpoint(receiverInfo=[{"key": "a", "val": "b"}]),
            "notification.endpoint.receiverInfo.0.val: not a member that is known here; value is one",
        ),
        (
            subscription(notification={"endpoint": ENDPOINT, "joinLevel": 1.5}),
            "notification.joinLevel: expected a whole number",
        ),
        (
            subscription(notification={"endpoint": ENDPOINT, "joinLevel": 11}),
            "notification.joinLevel: expected at most 10",
        ),
        (
            subscription(timeInterval=5, watchedAttributes=["a"]),
            "timeInterval: not possible with watchedAttributes",
        ),
    ],
)
def test_of_subscriptions(doc: Json, detail: str) -> None:
    assert told(read_body, doc) == detail


@pytest.mark.clause("5.2.23")
def test_of_queries() -> None:
    assert told(query_body, {"type": "Query", "ordering": {"orderby": "x"}}) == (
        "ordering.orderby: not a member that is known here; orderBy is one"
    )
    assert told(query_body, {}) == "type: expected a value, and it is missing"
    assert told(temporal_query_body, {"type": "Query", "temporalQ": {"timeRel": "x"}}) == (
        "timeRel: not a member that is known here; timerel is one"
    )


@given(st.data())
@few
def test_no_word_of_it_is_the_librarys(data: st.DataObject) -> None:
    doc = deepcopy(
        subscription(
            q="a",
            geoQ={"georel": "within", "geometry": "Point", "coordinates": [1, 2]},
            timeInterval=5,
            datasetId=["urn:d:1"],
        )
    )
    places: list[tuple[Any, Any]] = []

    def gather(value: Any) -> None:
        for step in value if isinstance(value, dict) else range(len(value)):
            places.append((value, step))
            if isinstance(value[step], dict | list):
                gather(value[step])

    gather(doc)
    value, step = data.draw(st.sampled_from(places))
    value[step] = data.draw(json_values(4))
    detail = complained(doc).replace(repr(value[step]), "")
    assert not any(word in detail for word in WORDS), detail


def complained(doc: Json) -> str:
    """What is said of a document; nothing if it is right."""
    try:
        read_body(doc)
    except NgsiLdError as error:
        return error.detail
    return ""
