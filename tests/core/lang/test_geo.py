"""Geoqueries (4.10): their members, what they select, and distances."""

import math
from typing import Any

import pytest
import shapely

from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.lang import geo, geometries, match

pytestmark = pytest.mark.clause("4.10")

DEGREE = 111_195.08  # metres of a great circle
SQUARE = [[[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]]
BOWTIE = [[[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]]


def _query(georel: str, kind: str, coordinates: Any, **more: Any) -> geo.GeoQuery:
    return geo.parse({"georel": georel, "geometry": kind, "coordinates": coordinates, **more}, str)


def _selects(query: geo.GeoQuery, kind: str, coordinates: Any) -> bool:
    value = {"type": kind, "coordinates": coordinates}
    return match.is_placed(query, {"location": [{"type": "GeoProperty", "value": value}]})


POINT, LINE, POLYGON = "Point", "LineString", "Polygon"


@pytest.mark.parametrize(
    ("georel", "reference", "target", "selected"),
    [
        ("within", (POLYGON, SQUARE), (POINT, [1, 1]), True),
        ("within", (POLYGON, SQUARE), (POINT, [0, 1]), False),
        ("within", (POLYGON, SQUARE), (LINE, [[1, 1], [3, 3]]), True),
        ("within", (POLYGON, SQUARE), (LINE, [[1, 1], [5, 1]]), False),
        ("within", (POLYGON, [*SQUARE, [[1, 1], [2, 1], [2, 2], [1, 1]]]), (POINT, [1.6, 1.5]), False),
        ("contains", (POINT, [1, 1]), (POLYGON, SQUARE), True),
        ("contains", (POLYGON, SQUARE), (POINT, [1, 1]), False),
        ("intersects", (POLYGON, SQUARE), (POINT, [0, 1]), True),
        ("intersects", (LINE, [[-1, 1], [5, 1]]), (POLYGON, SQUARE), True),
        ("intersects", (POLYGON, SQUARE), (POINT, [5, 1]), False),
        ("disjoint", (POLYGON, SQUARE), (POINT, [5, 1]), True),
        ("disjoint", (POLYGON, SQUARE), (POINT, [4, 4]), False),
        ("overlaps", (POLYGON, SQUARE), (POLYGON, [[[2, 2], [6, 2], [6, 6], [2, 6], [2, 2]]]), True),
        ("overlaps", (POLYGON, SQUARE), (POLYGON, [[[1, 1], [2, 1], [2, 2], [1, 1]]]), False),
        ("overlaps", (POLYGON, SQUARE), (LINE, [[1, 1], [5, 1]]), False),
        ("equals", (POINT, [1, 1]), (POINT, [1.0, 1, 50]), True),
        ("equals", (POLYGON, SQUARE), (POLYGON, [SQUARE[0][::-1]]), True),
        ("equals", (LINE, [[0, 0], [2, 2]]), (LINE, [[2, 2], [1, 1], [0, 0]]), True),
        ("equals", (POINT, [1, 1]), ("MultiPoint", [[1, 1], [1, 1]]), True),
        ("within", (POLYGON, BOWTIE), (POINT, [0.5, 2]), True),
        ("within", (POLYGON, BOWTIE), (POINT, [2, 0.5]), False),
        ("intersects", (POLYGON, SQUARE), (POLYGON, BOWTIE), True),
        ("contains", (POINT, [3.5, 2]), (POLYGON, BOWTIE), True),
        ("intersects", (POLYGON, [[[0, 0], [0, 0], [0, 0], [0, 0]]]), (POINT, [0, 0]), True),
        ("disjoint", (POINT, [1, 1]), (POINT, [1, 91]), False),
        ("near;maxDistance==2000", (POINT, [8, 40]), (POINT, [8.02, 40]), True),
        ("near;maxDistance==1000", (POINT, [8, 40]), (POINT, [8.02, 40]), False),
        ("near;minDistance==1000", (POINT, [8, 40]), (POINT, [8.02, 40]), True),
        ("near;minDistance==1", (POINT, [1, 1]), (POLYGON, SQUARE), False),
        ("near;maxDistance==1", (POINT, [1, 1]), (POLYGON, SQUARE), True),
        ("near;maxDistance==2000", (LINE, [[0, 60], [10, 60]]), (POINT, [10, 60.009]), True),
        ("near;maxDistance==2000", (LINE, [[0, 61], [10, 61]]), (POINT, [10, 60.009]), False),
        ("near;maxDistance==20000", (POINT, [0, 85]), (LINE, [[0, 85.6], [1, 85]]), True),
        ("near;maxDistance==5000", (POINT, [0, 85]), (LINE, [[0, 85.6], [1, 85]]), False),
        ("near;maxDistance==30000", (POINT, [179.9, 0]), (POINT, [-179.9, 0]), True),
    ],
)  # fmt: skip
def test_what_is_selected(georel: str, reference: Any, target: Any, selected: bool) -> None:
    assert _selects(_query(georel, *reference), *target) is selected


def test_any_instance_of_the_geoproperty_will_do() -> None:
    query = _query("within", POLYGON, str(SQUARE), geoproperty="space")
    inside = {"type": "GeoProperty", "value": {"type": POINT, "coordinates": [1, 1]}}
    outside = {"type": "GeoProperty", "value": {"type": POINT, "coordinates": [9, 9]}, "datasetId": "urn:d:1"}
    assert match.is_placed(query, {"space": [outside, inside]})
    assert not match.is_placed(query, {"space": [outside], "location": [inside]})
    assert not match.is_placed(query, {"space": [{"type": "Property", "value": inside["value"]}]})


WRONG: list[Any] = [
    "", "[", "[[[0,0],[1,1]]]", "{}", None, 5, [], [1, 1], [[]], [[[0, 0], [1, 0], [1, 1], [0, 1]]],
    [[[0, 0], [1, 0], [1, "1"], [0, 0]]], [[[0, 0], [1, 0], [1, 91], [0, 0]]],
    [[[0, 0], [181, 0], [1, 1], [0, 0]]], "[[[0,0],[1,0],[1,1e400],[0,0]]]",
    "[[[0,0],[1,0],[1,NaN],[0,0]]]", [[[0, 0], [1, 0], [1, True], [0, 0]]],
    [[[0, 0], [1, 0], [1, 10**400], [0, 0]]],
]  # fmt: skip
GOOD = {"georel": "within", "geometry": POLYGON, "coordinates": SQUARE}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        *(("georel", georel) for georel in (
            "", "near", "touches", "Within", "near;", "near;maxDistance", "near;maxDistance=5", None, 5,
            "near;maxDistance==0", "near;maxDistance==-1", "near;maxDistance==inf", "near;maxDistance==1e400",
            "near;maxDistance==01", "near;maxDistance==5;minDistance==1", "near;maxdistance==5", ["within"],
            "near;maxDistance==0.0", "near;maxDistance==5 ", "within;maxDistance==5")),
        *(("geometry", kind) for kind in ("", "polygon", "GeometryCollection", None, 1, ["Point"])),
        *(("coordinates", one) for one in WRONG),
        *(("geoproperty", name) for name in ("", "a b", 5, "a.b")),
    ],
)  # fmt: skip
def test_errors_name_the_member(member: str, value: Any) -> None:
    with pytest.raises(BadRequestData, match=f"^{member}: expected"):
        geo.parse({**GOOD, member: value}, str)


@pytest.mark.parametrize("member", geo.MEMBERS)
def test_a_member_that_lacks(member: str) -> None:
    with pytest.raises(BadRequestData, match=f"^{member}: expected beside"):
        geo.parse({name: value for name, value in GOOD.items() if name != member}, str)


@pytest.mark.parametrize("geometry", ["Point", "Polygon", "MultiPolygon"])
def test_levels_that_no_geometry_has(geometry: str) -> None:
    with pytest.raises(BadRequestData, match=r"^coordinates: expected the coordinates of"):
        _query("equals", geometry, "[" * 1000 + "1" + "]" * 1000)


def test_too_many_positions_are_too_complex() -> None:
    circle = [[math.cos(n / 50_000), math.sin(n / 50_000)] for n in range(9_999)]
    assert _query("within", POLYGON, [[*circle, circle[0]]])
    with pytest.raises(TooComplexQuery, match=r"^coordinates: expected at most 10000 positions"):
        _query("within", POLYGON, [[*circle, [0, 0], circle[0]]])


@pytest.mark.parametrize(
    ("a", "b", "metres"),
    [
        (shapely.Point(0, 0), shapely.Point(0, 1), DEGREE),
        (shapely.Point(180, 0), shapely.Point(-180, 0), 0),
        (shapely.LineString([[0, 60], [10, 60]]), shapely.Point(5, 60.01), DEGREE / 100),
        (shapely.LineString([[179.0, 1], [179.9, 0]]), shapely.Point(-179.9, 0), DEGREE / 5),
        (
            shapely.box(0, 0, 1, 1),
            shapely.box(1.001, 0.9, 2, 2),
            DEGREE / 1000 * math.cos(math.radians(1)),
        ),
        (shapely.box(0, 0, 1, 1), shapely.Point(0.5, 0.5), 0),
        (shapely.Point(0, 90), shapely.LineString([[0, 89], [90, 89]]), DEGREE),
        (shapely.Point(0, 0), shapely.LineString([[180, 0], [179, 0]]), 179 * DEGREE),
        (shapely.Point(-179.5, 0), shapely.box(0, 0, 4, 3), 175.5 * DEGREE),
        (shapely.box(-1, -1, 1, 1), shapely.box(179, 1.5, 179.5, 2), 176.395 * DEGREE),
        (shapely.MultiPoint([[0, 0], [10, 0]]), shapely.MultiPoint([[10, 1], [50, 50]]), DEGREE),
        (
            shapely.box(170, -10, 179, 10),
            shapely.box(-179, -10, -170, 10),
            2 * DEGREE * math.cos(math.radians(10)),
        ),
        (shapely.box(0, 0, 1, 1), shapely.box(50, 50, 60, 60), 7_140_276),
    ],
)
def test_distances_are_in_metres(a: Any, b: Any, metres: float) -> None:
    assert geometries.distance(a, b) == pytest.approx(metres, rel=1e-3, abs=1e-6)
    assert geometries.distance(b, a) == pytest.approx(metres, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("more", [[5], [2**70], [5, 5], [1e300, 2**64]])
def test_heights_and_what_is_behind_them_mean_nothing(more: list[Any]) -> None:
    for kind, plain, high in (
        ("Point", [1, 2], [1, 2, *more]),
        ("MultiPoint", [[1, 2], [3, 4]], [[1, 2, *more], [3, 4, *more]]),
        ("Polygon", [[[1, 2], [3, 4], [1, 4], [1, 2]]],
         [[[1, 2, *more], [3, 4, *more], [1, 4, *more], [1, 2, *more]]]),
    ):  # fmt: skip
        flat = geometries.geometry({"type": kind, "coordinates": plain})
        assert geometries.geometry({"type": kind, "coordinates": high}) == flat
        assert flat is not None
