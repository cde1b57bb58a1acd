"""Changed entities as one subscriber gets them: with NGSI-LD Nulls and previous values (5.8.6, 5.2.14)."""

from dataclasses import dataclass

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity.kinds import KINDS
from broker.core.entity.view import View
from broker.core.jsonld.context import Context
from broker.core.uri import NULL


@dataclass(frozen=True, slots=True)
class NotifiedParts:
    """What a subscriber gets beside the present state of an entity.

    `previous`: the previous values. `tombstones`: the attributes (IRIs; None: all) whose tombstones are part
    of the notification when the whole entity is deleted; with `previous` all of them are.
    """

    previous: bool = False
    tombstones: frozenset[str] | None = frozenset()


def entity_for_subscriber(
    entity: Entity, previous: Attributes | None, parts: NotifiedParts, view: View, context: Context
) -> Entity:
    """An entity of `change.with_tombstones` adapted to one subscriber; the same object if nothing differs."""
    before = (previous if parts.previous else None) or {}
    attrs = entity["attrs"]
    if "deletedAt" in entity and not parts.previous and parts.tombstones is not None:
        attrs = {iri: instances for iri, instances in attrs.items() if iri in parts.tombstones}
    new = {
        iri: _notified_instances(instances, before.get(iri, ()), parts, view, context)
        for iri, instances in attrs.items()
        if iri in before or any("deletedAt" in instance for instance in instances)
    }
    if not new and attrs is entity["attrs"]:
        return entity
    return {**entity, "attrs": attrs | new}


def _notified_instances(
    instances: list[Instance],
    before: list[Instance] | tuple[()],
    parts: NotifiedParts,
    view: View,
    context: Context,
) -> list[Instance]:
    if not parts.previous and _is_one_null(instances, view):
        instances = [instance for instance in instances if "datasetId" not in instance]
    previous = {instance.get("datasetId"): instance for instance in before}
    return [
        _instance(instance, previous.get(instance.get("datasetId")), view, context) for instance in instances
    ]


def _is_one_null(instances: list[Instance], view: View) -> bool:
    """Whether one Null, of the default instance, stands for all: in plain normalized form (046_22_08)."""
    is_bare = view.format == "normalized" and not view.sys_attrs and view.datasets is None
    has_default = any("datasetId" not in instance for instance in instances)
    return is_bare and has_default and all("deletedAt" in instance for instance in instances)


def _instance(instance: Instance, previous: Instance | None, view: View, context: Context) -> Instance:
    is_deleted = "deletedAt" in instance
    if is_deleted and not view.sys_attrs:
        instance = {name: value for name, value in instance.items() if name != "deletedAt"}
    if previous is not None:
        name = KINDS[previous["type"]].value
        return {
            **instance,
            f"previous{name[0].upper()}{name[1:]}": _shown(name, previous[name], view, context),
        }
    if is_deleted and _is_bare(instance, view):
        return {"type": "Property", "value": NULL, **{k: instance[k] for k in instance if k not in _OWN}}
    return instance


_OWN = frozenset({"type"} | {kind.value for kind in KINDS.values()})


def _is_bare(deleted: Instance, view: View) -> bool:
    """Whether a deleted instance is shown as a bare Null (5.8.6)."""
    is_default = "datasetId" not in deleted and not view.sys_attrs
    return view.format == "simplified" or (view.format == "concise" and is_default)


def _shown(name: str, value: Json, view: View, context: Context) -> Json:
    if name == "vocab":
        return [context.compact(iri) for iri in value] if isinstance(value, list) else context.compact(value)
    if name == "objectList" and view.format != "concise":
        return [{"object": uri} for uri in value]
    return value
