"""Why a subscription would not be told of a change."""

import pytest

from broker.core import Json, instant
from broker.core.explain import stopped_by
from broker.core.subscription import read
from tests.core.documents import CORE, NOW, created
from tests.core.test_time_interval import periodic

LATER = instant.of_micros(instant.micros(NOW) + 10_000_000)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, None),
        ({"q": "n>1"}, None),
        ({"watchedAttributes": ["n", "x"]}, None),
        ({"throttling": 5}, None),
        ({"q": "n>3"}, "q"),
        ({"entities": [{"type": "Other"}]}, "entities"),
        ({"watchedAttributes": ["x"]}, "watchedAttributes"),
        ({"notificationTrigger": ["entityDeleted"]}, "notificationTrigger"),
        ({"isActive": False}, "isActive"),
        ({"expiresAt": LATER + "Z"}, "expiresAt"),
        ({"throttling": 60}, "throttling"),
        ({"timeInterval": 60}, "timeInterval"),
        ({"datasetId": ["urn:d:1"]}, "notificationTrigger"),
        ({"datasetId": ["urn:d:1"], "watchedAttributes": ["n"]}, "watchedAttributes"),
        ({"datasetId": ["@none", "urn:d:1"]}, None),
    ],
    ids=str,
)
def test_what_stops_it(members: dict[str, Json], expected: str | None) -> None:
    assert explained(members) == expected


def explained(members: dict[str, Json], *, holds: bool = True) -> str | None:
    """What is said of an entity with n=2, ten seconds after the last notification."""
    doc = {**periodic(), "entities": [{"type": "T"}], **members}
    if "timeInterval" not in members:
        del doc["timeInterval"]
    one, last, now = read(doc, CORE, "urn:s:1", NOW), instant.micros(NOW), instant.micros(LATER)
    return stopped_by(one, created(n=2), last, LATER, now, holds=holds)


# Each stops it, in the order in which a person would ask.
ORDER: list[tuple[str, Json]] = [
    ("isActive", False),
    ("expiresAt", LATER + "Z"),
    ("entities", [{"type": "Other"}]),
    ("watchedAttributes", ["x"]),
    ("notificationTrigger", ["entityDeleted"]),
    ("q", "n>3"),
    ("geoQ", {"georel": "within", "geometry": "Point", "coordinates": [1, 1]}),
    ("scopeQ", "/a"),
    ("throttling", 60),
]


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_the_first_of_several_is_named(first: int) -> None:
    assert explained(dict(ORDER[first:])) == ORDER[first][0]


def test_a_condition_on_linked_entities_is_asked_where_q_is() -> None:
    several = dict(ORDER[6:]) | {"q": "n{x}>3"}
    assert explained(several, holds=False) == "q"
    assert explained(several, holds=True) == "geoQ"
