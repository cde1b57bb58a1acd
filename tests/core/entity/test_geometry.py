"""GeoJSON geometries: their form (4.7.1)."""

import pytest

from broker.core import Json
from broker.core.entity import geometry
from broker.core.errors import BadRequestData

RING = [[0, 0], [4, 0], [4, 4], [0, 0]]
CROSSED = [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]]


@pytest.mark.clause("4.7.1")
@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [
        ("Point", [1, 2]),
        ("Point", [1.5, -2.5, 100]),
        ("MultiPoint", [[1, 2]]),
        ("LineString", [[1, 2], [3, 4]]),
        ("MultiLineString", [[[1, 2], [3, 4]]]),
        ("Polygon", [RING]),
        ("Polygon", [RING, RING]),
        ("Polygon", [CROSSED]),
        ("MultiPolygon", [[RING], [RING, RING]]),
    ],
)
def test_well_formed_geometries(kind: str, coordinates: Json) -> None:
    value = {"type": kind, "coordinates": coordinates}
    assert geometry.is_geometry(value)
    geometry.check(value, "x")


@pytest.mark.clause("4.7.1")
@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [
        ("Point", []),
        ("Point", [1]),
        ("Point", [1, 2, 3, 4, 5]),
        ("Point", ["1", "2"]),
        ("Point", [True, False]),
        ("Point", [[1, 2]]),
        ("Point", None),
        ("Point", {"x": 1}),
        ("LineString", [[1, 2]]),
        ("LineString", [1, 2]),
        ("MultiLineString", [[[1, 2]]]),
        ("Polygon", [[[0, 0], [1, 0], [0, 0]]]),
        ("Polygon", [[[0, 0], [1, 0], [1, 1], [0, 1]]]),
        ("Polygon", [RING, []]),
        ("Polygon", RING),
        ("MultiPolygon", [RING]),
        ("GeometryCollection", []),
        ("Feature", [1, 2]),
        (["Point"], [1, 2]),
        (None, [1, 2]),
    ],
)
def test_malformed_geometries_are_named_by_their_path(kind: Json, coordinates: Json) -> None:
    with pytest.raises(BadRequestData) as refused:
        geometry.check({"type": kind, "coordinates": coordinates}, "here.value")
    assert refused.value.detail.startswith("here.value")


@pytest.mark.parametrize("value", [5, "Point", None, [], {}, {"type": "Point"}, {"coordinates": [1, 2]}])
def test_other_json_is_no_geometry(value: Json) -> None:
    assert not geometry.is_geometry(value)
    with pytest.raises(BadRequestData):
        geometry.check(value, "x")
