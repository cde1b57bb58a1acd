"""Entities as GeoJSON Features (clauses 4.5.16, 4.5.17)."""

from broker.core import Entity, Json
from broker.core.entity.view import View, view
from broker.core.jsonld.context import Context


def feature(entity: Entity, context: Context, shape: View, geometry_property: str) -> dict[str, Json]:
    """The Feature of an entity: the geometry of one GeoProperty (IRI), all else as its properties."""
    shown = view(entity, context, shape)
    return {
        "id": shown.pop("id"),
        "type": "Feature",
        "geometry": _geometry(entity, geometry_property),
        "properties": shown,
    }


def collection(features: list[dict[str, Json]]) -> dict[str, Json]:
    """The FeatureCollection of several."""
    return {"type": "FeatureCollection", "features": features}


def _geometry(entity: Entity, geometry_property: str) -> Json:
    """4.5.16.1: the value of the default instance, if it is a GeoProperty; else null."""
    for one in entity["attrs"].get(geometry_property, ()):
        if "datasetId" not in one and one["type"] == "GeoProperty":
            return one["value"]
    return None
