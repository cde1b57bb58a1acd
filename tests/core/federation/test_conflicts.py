"""What stands in the way of proxied registrations (4.3.6.3)."""

import pytest

from broker.core import Json
from broker.core.entity import parse, update
from broker.core.federation.conflicts import clash, collisions
from tests.core.documents import EX, NOW
from tests.core.federation.registrations import info, of
from tests.core.lang.selecting import selects

ONE = info("heat", type="T", id="urn:x:1")


@pytest.mark.clause("4.3.6.3")
@pytest.mark.parametrize(
    ("other", "mode", "is_clash"),
    [
        (ONE, "exclusive", True),
        (info("cold", "heat", id="urn:x:1"), "exclusive", True),
        (info("cold", type="T", id="urn:x:1"), "exclusive", False),
        (info("heat", type="T", id="urn:x:2"), "exclusive", False),
        (info("heat", type="U", id="urn:x:1"), "exclusive", False),
        (ONE, "redirect", True),
        (info(type="T"), "redirect", True),
        (info(type="U"), "redirect", False),
        (info(type="T", idPattern="x:"), "redirect", True),
        (info(type="T", idPattern="y:"), "redirect", False),
        ({"propertyNames": ["heat"]}, "redirect", True),
        ({"propertyNames": ["cold"]}, "redirect", False),
        (ONE, "inclusive", False),
        (info(type="T"), "auxiliary", False),
    ],
    ids=str,
)
def test_an_exclusive_registration_is_the_only_one(other: Json, mode: str, is_clash: bool) -> None:
    exclusive, second = of(ONE, mode="exclusive"), of(other, mode=mode, id="urn:r:2")
    assert (clash(exclusive, second) is not None) is is_clash
    assert (clash(second, exclusive) is not None) is is_clash


@pytest.mark.clause("4.3.6.3")
def test_redirects_may_overlap() -> None:
    assert clash(of(ONE, mode="redirect"), of(ONE, mode="redirect", id="urn:r:2")) is None


@pytest.mark.clause("5.9.2")
@pytest.mark.parametrize(
    ("information", "mode", "is_collision"),
    [
        (ONE, "exclusive", True),
        (info("heat", type="U", id="urn:x:1"), "exclusive", True),  # by its id alone
        (info("cold", type="T", id="urn:x:1"), "exclusive", False),
        (info("heat", type="T", id="urn:x:2"), "exclusive", False),
        (info(type="T"), "redirect", True),
        (info(type=["U", "T"]), "redirect", True),
        (info(type="U"), "redirect", False),
        (info(type="T", idPattern="x:"), "redirect", True),
        (info(type="T", idPattern="y:"), "redirect", False),
        ({"propertyNames": ["heat"]}, "redirect", True),
        ({"propertyNames": ["cold"]}, "redirect", False),
        (info(type="T"), "inclusive", False),
    ],
    ids=str,
)
def test_entities_that_are_here(information: Json, mode: str, is_collision: bool) -> None:
    entity = update.create(parse.entity({"id": "urn:x:1", "type": "T", "heat": 1}, EX))(None, NOW).after
    assert entity is not None
    found = any(selects(query, entity) for query in collisions(of(information, mode=mode)))
    assert found is is_collision
