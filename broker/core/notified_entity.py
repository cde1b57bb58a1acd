"""What one subscriber is told of a change: deletions as NGSI-LD Nulls, what was before (5.8.6, 5.2.14)."""

from dataclasses import dataclass

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity.kinds import KINDS
from broker.core.entity.view import View
from broker.core.jsonld.context import Context
from broker.core.uri import NULL


@dataclass(frozen=True, slots=True)
class Interest:
    """What somebody wants to know beside the state of an entity.

    `before`: what was before. `graves`: the attributes (None: all) whose deletion is told of with that of
    their entity; who wants to know what was before is told of all.
    """

    before: bool = False
    graves: frozenset[str] | None = frozenset()


def entity_for_subscriber(
    entity: Entity, previous: Attributes | None, interest: Interest, shape: View, context: Context
) -> Entity:
    """The entity of `change.with_tombstones` for one subscriber; without deletions it stays as it is."""
    before = (previous if interest.before else None) or {}
    attrs = entity["attrs"]
    if "deletedAt" in entity and not interest.before and interest.graves is not None:
        attrs = {iri: many for iri, many in attrs.items() if iri in interest.graves}
    new = {
        iri: _told(many, before.get(iri, ()), interest, shape, context)
        for iri, many in attrs.items()
        if iri in before or any("deletedAt" in one for one in many)
    }
    if not new and attrs is entity["attrs"]:
        return entity
    return {**entity, "attrs": attrs | new}


def _told(
    many: list[Instance],
    before: list[Instance] | tuple[()],
    interest: Interest,
    shape: View,
    context: Context,
) -> list[Instance]:
    if not interest.before and _is_one_null(many, shape):
        many = [one for one in many if "datasetId" not in one]
    were = {one.get("datasetId"): one for one in before}
    return [_instance(one, were.get(one.get("datasetId")), shape, context) for one in many]


def _is_one_null(many: list[Instance], shape: View) -> bool:
    """Whether the Null of the default instance stands for all: in bare normalized form (046_22_08)."""
    is_bare = shape.format == "normalized" and not shape.sys_attrs and shape.datasets is None
    has_default = any("datasetId" not in one for one in many)
    return is_bare and has_default and all("deletedAt" in one for one in many)


def _instance(one: Instance, was: Instance | None, shape: View, context: Context) -> Instance:
    is_dead = "deletedAt" in one
    if is_dead and not shape.sys_attrs:
        one = {name: value for name, value in one.items() if name != "deletedAt"}
    if was is not None:
        name = KINDS[was["type"]].value
        return {**one, f"previous{name[0].upper()}{name[1:]}": _shown(name, was[name], shape, context)}
    if is_dead and _is_bare(one, shape):
        return {"type": "Property", "value": NULL, **{k: one[k] for k in one if k not in _OWN}}
    return one


_OWN = frozenset({"type"} | {kind.value for kind in KINDS.values()})


def _is_bare(dead: Instance, shape: View) -> bool:
    """Whether the Null stands alone: where nothing else has to be said (5.8.6)."""
    is_lone = "datasetId" not in dead and not shape.sys_attrs
    return shape.format == "simplified" or (shape.format == "concise" and is_lone)


def _shown(name: str, value: Json, shape: View, context: Context) -> Json:
    if name == "vocab":
        return [context.compact(one) for one in value] if isinstance(value, list) else context.compact(value)
    if name == "objectList" and shape.format != "concise":
        return [{"object": uri} for uri in value]
    return value
