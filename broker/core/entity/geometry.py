"""GeoJSON geometries as values (clause 4.7, RFC 7946): checks of their form."""

from collections.abc import Iterator

from broker.core import Json
from broker.core.entity.kinds import GEOMETRIES
from broker.core.errors import BadRequestData

Bounds = tuple[float, float, float, float]  # west, south, east, north, in degrees

EARTH_RADIUS = 6_371_008.8  # metres, the mean

# How many lists are nested in `coordinates`; a position is one list of numbers.
_DEPTH = {"Point": 1, "MultiPoint": 2, "LineString": 2, "MultiLineString": 3, "Polygon": 3, "MultiPolygon": 4}


def is_geometry(value: Json) -> bool:
    """Whether the value has the members of a supported geometry (4.7.3 infers a GeoProperty from them)."""
    return _has_type(value) and "coordinates" in value


def check(value: Json, path: str) -> None:
    """BadRequestData, which names `path`, unless the value is a well-formed geometry of a supported type."""
    if not _has_type(value):
        raise BadRequestData(
            f"{path}: expected a GeoJSON geometry, of a type among {', '.join(sorted(GEOMETRIES))}"
        )
    if expected := fault(value["type"], value.get("coordinates")):
        raise BadRequestData(f"{path}.coordinates: {expected}")


def fault(kind: str, coordinates: Json) -> str | None:
    """What was expected of the coordinates of a geometry of this type; None if they are well-formed."""
    if not _is_nested(coordinates, _DEPTH[kind]):
        return f"expected the coordinates of a {kind}"
    if any(len(line) < 2 for line in _lines(kind, coordinates)):
        return "expected lines of at least two positions"
    if any(len(ring) < 4 or ring[0] != ring[-1] for ring in _rings(kind, coordinates)):
        return "expected closed rings of at least four positions"
    return None


def positions(value: Json) -> Iterator[Json]:
    """Yields every position of a well-formed geometry: [longitude, latitude, …]."""
    return _flat(value["coordinates"], _DEPTH[value["type"]])


def bounds(value: Json) -> Bounds | None:
    """The bounding box of a well-formed geometry; None if a position is not on Earth."""
    longitudes, latitudes = zip(*((position[0], position[1]) for position in positions(value)), strict=True)
    west, east, south, north = min(longitudes), max(longitudes), min(latitudes), max(latitudes)
    if west < -180 or east > 180 or south < -90 or north > 90:
        return None
    return float(west), float(south), float(east), float(north)


def _flat(coordinates: Json, depth: int) -> Iterator[Json]:
    if depth == 1:
        yield coordinates
    else:
        for inner in coordinates:
            yield from _flat(inner, depth - 1)


def _has_type(value: Json) -> bool:
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] in GEOMETRIES


def _lines(kind: str, coordinates: Json) -> list[Json]:
    if kind == "LineString":
        return [coordinates]
    return list(coordinates) if kind == "MultiLineString" else []


def _rings(kind: str, coordinates: Json) -> list[Json]:
    if kind == "Polygon":
        return list(coordinates)
    return [ring for polygon in coordinates for ring in polygon] if kind == "MultiPolygon" else []


def _is_nested(value: Json, depth: int) -> bool:
    if not isinstance(value, list) or not value:
        return False
    if depth == 1:
        return 2 <= len(value) <= 4 and all(type(n) in (int, float) for n in value)
    return all(_is_nested(inner, depth - 1) for inner in value)
