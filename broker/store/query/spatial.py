"""Translates geoqueries into MongoDB filters: one for certain matches, one for possible matches.

MongoDB has the places of entities (`places`): points and bounding boxes. It decides for points near a point
or in an area. Other places are possible matches, which `selection` tests exactly. A margin separates the two
cases; it is far above errors of arithmetic and far below the precision of measurements. Of points only those
in the cells along a border (`borders`) need an exact test.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import shapely
from shapely.geometry.base import BaseGeometry

from broker.core.entity.geometry import EARTH_RADIUS, Bounds
from broker.core.lang.geo import GeoQuery
from broker.store.query.borders import border
from broker.store.query.conditions import NOTHING, Filter, all_of, any_of
from broker.store.wire import places
from broker.store.wire.codec import key

_MARGIN = 1e-9  # degrees, a tenth of a millimetre
_ROUGH = 1e-3  # relative margin of distances to lines and areas, which are more exact than this
_IS_POINT: Filter = {"at": {"$exists": True}}
_NO_POINT: Filter = {"at": {"$exists": False}}


@dataclass(frozen=True, slots=True)
class SpatialFilters:
    """The filters of a geoquery.

    Entities that meet `certain` match; those that meet `possible` need an exact test; others do not match.
    `candidates` uses the index of cells; all matches meet it.
    """

    candidates: Filter
    certain: Filter
    possible: Filter


def spatial_filters(geo: GeoQuery) -> SpatialFilters:
    """The filters of a geoquery."""
    sure, possible, boxes = _of_places(geo)
    certain = _some(geo, sure)
    candidates: Filter = {} if geo.relation in _OUTSIDE else {"cells": places.around(boxes)}
    looked_at: Filter = {"cells": places.around(boxes, _in_doubt(geo, boxes))}
    return SpatialFilters(candidates, certain, all_of([looked_at, _some(geo, possible), {"$nor": [certain]}]))


def _in_doubt(geo: GeoQuery, boxes: list[Bounds]) -> list[str] | None:
    """The cells in which Points need an exact test; None for all cells.

    For Points near a Point there are none: MongoDB decides that, with a relative error below 1e-7.
    """
    if geo.distance is not None:
        return [] if geo.reference["type"] == "Point" else None
    if geo.relation in _AREAL | {"disjoint"} and _is_area(geo.compiled):
        return border(geo.compiled, boxes[0])
    return None


def _some(geo: GeoQuery, of_place: Filter) -> Filter:
    """The filter that a condition holds for a place of the GeoProperty."""
    return {f"geo.{key(geo.property)}": {"$elemMatch": of_place} if of_place else {"$exists": True}}


def _of_places(geo: GeoQuery) -> tuple[Filter, Filter, list[Bounds]]:
    """(certain, possible, boxes): conditions for places that match for sure, for places that may match, and
    the bounding boxes to search.
    """
    match geo.relation:
        case "maxDistance":
            return _near(geo)
        case "minDistance":
            sure, possible, boxes = _near(geo)
            return _not(possible), _not(sure), boxes
        case "disjoint":
            sure, possible = _meeting(geo)
            return _not(possible), _not(sure), [_box(geo)]
    sure, possible = _meeting(geo) if geo.relation in _AREAL else (NOTHING, {})
    return _same_point(geo, sure), all_of([possible, _BOXES[geo.relation](_box(geo))]), [_box(geo)]


def _not(condition: Filter) -> Filter:
    return {"$nor": [condition]}


def _box(geo: GeoQuery) -> Bounds:
    west, south, east, north = geo.compiled.bounds
    return west - _MARGIN, south - _MARGIN, east + _MARGIN, north + _MARGIN


_AREAL = frozenset({"within", "intersects"})
_OUTSIDE = frozenset({"minDistance", "disjoint"})


def _is_area(geometry: BaseGeometry) -> bool:
    return geometry.geom_type in ("Polygon", "MultiPolygon") and bool(shapely.is_valid(geometry))


def _meeting(geo: GeoQuery) -> tuple[Filter, Filter]:
    """(certain, possible): the conditions that a place intersects the reference, and that it may."""
    sure, possible = NOTHING, _touching(_box(geo))
    if _is_area(geo.compiled):
        sure = _in_area(geo.compiled.buffer(-_MARGIN))
        in_reach = all_of([_in_area(geo.compiled.buffer(_MARGIN, quad_segs=1))])
        possible = all_of([possible, any_of([_NO_POINT, in_reach])])
    return _same_point(geo, sure), possible


def _same_point(geo: GeoQuery, otherwise: Filter) -> Filter:
    if geo.relation == "overlaps" or geo.reference["type"] != "Point":
        return otherwise
    return {"at": [*map(float, geo.reference["coordinates"][:2])]}


def _in_area(area: BaseGeometry) -> Filter:
    """The condition that a point is in an area."""
    return any_of([_in_polygon(polygon) for polygon in shapely.get_parts(area) if not polygon.is_empty])


def _in_polygon(polygon: BaseGeometry) -> Filter:
    shell, *holes = (_in_ring(ring) for ring in shapely.get_rings(polygon))
    return {**shell, "$nor": holes} if holes else shell


def _in_ring(ring: BaseGeometry) -> Filter:
    return {"at": {"$geoWithin": {"$polygon": shapely.get_coordinates(ring)[:-1].tolist()}}}


def _touching(box: Bounds) -> Filter:
    west, south, east, north = box
    return {"w": {"$lte": east}, "e": {"$gte": west}, "s": {"$lte": north}, "n": {"$gte": south}}


def _around(box: Bounds) -> Filter:
    west, south, east, north = box
    twice = 2 * _MARGIN
    return {
        "w": {"$lte": west + twice}, "e": {"$gte": east - twice},
        "s": {"$lte": south + twice}, "n": {"$gte": north - twice},
    }  # fmt: skip


# The box of a place may be larger than its geometry, if that had to be repaired. So no condition excludes a
# place because its box reaches beyond the reference.
_BOXES: dict[str, Callable[[Bounds], Filter]] = {
    "within": _touching,
    "contains": _around,
    "intersects": _touching,
    "equals": _around,
    "overlaps": lambda box: {**_touching(box), **_NO_POINT},
}


def _near(geo: GeoQuery) -> tuple[Filter, Filter, list[Bounds]]:
    """(certain, possible, boxes): conditions that a place is within the distance, that it may be; boxes."""
    angle = (geo.distance or 0) / EARTH_RADIUS
    if geo.reference["type"] != "Point":
        boxes = _within_reach(_box(geo), angle * (1 + _ROUGH))
        return NOTHING, any_of([_touching(box) for box in boxes]), boxes
    boxes = _within_reach(_box(geo), angle * (1 + _ROUGH))
    others = [all_of([_touching(box), _NO_POINT]) for box in boxes]
    circle = _in_circle(geo, angle)
    return circle, any_of([circle, *others]), boxes


def _in_circle(geo: GeoQuery, angle: float) -> Filter:
    if angle >= math.pi:
        return _IS_POINT
    center = [*map(float, geo.reference["coordinates"][:2])]
    return {"at": {"$geoWithin": {"$centerSphere": [center, angle]}}} if angle > 0 else NOTHING


def _within_reach(box: Bounds, angle: float) -> list[Bounds]:
    """Boxes with everything within an angle (radians) of a box; two if they cross the antimeridian."""
    west, south, east, north = box
    reach = math.degrees(angle) + 2 * _MARGIN
    south, north = south - reach, north + reach
    highest = math.radians(max(abs(box[1]), abs(box[3])))
    if south <= -90 or north >= 90:
        return [(-180.0, max(-90.0, south), 180.0, min(90.0, north))]
    turn = math.degrees(math.asin(min(1.0, math.sin(angle) / math.cos(highest)))) + 2 * _MARGIN
    west, east = west - turn, east + turn
    if east - west >= 360:
        return [(-180.0, south, 180.0, north)]
    if west < -180:
        return [(-180.0, south, east, north), (west + 360, south, 180.0, north)]
    if east > 180:
        return [(west, south, 180.0, north), (-180.0, south, east - 360, north)]
    return [(west, south, east, north)]
