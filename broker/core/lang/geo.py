"""4.10 The NGSI-LD Geoquery Language: parses its four members into a `GeoQuery`.

georel = "near;" ("maxDistance" / "minDistance") "==" PositiveNumber     ; metres
georel = "within" / "contains" / "overlaps" / "intersects" / "equals" / "disjoint"

`geometry` is a type of GeoJSON geometry, except GeometryCollection. `coordinates` are its coordinates, as
JSON or as a text of JSON. `geoproperty` names the GeoProperty that is compared; the default is location. The
module `geometries` defines the relations. It needs Shapely and NumPy (15 MB of memory, 0.1 s to load), which
most workers never use, so it is imported at the first comparison.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import orjson

from broker.core import Json
from broker.core.entity import geometry
from broker.core.entity.kinds import GEOMETRIES
from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.uri import is_name

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

MEMBERS = ("georel", "geometry", "coordinates")  # the required members; `geoproperty` is optional
LOCATION = NGSI_LD + "location"

_NEAR = re.compile(r"near;(maxDistance|minDistance)==((?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_RELATIONS = frozenset({"within", "contains", "overlaps", "intersects", "equals", "disjoint"})
_MOST = 10_000  # positions


@dataclass(frozen=True)
class GeoQuery:
    """Selects entities by their GeoProperty `property` (IRI): an instance must have a relation to a geometry.

    `relation`: a georel above, or maxDistance or minDistance with a `distance` in metres. `reference`: the
    GeoJSON geometry to which the instance is compared.
    """

    relation: str
    reference: Json
    property: str = LOCATION
    distance: float | None = None

    @cached_property
    def compiled(self) -> "BaseGeometry":
        """The reference, prepared for many comparisons."""
        from broker.core.lang import geometries

        return geometries.prepared(geometries.geometry(self.reference))

    def selects(self, value: Json) -> bool:
        """Whether a well-formed geometry is in the relation to the reference."""
        from broker.core.lang import geometries

        return geometries.related(self.relation, self.compiled, self.distance, value)


def load_geometries() -> None:
    """Imports the module for comparisons. It takes 0.1 s, so do not call it in the event loop."""
    import broker.core.lang.geometries  # noqa: F401


def parse(members: Mapping[str, Json], expand: Callable[[str], str]) -> GeoQuery:
    """The geoquery that the members of a query string or of a GeoQuery (5.2.13) define.

    BadRequestData, which names the member, if it is not valid; TooComplexQuery above 10 000 positions.
    """
    for name in MEMBERS:
        if name not in members:
            raise BadRequestData(f"{name}: expected beside {', '.join(sorted(members))} in a geoquery")
    relation, distance = _relation(members["georel"])
    reference = _reference(members["geometry"], members["coordinates"])
    name = members.get("geoproperty", "location")
    if not isinstance(name, str) or not is_name(name):
        raise BadRequestData("geoproperty: expected the name of a GeoProperty")
    return GeoQuery(relation, reference, expand(name), distance)


def _relation(georel: Json) -> tuple[str, float | None]:
    if isinstance(georel, str):
        if georel in _RELATIONS:
            return georel, None
        if (match := _NEAR.fullmatch(georel)) and 0 < (distance := float(match[2])) < math.inf:
            return match[1], distance
    raise BadRequestData(
        f"georel: expected one of {', '.join(sorted(_RELATIONS))}, near;maxDistance==metres or "
        "near;minDistance==metres, with more than 0 metres"
    )


def _count(coordinates: Json, levels: int = 4) -> int:
    """The number of positions, also of coordinates that are not well-formed. No geometry has more levels."""
    if not isinstance(coordinates, list) or not coordinates or not isinstance(coordinates[0], list):
        return 1
    if levels == 1 or not coordinates[0] or not isinstance(coordinates[0][0], list):
        return len(coordinates)
    return sum(_count(part, levels - 1) for part in coordinates)


def _reference(kind: Json, coordinates: Json) -> dict[str, Json]:
    if not isinstance(kind, str) or kind not in GEOMETRIES:
        raise BadRequestData(f"geometry: expected one of {', '.join(sorted(GEOMETRIES))}")
    if isinstance(coordinates, str):
        try:
            coordinates = orjson.loads(coordinates)
        except orjson.JSONDecodeError as error:
            raise BadRequestData("coordinates: expected a JSON array") from error
    if (positions := _count(coordinates)) > _MOST:
        raise TooComplexQuery(f"coordinates: expected at most {_MOST} positions, not {positions}")
    if fault := geometry.fault(kind, coordinates):
        raise BadRequestData(f"coordinates: {fault}")
    reference = {"type": kind, "coordinates": coordinates}
    if geometry.bounds(reference) is None:
        raise BadRequestData(
            "coordinates: expected positions of a longitude from -180 to 180 and a latitude from -90 to 90"
        )
    return reference
