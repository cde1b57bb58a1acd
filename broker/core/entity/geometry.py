"""GeoJSON geometries as values (clause 4.7, RFC 7946): their form, not their meaning."""

from broker.core import Json
from broker.core.entity.kinds import GEOMETRIES
from broker.core.errors import BadRequestData

# How deep the numbers stand in `coordinates`: a position is one list.
_DEPTH = {"Point": 1, "MultiPoint": 2, "LineString": 2, "MultiLineString": 3, "Polygon": 3, "MultiPolygon": 4}


def is_geometry(value: Json) -> bool:
    """Whether the value looks like a supported GeoJSON geometry (4.7.3 infers a GeoProperty from it)."""
    return _has_type(value) and "coordinates" in value


def check(value: Json, path: str) -> None:
    """Raises BadRequestData unless the value is a well-formed geometry of a supported type."""
    if not _has_type(value):
        raise BadRequestData(
            f"{path}: expected a GeoJSON geometry, of a type among {', '.join(sorted(GEOMETRIES))}"
        )
    kind = value["type"]
    coordinates: Json = value.get("coordinates")
    if not _is_nested(coordinates, _DEPTH[kind]):
        raise BadRequestData(f"{path}.coordinates: expected the coordinates of a {kind}")
    if any(len(line) < 2 for line in _lines(kind, coordinates)):
        raise BadRequestData(f"{path}.coordinates: expected lines of at least two positions")
    for ring in _rings(kind, coordinates):
        if len(ring) < 4 or ring[0] != ring[-1]:
            raise BadRequestData(f"{path}.coordinates: expected closed rings of at least four positions")


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
