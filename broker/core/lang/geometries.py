"""The spatial relations of geoqueries (4.10), computed by Shapely.

Lines between positions are straight in longitude and latitude, as RFC 7946 defines them. So the relations are
those of plane geometry (OGC Simple Features), and exact. A distance is in metres, between the nearest points
of two geometries, on a sphere of Earth's mean radius, also across the antimeridian. It is exact between two
points, and within about a metre for lines and polygons up to hundreds of kilometres.

A polygon that crosses itself means the areas that it encloses. Its repair costs the square of the number of
crossings, so a polygon with more than 100 positions is not repaired. A geometry with a position that is not
on Earth is stored, but no relation to it holds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray
from shapely.errors import GEOSException
from shapely.geometry.base import BaseGeometry

from broker.core import Json
from broker.core.entity.geometry import EARTH_RADIUS, bounds

_TANGLE = 100  # positions of a geometry that is repaired, at most
_STEP = 0.1  # degrees; pieces of lines that are practically straight on a map around them
_PIECES = 20_000  # of one geometry, about
_ROUNDS = 3  # of the search on maps
_SAMPLES = 8  # positions of a geometry; the search begins at the nearest of them
_FAR = -0.2  # cosine of the radius of a map, about 100 degrees; maps are too distorted beyond

Floats = NDArray[np.float64]


def geometry(value: Json) -> BaseGeometry | None:
    """The geometry of well-formed GeoJSON, repaired if it is not valid; None if a part is not on Earth."""
    if bounds(value) is None:
        return None
    try:
        parsed = _read(value["type"], value["coordinates"])
    except (GEOSException, TypeError):  # altitudes above 64 bits, or a fourth number
        parsed = _read(value["type"], _flat(value["coordinates"]))
    return parsed if shapely.is_valid(parsed) else _repaired(parsed)


def _read(kind: str, coordinates: Json) -> BaseGeometry:
    text = orjson.dumps({"type": kind, "coordinates": coordinates})
    parsed: BaseGeometry = shapely.force_2d(shapely.from_geojson(text))
    return parsed


def _flat(coordinates: Json) -> Json:
    """Coordinates reduced to longitudes and latitudes."""
    return [*map(_flat, coordinates)] if isinstance(coordinates[0], list) else coordinates[:2]


def prepared(reference: BaseGeometry | None) -> BaseGeometry:
    """The geometry, prepared for many comparisons."""
    assert reference is not None
    shapely.prepare(reference)
    return reference


def _repaired(invalid: BaseGeometry) -> BaseGeometry:
    if shapely.get_num_coordinates(invalid) > _TANGLE:
        return invalid
    valid: BaseGeometry = shapely.make_valid(invalid, method="structure", keep_collapsed=False)
    return shapely.make_valid(invalid, method="structure") if valid.is_empty else valid


def related(relation: str, reference: BaseGeometry, metres: float | None, value: Json) -> bool:
    """Whether a well-formed geometry is in the relation to the prepared reference."""
    if (target := geometry(value)) is None:
        return False
    if metres is not None:
        return (distance(reference, target) <= metres) is (relation == "maxDistance")
    return bool(_RELATIONS[relation](reference, target))


# The prepared reference must be the first argument, so `within` is `contains`, and `contains` is `within`.
_RELATIONS: dict[str, Callable[..., object]] = {
    "within": shapely.contains,
    "contains": shapely.within,
    "overlaps": shapely.overlaps,
    "intersects": shapely.intersects,
    "equals": shapely.equals,
    "disjoint": shapely.disjoint,
}


def distance(a: BaseGeometry, b: BaseGeometry) -> float:
    """Metres between the nearest points of two geometries; 0 if they meet."""
    if a.geom_type == "Point" and b.geom_type == "Point":
        return float(_metres(_vectors(_positions(a)) - _vectors(_positions(b)))[0])
    if shapely.intersects(a, b):
        return 0.0
    if b.geom_type == "Point":
        a, b = b, a
    first, second = _pieces(a), _pieces(b)
    samples = first[:: max(1, len(first) // _SAMPLES), 0]
    metres = np.array([_from_point(position, second) for position in _vectors(samples)])
    if a.geom_type == "Point":
        return float(metres.min())
    return min(float(metres.min()), _on_maps(samples[metres.argmin()], first, second))


def _positions(value: BaseGeometry) -> Floats:
    positions: Floats = shapely.get_coordinates(value)
    return positions


def _pieces(value: BaseGeometry) -> Floats:
    """Pieces [start, end] of the lines and outlines of a geometry; of a point, a piece without length."""
    parts = shapely.get_parts(value)
    outlines = np.where(shapely.get_dimensions(parts) == 2, shapely.boundary(parts), parts)
    fine = shapely.segmentize(outlines, max(_STEP, float(shapely.length(outlines).sum()) / _PIECES))
    positions, of = shapely.get_coordinates(shapely.get_parts(fine), return_index=True)
    goes_on = of[:-1] == of[1:]
    pieces = np.stack((positions[:-1][goes_on], positions[1:][goes_on]), axis=1)
    points = positions[np.bincount(of)[of] == 1]
    return np.concatenate((pieces, np.stack((points, points), axis=1)))


def _vectors(positions: Floats) -> Floats:
    """Unit vectors from the centre of the Earth."""
    lon, lat = np.radians(positions[..., 0]), np.radians(positions[..., 1])
    return np.stack((np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)), axis=-1)


def _from_point(point: Floats, pieces: Floats) -> Any:
    """Metres from a point (a unit vector) to the nearest of the pieces."""
    start, end = _vectors(pieces[:, 0]), _vectors(pieces[:, 1])
    along = end - start
    length = (along**2).sum(axis=1)
    share = ((point - start) * along).sum(axis=1) / np.where(length == 0, 1.0, length)
    nearest = start + np.clip(share, 0, 1)[:, None] * along
    nearest /= np.linalg.norm(nearest, axis=1)[:, None]
    return _metres(nearest - point).min()


def _metres(chords: Floats) -> Floats:
    """Metres along the surface, of chords of the unit sphere."""
    metres: Floats = 2 * EARTH_RADIUS * np.arcsin(np.minimum(1, np.linalg.norm(chords, axis=-1) / 2))
    return metres


def _on_maps(center: Floats, first: Floats, second: Floats) -> float:
    """Metres between the nearest points of two sets of pieces.

    Each round draws a map around the nearest points of the round before, where distances are exact.
    """
    nearest = np.inf
    for _ in range(_ROUNDS):
        there, back = _map(center)
        line = shapely.shortest_line(_lines(there(first)), _lines(there(second)))
        if line is None or line.is_empty:  # what the map does not show is farther away
            break
        ends = _vectors(back(_positions(line)))
        nearest = min(nearest, float(_metres(ends[0] - ends[1])))
        center = _middle(ends)
    return nearest


def _lines(pieces: Floats) -> BaseGeometry:
    lines: Any = shapely.linestrings(pieces)
    multiline: BaseGeometry = shapely.multilinestrings(lines)
    return multiline


def _map(center: Floats) -> tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]:
    """An azimuthal equidistant map around a position: (function to the map, function back)."""
    lon0, lat0 = np.radians(center)

    def there(pieces: Floats) -> Floats:
        lon, lat = np.radians(pieces[..., 0]), np.radians(pieces[..., 1])
        cosine = np.sin(lat0) * np.sin(lat) + np.cos(lat0) * np.cos(lat) * np.cos(lon - lon0)
        east = np.cos(lat) * np.sin(lon - lon0)
        north = np.cos(lat0) * np.sin(lat) - np.sin(lat0) * np.cos(lat) * np.cos(lon - lon0)
        sine = np.hypot(east, north)
        scale = np.arctan2(sine, cosine) / np.where(sine == 0, 1.0, sine)
        shown: Floats = np.stack((scale * east, scale * north), axis=-1)[(cosine > _FAR).all(axis=1)]
        return shown

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
    """The position halfway between two unit vectors."""
    x, y, z = ends.sum(axis=0)
    degrees: Floats = np.degrees(np.array([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))]))
    return degrees
