"""Which registrations and sources a request concerns, row by row of 5.10.2.4 and 5.12."""

from typing import Any

import pytest

from broker.core import Json
from broker.core.federation.matching import Spec, match, matching_infos, spec_of_entity, spec_of_query
from broker.core.federation.registration import Registration, of_members
from broker.core.federation.registration_body import EntityInfo
from broker.core.federation.source import source
from broker.core.lang import geo, q, scope, types
from broker.core.query import Query
from broker.core.selector import Selector
from broker.core.temporal import window
from tests.core.documents import EX, NOW
from tests.core.federation.registrations import info, of

HEAT, COLD = (EX.expand(name) for name in ("heat", "cold"))
VEHICLE = info(type="Vehicle", id="urn:v:1")
PATTERN = info(type=["Vehicle", "Bus"], idPattern="^urn:v:")
SQUARE = [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]


def found(registration: Registration, **members: Any) -> bool:
    """Whether discovery finds it."""
    return bool(matching_infos(registration, Spec(**members)))


def asked(registration: Registration, spec: Spec | None = None, at: str = NOW, **members: Any) -> bool:
    """Whether its source is asked."""
    return match(source(registration), spec or Spec(**members), at) is not None


def both(registration: Registration, **members: Any) -> bool:
    """The same where discovery and distributed operations have the same rule."""
    assert found(registration, **members) is asked(registration, **members)
    return found(registration, **members)


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
    assert both(of(information), types=selection(text)) is is_match
    assert both(of(information))


@pytest.mark.clause("5.12")
@pytest.mark.parametrize(
    ("information", "wanted", "is_match"),
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
def test_ids(information: Json, wanted: dict[str, Any], is_match: bool) -> None:
    assert both(of(information), **wanted) is is_match


@pytest.mark.clause("5.12")
def test_attributes() -> None:
    registration = of({"propertyNames": ["heat"], "relationshipNames": ["cold"]})
    assert both(registration, attrs=frozenset({HEAT}))
    assert both(registration, attrs=frozenset({COLD, "urn:other"}))
    assert not both(registration, attrs=frozenset({"urn:other"}))
    assert both(of(info(type="T")), attrs=frozenset({"urn:other"}))


@pytest.mark.clause("5.10.2")
def test_only_elements_count_in_which_both_entities_and_attributes_match() -> None:
    registration = of(info("heat", type="A"), info("cold", type="B"), {"propertyNames": ["cold", "heat"]})
    infos = matching_infos(registration, Spec(selection("A"), attrs=frozenset({COLD})))
    assert [*infos] == registration.body.information[2:]
    matched = match(source(registration), Spec(selection("A"), attrs=frozenset({COLD})), NOW)
    assert matched is not None
    assert matched.infos == source(registration).infos[2:]
    assert not found(of(info("heat", type="A"), info("cold", type="B")), types=selection("A"), attrs={COLD})


@pytest.mark.clause("5.9.1")
@pytest.mark.parametrize(
    ("times", "is_match"),
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
def test_intervals_of_observation(times: tuple[str | None, ...], is_match: bool) -> None:
    interval = {"startAt": "2020-01-01T00:00:00Z", "endAt": "2020-02-01T00:00:00Z"}
    registration = of(observationInterval=interval)
    assert both(registration, window=window.parse(*times)) is is_match
    assert not both(registration)  # it has nothing current
    assert not both(of(), window=window.parse(*times))


@pytest.mark.clause("5.10.2")
@pytest.mark.parametrize("timeproperty", ["createdAt", "modifiedAt", "deletedAt"])
def test_an_open_interval_of_management(timeproperty: str) -> None:
    registration = of(managementInterval={"startAt": "2020-01-01T00:00:00Z"})
    after = window.parse("after", "2029-01-01T00:00:00Z", None, timeproperty)
    assert both(registration, window=after)
    assert not both(registration, window=window.parse("after", "2029-01-01T00:00:00Z", None, "observedAt"))


@pytest.mark.clause("4.20")
@pytest.mark.parametrize(
    ("operations", "is_asked"),
    [
        (["retrieveTemporal"], True),
        (["updateOps", "queryTemporal"], True),
        (["redirectionOps"], False),
        (["deleteTemporal"], False),
    ],
    ids=str,
)
def test_a_source_without_intervals_that_names_temporal_operations(
    operations: list[str], is_asked: bool
) -> None:
    registration, past = of(operations=operations), window.parse("before", "2020-01-01T00:00:00Z", None, None)
    assert asked(registration, window=past) is asked(registration, window=window.Window()) is is_asked
    assert not found(registration, window=past)
    assert both(registration)
    interval = {"startAt": "2025-01-01T00:00:00Z"}
    assert not asked(of(operations=operations, managementInterval=interval), window=past)


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
    wanted = {"georel": georel, "geometry": "Polygon", "coordinates": coordinates}
    query = geo.parse(wanted, EX.expand)
    assert both(of(location=location), geo=query) is is_match
    assert not found(of(), geo=query)
    assert asked(of(), geo=query), "it says nothing of where it is"
    elsewhere = geo.parse({**wanted, "geoproperty": "operationSpace"}, EX.expand)
    assert not found(of(location=location), geo=elsewhere)
    assert asked(of(location=location), geo=elsewhere)
    assert both(of(operationSpace=location), geo=elsewhere) is is_match


@pytest.mark.clause("5.10.2")
def test_scopes() -> None:
    wanted = scope.parse("/a/#")
    assert found(of(scope="/a/b"), scope=wanted)
    assert found(of(scope=["/c", "a"]), scope=wanted)
    assert not found(of(scope="/c"), scope=wanted)
    assert not found(of(), scope=wanted)
    assert asked(of(scope="/c"), scope=wanted), "5.12 has no condition on scopes"
    assert asked(of(), scope=wanted)


@pytest.mark.clause("5.12")
@pytest.mark.parametrize(
    ("registered", "wanted", "is_asked"),
    [
        (["urn:d:1"], ["urn:d:1", "urn:d:2"], True),
        (["urn:d:1"], ["urn:d:2"], False),
        (["urn:d:1"], [], True),
        (None, ["urn:d:2"], True),
        (["@none", "urn:d:1"], ["@none"], True),
    ],
    ids=str,
)
def test_datasets(registered: list[str] | None, wanted: list[str], is_asked: bool) -> None:
    members: dict[str, Json] = {} if registered is None else {"datasetId": registered}
    assert asked(of(**members), datasets=frozenset(wanted)) is is_asked


@pytest.mark.clause("5.9.2")
@pytest.mark.parametrize(
    ("expires", "at", "is_asked"),
    [
        ("2090-01-01T00:00:00Z", "2089-12-31T23:59:59.999999", True),
        ("2090-01-01T00:00:00Z", "2090-01-01T00:00:00.000000", False),
        ("2090-01-01T00:00:00.5Z", "2090-01-01T00:00:00.499999", True),
        ("2090-01-01T00:00:00.5Z", "2090-01-01T00:00:00.500000", False),
    ],
)
def test_what_has_expired_is_not_asked(expires: str, at: str, is_asked: bool) -> None:
    assert asked(of(expiresAt=expires), at=at) is is_asked


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


@pytest.mark.clause("4.9")
@pytest.mark.parametrize(
    ("csf", "is_asked"),
    [
        ("heat>4", True),
        ("heat>5", False),
        ('kind.cold=="x"', True),
        ("missing", False),
        ('endpoint=="http://source:9"', True),
        ('mode=="redirect"', True),
        ('operations=="queryEntity"', True),
        ('operations=="createEntity"', False),
        ('tenant=="t"', True),
        ('contextSourceAlias=="a"', True),
        ("location", True),
        ("observationSpace", False),
        ("description", False),  # sources do not know it
    ],
)
def test_context_source_queries_on_sources(csf: str, is_asked: bool) -> None:
    kind = {"type": "Property", "value": "pump", "cold": {"type": "Property", "value": "x"}}
    registration = of(
        heat=5,
        kind=kind,
        mode="redirect",
        operations=["retrieveOps"],
        tenant="t",
        contextSourceAlias="a",
        location={"type": "Point", "coordinates": [1, 1]},
        description="water",
    )
    assert asked(registration, csf=q.parse(csf, of_members(EX.expand), what="csf")) is is_asked


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


@pytest.mark.clause("5.7.2")
def test_what_a_query_is_about() -> None:
    place = geo.parse({"georel": "within", "geometry": "Polygon", "coordinates": SQUARE}, EX.expand)
    query = Query(
        selection("A"),
        ("urn:x:1",),
        "x",
        attrs=(HEAT,),
        q=q.parse("cold>5;createdAt>2020-01-01T00:00:00Z", EX.expand),
        geo=place,
    )
    spec = spec_of_query(query, ["scope", EX.expand("n")], datasets=frozenset({"urn:d:1"}))
    assert (spec.types, spec.ids, spec.id_pattern, spec.geo) == (selection("A"), ("urn:x:1",), "x", place)
    assert spec.attrs == {HEAT, COLD, EX.expand("n"), geo.LOCATION}
    assert spec.datasets == {"urn:d:1"}
    assert spec.window is None
    assert spec_of_query(Query()) == Spec()
    everything = spec_of_query(Query(attrs=(HEAT, EX.expand("createdAt"))))
    assert everything.attrs == frozenset(), "each entity has one of these"


@pytest.mark.clause("5.2.33")
def test_one_of_the_selectors_and_what_stands_beside_them() -> None:
    selectors = (Selector(selection("A"), ("urn:x:1",)), Selector(selection("B"), (), "^urn:y:"))
    spec = spec_of_query(Query(selectors=selectors))
    assert asked(of(info(type="A")), spec)
    assert asked(of(info(type="A", id="urn:x:1")), spec)
    assert not asked(of(info(type="B", id="urn:x:1")), spec)
    assert asked(of(info(type="B", id="urn:y:1")), spec)
    assert not asked(of(info(type="C")), spec)
    assert not asked(of(info(type="A")), spec_of_query(Query(selection("B"), selectors=selectors)))
    assert asked(of({"propertyNames": ["heat"]}), spec)


@pytest.mark.clause("5.12")
@pytest.mark.parametrize(
    ("information", "is_asked"),
    [
        (info(type="A"), True),
        (info(type=["C", "B"]), True),
        (info(type="C"), False),
        (info(id="urn:x:1"), True),
        (info(type="A", id="urn:x:2"), False),
        (info(idPattern="x:1$"), True),
        (info("cold", type="A"), False),
        (info("heat", type="A"), True),
        ({"propertyNames": ["heat"]}, True),
    ],
    ids=str,
)
def test_one_entity_and_some_of_its_attributes(information: Json, is_asked: bool) -> None:
    types = [EX.expand("A"), EX.expand("B")]
    assert asked(of(information), spec_of_entity("urn:x:1", types, [HEAT])) is is_asked
    if is_asked:
        assert asked(of(information), spec_of_entity("urn:x:1"))
    assert asked(of(info(type="C")), spec_of_entity("urn:x:1")), "what nobody here knows may be of any type"
