"""Entities as GeoJSON Features (clauses 4.5.16, 4.5.17)."""

from broker.core import Entity, Json
from broker.core.entity.view import View


def feature(entity: Entity, shown: dict[str, Json], geometry_property: str, shape: View) -> dict[str, Json]:
    """The Feature of an entity as it is shown: the geometry of one GeoProperty (IRI), all else as properties.

    The geometry is there whatever is picked or omitted; where nothing is shown, the Feature is empty.
    """
    if not shown:
        return {}
    named = {"id": shown.pop("id")} if "id" in shown else {}
    geometry = _geometry(entity, geometry_property, shape.datasets)
    return {**named, "type": "Feature", "geometry": geometry, "properties": shown}


def _geometry(entity: Entity, geometry_property: str, datasets: frozenset[str] | None) -> Json:
    """4.5.16.1: the value of the default instance, or of one asked for, if it is a GeoProperty; else null."""
    wanted = datasets or {"@none"}
    for one in entity["attrs"].get(geometry_property, ()):
        if one.get("datasetId", "@none") in wanted and one["type"] == "GeoProperty":
            return one["value"]
    return None
