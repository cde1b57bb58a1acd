"""Why a subscription would not be told of a change."""

import pytest

from broker.core import Json, instant
from broker.core.explain import stopped_by
from broker.core.subscription import read
from tests.core.documents import CORE, NOW, created
from tests.core.test_periods import periodic

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
    ],
    ids=str,
)
def test_what_stops_it(members: dict[str, Json], expected: str | None) -> None:
    doc = {**periodic(), "entities": [{"type": "T"}], **members}
    if "timeInterval" not in members:
        del doc["timeInterval"]
    last, now = instant.micros(NOW), instant.micros(LATER)
    assert stopped_by(read(doc, CORE, "urn:s:1", NOW), created(n=2), last, LATER, now) == expected
