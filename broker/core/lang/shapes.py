"""What spatial relations mean (4.10), by Shapely.

Lines between positions are straight in longitude and latitude, as RFC 7946 has it, so the relations are
those of plane geometry (OGC Simple Features) and exact. Distances are in metres on a sphere of Earth's
mean radius, to the nearest point of either geometry, also across the antimeridian: exact between two
points, within about a metre for lines and polygons up to hundreds of kilometres.

A polygon that crosses itself means the areas it encloses; with more than 100 positions it is taken as it
comes, since sorting out a tangle costs the square of its crossings. A geometry with a position that is
nowhere on Earth is stored, but stands in no relation to anything.
"""

from collections.abc import Callable

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from broker.core import Json
from broker.core.entity.geometry import bounds

RADIUS = 6_371_008.8  # metres
_TANGLE = 100  # positions of a geometry that is worth sorting out
_STEP = 0.1  # degrees: pieces of lines that are as good as straight on a map of their surroundings
_PIECES = 20_000  # of one geometry
_ROUNDS = 3

Floats = NDArray[np.float64]


def shape(value: Json) -> BaseGeometry | None:
    """The shape of a well-formed GeoJSON geometry, put in order if need be; None if it is not on Earth."""
    if bounds(value) is None:
        return None
    text = orjson.dumps({"type": value["type"], "coordinates": value["coordinates"]})
    found: BaseGeometry = shapely.force_2d(shapely.from_geojson(text))
    return found if shapely.is_valid(found) else _in_order(found)


def prepared(reference: BaseGeometry | None) -> BaseGeometry:
    """A shape ready to be compared with many."""
    assert reference is not None
    shapely.prepare(reference)
    return reference


def _in_order(found: BaseGeometry) -> BaseGeometry:
    if shapely.get_num_coordinates(found) > _TANGLE:
        return found
    better: BaseGeometry = shapely.make_valid(found, method="structure", keep_collapsed=False)
    return shapely.make_valid(found, method="structure") if better.is_empty else better


def related(relation: str, reference: BaseGeometry, metres: float | None, value: Json) -> bool:
    """Whether a well-formed geometry stands in the relation to the prepared reference."""
    if (target := shape(value)) is None:
        return False
    if metres is not None:
        return (distance(reference, target) <= metres) is (relation == "maxDistance")
    return bool(_RELATIONS[relation](reference, target))


# The reference comes first, for it is the one that is prepared: it contains the targets that are within it.
_RELATIONS: dict[str, Callable[..., object]] = {
    "within": shapely.contains,
    "contains": shapely.within,
    "overlaps": shapely.overlaps,
    "intersects": shapely.intersects,
    "equals": shapely.equals,
    "disjoint": shapely.disjoint,
}


def distance(a: BaseGeometry, b: BaseGeometry) -> float:
    """Metres between the nearest points of two shapes; 0 if they meet."""
    if a.geom_type == "Point" and b.geom_type == "Point":
        return _metres(_positions(a), _positions(b))
    if shapely.intersects(a, b):
        return 0.0
    a, b = _in_pieces(a), _in_pieces(b)
    ends = _positions(shapely.centroid(a)).repeat(2, axis=0)
    for _ in range(_ROUNDS):  # on a map around the nearest points, which shows them better each time
        there, back = _map(ends)
        ends = back(
            _positions(shapely.shortest_line(shapely.transform(a, there), shapely.transform(b, there)))
        )
        if a.geom_type == "Point":
            break  # such a map shows distances from its middle as they are
    return _metres(ends[:1], ends[1:])


def _positions(one: BaseGeometry) -> Floats:
    found: Floats = shapely.get_coordinates(one)
    return found


def _in_pieces(one: BaseGeometry) -> BaseGeometry:
    pieces: BaseGeometry = shapely.segmentize(one, max(_STEP, one.length / _PIECES))
    return pieces


def _metres(a: Floats, b: Floats) -> float:
    """Metres between two positions (haversine)."""
    (lon1, lat1), (lon2, lat2) = np.radians(a[0]), np.radians(b[0])
    half = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return float(2 * RADIUS * np.arcsin(np.sqrt(min(1.0, half))))


def _map(ends: Floats) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """An azimuthal equidistant map, in radians, whose middle lies between two positions; there and back."""
    lon0, lat0 = np.radians(_middle(ends))

    def there(positions: Floats) -> Floats:
        lon, lat = np.radians(positions).T
        cosine = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0)
        east = np.cos(lat) * np.sin(lon - lon0)
        north = np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon - lon0)
        sine = np.hypot(east, north)
        angle = np.arctan2(sine, cosine)
        east = np.where((sine == 0) & (cosine < 0), 1.0, east)  # the other end of the world: in any direction
        scale = angle / np.where(sine == 0, 1.0, sine)
        return np.column_stack((scale * east, scale * north))

    def back(mapped: Floats) -> Floats:
        x, y = mapped.T
        angle = np.hypot(x, y)
        scale = np.sinc(angle / np.pi)
        lat = np.arcsin(np.clip(np.cos(angle) * np.sin(lat0) + y * scale * np.cos(lat0), -1, 1))
        lon = lon0 + np.arctan2(x * scale, np.cos(lat0) * np.cos(angle) - y * scale * np.sin(lat0))
        degrees: Floats = np.degrees(np.column_stack((lon, lat)))
        return degrees

    return there, back


def _middle(ends: Floats) -> Floats:
    """The position halfway between two, by way of the Earth's inside."""
    lon, lat = np.radians(ends).T
    inside = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]).sum(axis=1)
    middle = np.array(
        [np.arctan2(inside[1], inside[0]), np.arctan2(inside[2], np.hypot(inside[0], inside[1]))]
    )
    found: Floats = np.degrees(middle)
    return found
