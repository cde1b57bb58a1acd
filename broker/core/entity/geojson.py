"""Entities as GeoJSON Features (clauses 4.5.16, 4.5.17)."""

from broker.core import Entity, Json
from broker.core.entity.view import View


def feature(entity: Entity, shown: dict[str, Json], geometry_property: str, view: View) -> dict[str, Json]:
    """A Feature: the geometry of one GeoProperty (IRI) of the entity, and `shown` as the properties.

    `shown`: the JSON of the entity; its id is taken out. The geometry is there whatever is picked or omitted,
    but if nothing is shown the Feature is empty.
    """
    if not shown:
        return {}
    identifier = {"id": shown.pop("id")} if "id" in shown else {}
    geometry = _geometry(entity, geometry_property, view.datasets)
    return {**identifier, "type": "Feature", "geometry": geometry, "properties": shown}


def _geometry(entity: Entity, geometry_property: str, datasets: frozenset[str] | None) -> Json:
    """4.5.16.1: the value of the default instance, or of one in `datasets`; None without a GeoProperty."""
    wanted = datasets or {"@none"}
    for instance in entity["attrs"].get(geometry_property, ()):
        if instance.get("datasetId", "@none") in wanted and instance["type"] == "GeoProperty":
            return instance["value"]
    return None
