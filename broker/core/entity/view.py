"""Entities as clients see them: normalized, concise, simplified (clauses 4.5.1 to 4.5.5, 6.3.7, 6.3.11)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from broker.core import Entity, Instance, Json
from broker.core.entity.geometry import is_geometry
from broker.core.entity.instances import created_at, modified_at
from broker.core.entity.kinds import KINDS
from broker.core.jsonld.context import Context


@dataclass(frozen=True, slots=True)
class View:
    """What of an entity is shown: in which format, with system attributes or not, which attributes."""

    format: str = "normalized"
    sys_attrs: bool = False
    attrs: Sequence[str] = ()


def view(entity: Entity, context: Context, view: View) -> dict[str, Json]:
    """The entity as JSON in the names of `context`, without its @context."""
    compact = context.compact
    types = entity["type"]
    shown: dict[str, Json] = {
        "id": entity["id"],
        "type": compact(types[0]) if len(types) == 1 else [compact(one) for one in types],
    }
    if scope := entity.get("scope"):
        shown["scope"] = scope[0] if len(scope) == 1 else scope
    if view.sys_attrs:
        shown["createdAt"] = entity["createdAt"] + "Z"
        shown["modifiedAt"] = entity["modifiedAt"] + "Z"
        for name in ("expiresAt", "deletedAt"):
            if name in entity:
                shown[name] = entity[name] + "Z"
    show, wanted = _FORMATS[view.format], view.attrs
    born = entity["createdAt"] if view.sys_attrs else None
    for iri, instances in entity["attrs"].items():
        if not wanted or iri in wanted:
            shown[compact(iri)] = show(instances, context, born)
    return shown


def attribute(instances: list[Instance], context: Context, format: str, born: str | None) -> Json:
    """One attribute as JSON: an object, or an array when it has several instances.

    `born` is when the entity was created, if system attributes are to be shown.
    """
    return _FORMATS[format](instances, context, born)


def _normalized(instances: list[Instance], context: Context, born: str | None) -> Json:
    if len(instances) == 1:
        return _instance(instances[0], context, born, _normalized)
    return [_instance(one, context, born, _normalized) for one in instances]


def _concise(instances: list[Instance], context: Context, born: str | None) -> Json:
    many = [_brief(_instance(one, context, born, _concise)) for one in instances]
    return _bare(many[0]) if len(many) == 1 else many


def _simplified(instances: list[Instance], context: Context, born: str | None) -> Json:
    if len(instances) == 1 and "datasetId" not in instances[0]:
        return value(instances[0], context)
    return {"dataset": {one.get("datasetId", "@none"): value(one, context) for one in instances}}


_Show = Callable[[list[Instance], Context, str | None], Any]
_FORMATS: dict[str, _Show] = {"normalized": _normalized, "concise": _concise, "simplified": _simplified}


def _instance(instance: Instance, context: Context, born: str | None, show: _Show) -> dict[str, Json]:
    shown = instance.copy()
    for name in ("createdAt", "modifiedAt", "expiresAt"):
        if name in shown:
            del shown[name]
    if born is not None:
        shown |= _system(instance, born)
    if "observedAt" in shown:
        shown["observedAt"] += "Z"
    for name in _NAMED:
        if name in shown:
            _compact_name(shown, name, context)
    if "attrs" in shown:
        for iri, instances in shown.pop("attrs").items():
            shown[context.compact(iri)] = show(instances, context, born)
    return shown


def _system(instance: Instance, born: str) -> dict[str, Json]:
    """The system attributes of an instance (4.8)."""
    times = {"createdAt": created_at(instance, born) + "Z", "modifiedAt": modified_at(instance, born) + "Z"}
    return times | {name: instance[name] + "Z" for name in ("expiresAt", "deletedAt") if name in instance}


_NAMED = ("vocab", "objectType", "valueType", "objectList", "entityTypeSealed")


def _compact_name(shown: dict[str, Json], name: str, context: Context) -> None:
    if name == "objectList":
        shown[name] = [{"object": uri} for uri in shown[name]]
    else:
        shown[name] = _compacted(shown[name], context)


def _compacted(names: Json, context: Context) -> Json:
    return [context.compact(one) for one in names] if isinstance(names, list) else context.compact(names)


def _brief(shown: dict[str, Json]) -> dict[str, Json]:
    """The concise form of a normalized instance: without its type, where the value tells it."""
    kind = shown.pop("type")
    if "objectList" in shown:
        shown["objectList"] = [one["object"] for one in shown["objectList"]]
    if kind == "Property" and is_geometry(shown["value"]):  # it would be read back as a GeoProperty
        shown["type"] = kind
    return shown


def _bare(shown: dict[str, Json]) -> Json:
    """A lone plain value or geometry without the object around it. Other containers keep it: they
    could be read back as something else than a Property's value."""
    if shown.keys() != {"value"}:
        return shown
    value = shown["value"]
    return shown if isinstance(value, dict | list) and not is_geometry(value) else value


def value(instance: Instance, context: Context) -> Json:
    """The simplified form of one instance (4.5.4): its value, wrapped where its kind must stay visible."""
    name = KINDS[instance["type"]].value
    bare = instance[name]
    if name == "vocab":
        return {"vocab": _compacted(bare, context)}
    return {name: bare} if name in ("languageMap", "json") else bare
