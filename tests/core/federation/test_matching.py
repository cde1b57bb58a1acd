"""Which registrations a request concerns, row by row of 5.10.2.4 and 5.12."""

from typing import Any

import pytest

from broker.core import Json
from broker.core.federation.matching import Spec, matching_infos
from broker.core.federation.registration import Registration, of_members
from broker.core.federation.registration_body import EntityInfo
from broker.core.lang import geo, q, scope, types
from broker.core.temporal import window
from tests.core.documents import EX
from tests.core.federation.registrations import info, of

HEAT, COLD = (EX.expand(name) for name in ("heat", "cold"))
VEHICLE = info(type="Vehicle", id="urn:v:1")
PATTERN = info(type=["Vehicle", "Bus"], idPattern="^urn:v:")
SQUARE = [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]


def found(registration: Registration, **members: Any) -> bool:
    return bool(matching_infos(registration, Spec(**members)))


def selection(text: str) -> types.TypeSelection:
    return types.parse(text, EX.expand)


@pytest.mark.clause("5.12")
@pytest.mark.parametrize(
    ("information", "text", "is_match"),
    [
        (VEHICLE, "Vehicle", True),
        (VEHICLE, "Bus", False),
        (VEHICLE, "Bus|Vehicle", True),
        (VEHICLE, "(Vehicle;Bus)", True),  # an entity may have more types than are registered
        (VEHICLE, "*", True),
        (PATTERN, "Bus", True),
        (info(id="urn:v:1"), "Bus", True),
        ({"propertyNames": ["heat"]}, "Bus", True),
    ],
    ids=str,
)
def test_types(information: Json, text: str, is_match: bool) -> None:
    assert found(of(information), types=selection(text)) is is_match
    assert found(of(information))


@pytest.mark.clause("5.12")
@pytest.mark.parametrize(
    ("information", "asked", "is_match"),
    [
        (VEHICLE, {"ids": ("urn:v:1",)}, True),
        (VEHICLE, {"ids": ("urn:v:2", "urn:v:1")}, True),
        (VEHICLE, {"ids": ("urn:v:2",)}, False),
        (VEHICLE, {"id_pattern": "v:"}, True),
        (VEHICLE, {"id_pattern": "V:"}, False),
        (VEHICLE, {"ids": ("urn:v:2",), "id_pattern": "v:"}, False),  # an id comes before a pattern
        (PATTERN, {"ids": ("urn:v:9",)}, True),
        (PATTERN, {"ids": ("urn:b:9",)}, False),
        (PATTERN, {"id_pattern": "nothing"}, True),
        (info(type="Vehicle"), {"ids": ("urn:b:9",)}, True),
        (info(type="Vehicle"), {"id_pattern": "b"}, True),
        (info(type="Vehicle", id="urn:v:1", idPattern=".*"), {"ids": ("urn:b:9",)}, False),
        ({"propertyNames": ["heat"]}, {"ids": ("urn:b:9",)}, True),
    ],
    ids=str,
)
def test_ids(information: Json, asked: dict[str, Any], is_match: bool) -> None:
    assert found(of(information), **asked) is is_match


@pytest.mark.clause("5.12")
def test_attributes() -> None:
    both = of({"propertyNames": ["heat"], "relationshipNames": ["cold"]})
    assert found(both, attrs=frozenset({HEAT}))
    assert found(both, attrs=frozenset({COLD, "urn:other"}))
    assert not found(both, attrs=frozenset({"urn:other"}))
    assert found(of(info(type="T")), attrs=frozenset({"urn:other"}))


@pytest.mark.clause("5.10.2")
def test_only_elements_count_in_which_both_entities_and_attributes_match() -> None:
    registration = of(info("heat", type="A"), info("cold", type="B"), {"propertyNames": ["cold", "heat"]})
    infos = matching_infos(registration, Spec(selection("A"), attrs=frozenset({COLD})))
    assert [*infos] == registration.body.information[2:]
    assert not found(of(info("heat", type="A"), info("cold", type="B")), types=selection("A"), attrs={COLD})


@pytest.mark.clause("5.9.1")
@pytest.mark.parametrize(
    ("asked", "is_match"),
    [
        (("before", "2020-01-02T00:00:00Z", None, None), True),
        (("before", "2020-01-01T00:00:00Z", None, None), False),  # exclusive
        (("before", "2030-01-01T00:00:00Z", None, "observedAt"), True),
        (("after", "2020-02-01T00:00:00Z", None, None), True),  # inclusive
        (("after", "2020-02-01T00:00:00.000001Z", None, None), False),
        (("between", "2019-01-01T00:00:00Z", "2020-01-01T00:00:00Z", None), False),
        (("between", "2020-01-15T00:00:00Z", "2020-01-16T00:00:00Z", None), True),
        (("between", "2020-01-16T00:00:00Z", "2020-01-15T00:00:00Z", None), False),
        (("before", "2030-01-01T00:00:00Z", None, "createdAt"), False),
    ],
    ids=str,
)
def test_intervals_of_observation(asked: tuple[str | None, ...], is_match: bool) -> None:
    interval = {"startAt": "2020-01-01T00:00:00Z", "endAt": "2020-02-01T00:00:00Z"}
    registration = of(observationInterval=interval)
    assert found(registration, window=window.parse(*asked)) is is_match
    assert not found(registration)  # it has nothing current
    assert not found(of(), window=window.parse(*asked))


@pytest.mark.clause("5.10.2")
@pytest.mark.parametrize("timeproperty", ["createdAt", "modifiedAt", "deletedAt"])
def test_an_open_interval_of_management(timeproperty: str) -> None:
    registration = of(managementInterval={"startAt": "2020-01-01T00:00:00Z"})
    after = window.parse("after", "2029-01-01T00:00:00Z", None, timeproperty)
    assert found(registration, window=after)
    assert not found(registration, window=window.parse("after", "2029-01-01T00:00:00Z", None, "observedAt"))


@pytest.mark.clause("5.10.2")
@pytest.mark.parametrize(
    ("georel", "coordinates", "location", "is_match"),
    [
        ("within", SQUARE, {"type": "Point", "coordinates": [1, 1]}, True),
        ("within", SQUARE, {"type": "Point", "coordinates": [3, 1]}, False),
        (
            "within",
            SQUARE,
            {"type": "LineString", "coordinates": [[1, 1], [9, 1]]},
            True,
        ),  # part of it may be
        ("overlaps", SQUARE, {"type": "Polygon", "coordinates": SQUARE}, True),
        (
            "equals",
            SQUARE,
            {"type": "Polygon", "coordinates": [[[-1, -1], [3, -1], [3, 3], [-1, 3], [-1, -1]]]},
            True,
        ),
        ("equals", SQUARE, {"type": "Point", "coordinates": [1, 1]}, False),
        ("disjoint", SQUARE, {"type": "Point", "coordinates": [1, 1]}, False),
        ("disjoint", SQUARE, {"type": "LineString", "coordinates": [[1, 1], [9, 1]]}, True),
        ("near;maxDistance==1000", SQUARE, {"type": "Point", "coordinates": [3, 1]}, False),
        ("near;minDistance==1000", SQUARE, {"type": "LineString", "coordinates": [[1, 1], [9, 1]]}, True),
        ("near;minDistance==1000", SQUARE, {"type": "LineString", "coordinates": [[1, 1], [1, 2]]}, False),
    ],
    ids=str,
)
def test_places(georel: str, coordinates: Json, location: Json, is_match: bool) -> None:
    asked = {"georel": georel, "geometry": "Polygon", "coordinates": coordinates}
    query = geo.parse(asked, EX.expand)
    assert found(of(location=location), geo=query) is is_match
    assert not found(of(), geo=query)
    elsewhere = geo.parse({**asked, "geoproperty": "operationSpace"}, EX.expand)
    assert not found(of(location=location), geo=elsewhere)
    assert found(of(operationSpace=location), geo=elsewhere) is is_match


@pytest.mark.clause("5.10.2")
def test_scopes() -> None:
    wanted = scope.parse("/a/#")
    assert found(of(scope="/a/b"), scope=wanted)
    assert found(of(scope=["/c", "a"]), scope=wanted)
    assert not found(of(scope="/c"), scope=wanted)
    assert not found(of(), scope=wanted)


@pytest.mark.clause("5.10.2")
@pytest.mark.parametrize(
    ("csf", "is_match"),
    [
        ('endpoint=="http://source:9"', True),
        ('endpoint!="http://source:9"', False),
        ('mode=="inclusive"', True),
        ('operations=="federationOps"', True),
        ('operations=="updateOps"', False),
        ("heat>4", True),
        ("heat>5", False),
        ('kind=="pump"', True),
        ('kind.cold=="x"', True),
        ("missing", False),
        ("management[timeout]==5", True),
        ('description~="^w"', True),
        ("createdAt<2027-01-01T00:00:00Z", True),
        ("tenant", False),
    ],
)
def test_context_source_queries(csf: str, is_match: bool) -> None:
    kind = {"type": "Property", "value": "pump", "cold": {"type": "Property", "value": "x"}}
    registration = of(heat=5, kind=kind, management={"timeout": 5}, description="water")
    condition = q.parse(csf, of_members(EX.expand), what="csf")
    assert found(registration, csf=condition) is is_match


def test_where_to_look_by_type() -> None:
    assert Spec(selection("A|(B;C)")).type_names == frozenset(map(EX.expand, "ABC"))
    assert Spec().type_names is Spec(selection("*")).type_names is None
    assert of(info(type="A", id="urn:x:1"), info(type=["A", "B"], id="urn:x:2")).types == tuple(
        EX.expand(name) for name in "AB"
    )
    assert of(info(type="A", id="urn:x:1"), info(type="B", id="urn:x:1")).ids == ("urn:x:1",)
    anything = of(info(id="urn:x:1"), {"propertyNames": ["heat"]})
    assert (anything.types, anything.ids) == (None, None)
    assert EntityInfo(type="A").types == ("A",)
