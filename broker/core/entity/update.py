"""The rules by which writes change an entity (clauses 5.5.8, 5.6.1 to 5.6.6, 5.6.18).

A rule is a function of the stored entity (None if there is none) and the instant of the write. It returns an
`Outcome`: the entity after the write (None: deleted), and the answer to the client. A rule never modifies
its input: the new entity shares the unchanged objects, so a comparison by identity shows what changed. A rule
may be applied again, for instance after a conflict. Without an entity, rules that need one raise
ResourceNotFound.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity.instances import overwritten, replaced, stamped
from broker.core.entity.kinds import KINDS
from broker.core.entity.parse import Fragment
from broker.core.entity.values import is_null
from broker.core.errors import AlreadyExists, BadRequestData, ResourceNotFound
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.uri import NULL


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a rule: the entity after the write (None: deleted), and the answer to the client."""

    after: Entity | None
    answer: Any = None


@dataclass(slots=True)
class UpdateResult:
    """5.2.18: the attributes (IRIs) that were wholly written; and (IRI, reason) of the others."""

    updated: list[str] = field(default_factory=list)
    not_updated: list[tuple[str, str]] = field(default_factory=list)


_OWN = frozenset[str]().union(*(kind.own for kind in KINDS.values()))

Rule = Callable[[Entity | None, str], Outcome]


def create(entity: Entity) -> Rule:
    """5.6.1 Create Entity; AlreadyExists if the entity exists."""

    def rule(before: Entity | None, now: str) -> Outcome:
        if before is not None:
            raise AlreadyExists(f"{entity['id']} exists already")
        return Outcome(_stamped(entity, now))

    return rule


def replace(entity: Entity) -> Rule:
    """5.6.18 Replace Entity: everything but createdAt."""

    def rule(before: Entity | None, now: str) -> Outcome:
        return Outcome(_replaced(found(before, entity["id"]), entity, now))

    return rule


def upsert(entity: Entity, *, update: bool = False) -> Rule:
    """5.6.8 for one entity: creates it, or replaces it, or with `update` appends to it.

    Answers whether the entity was created.
    """

    def rule(before: Entity | None, now: str) -> Outcome:
        if before is None:
            return Outcome(_stamped(entity, now), True)
        if not update:
            return Outcome(_replaced(before, entity, now), False)
        members: dict[str, Json] = {name: entity[name] for name in ("scope", "expiresAt") if name in entity}
        fragment = Fragment(entity["attrs"], entity["type"], members)
        return Outcome(append(entity["id"], fragment)(before, now).after, False)

    return rule


def append(entity_id: str, fragment: Fragment, *, overwrite: bool = True) -> Rule:
    """5.6.3 Append Attributes: existing instances are overwritten only with `overwrite`.

    Without it, new scopes are added to the existing ones. Answers an UpdateResult.
    """

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        result = UpdateResult()
        writes: Attributes = {}
        for iri, instances in fragment.attrs.items():
            writes[iri] = _allowed(entity["attrs"].get(iri, ()), instances, overwrite)
            if len(writes[iri]) == len(instances):
                result.updated.append(iri)
            else:
                result.not_updated.append(
                    (iri, "the attribute exists already, and noOverwrite was asked for")
                )
        members = dict(fragment.members)
        if "scope" in members and not overwrite:
            members["scope"] = list(dict.fromkeys([*entity.get("scope", ()), *members["scope"]]))
        attrs = _with(entity["attrs"], writes, now)
        return Outcome(written(entity, attrs, fragment.types, members, now), result)

    return rule


def update_attrs(entity_id: str, fragment: Fragment) -> Rule:
    """5.6.2 Update Attributes: replaces or adds each instance; Nulls delete. Answers an UpdateResult.

    A scope is only replaced: an entity without a scope gets none.
    """

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        result = UpdateResult(list(fragment.attrs))
        members = dict(fragment.members)
        if "scope" in members and "scope" not in entity:
            del members["scope"]
            result.not_updated.append((NGSI_LD + "scope", "the entity has no scope that could be updated"))
        attrs = _with(entity["attrs"], fragment.attrs, now)
        return Outcome(written(entity, attrs, fragment.types, members, now), result)

    return rule


def partial_update(entity_id: str, iri: str, fragment: Instance) -> Rule:
    """5.6.4 Partial Attribute update: overwrites the members in the fragment and keeps the others.

    A Null as the value deletes the instance. ResourceNotFound if there is no such instance; BadRequestData
    if the members do not fit its kind.
    """

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        dataset = fragment.get("datasetId")
        old = _instance_of(entity, iri, dataset)
        if "type" in fragment and fragment["type"] != old["type"]:
            raise BadRequestData(f"type: expected {old['type']}, a partial update cannot change it")
        kind = KINDS[old["type"]]
        if foreign := sorted((_OWN - kind.own) & fragment.keys()):
            raise BadRequestData(f"{foreign[0]}: not allowed in a {kind.type}")
        if is_null(fragment.get(kind.value)):
            return Outcome(_without(entity, iri, dataset, now))
        return Outcome(_exchanged(entity, iri, old, overwritten(old, fragment, now), now))

    return rule


def replace_attr(entity_id: str, iri: str, instance: Instance) -> Rule:
    """5.6.19 Replace Attribute: all of one instance but createdAt; ResourceNotFound if it is missing."""

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        old = _instance_of(entity, iri, instance.get("datasetId"))
        return Outcome(_exchanged(entity, iri, old, stamped(instance, old, now), now))

    return rule


def purge_attrs(entity_id: str, goes: Callable[[str], bool]) -> Rule:
    """5.6.21 Purge Entities, with keep or drop: deletes the attributes (IRIs) for which `goes` holds."""

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        attrs = {iri: instances for iri, instances in entity["attrs"].items() if not goes(iri)}
        changed = len(attrs) < len(entity["attrs"])
        return Outcome({**entity, "modifiedAt": now, "attrs": attrs} if changed else entity)

    return rule


def delete_attr(entity_id: str, iri: str, dataset: str | None = None, *, delete_all: bool = False) -> Rule:
    """5.6.5 Delete Attribute: the instance of `dataset` (None: the default one), or with `delete_all` all.

    ResourceNotFound if there is no such instance.
    """

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        if not delete_all:
            return Outcome(_without(entity, iri, _instance_of(entity, iri, dataset).get("datasetId"), now))
        if iri not in entity["attrs"]:
            raise ResourceNotFound(f"{entity_id} has no attribute {iri}")
        attrs = {name: instances for name, instances in entity["attrs"].items() if name != iri}
        return Outcome({**entity, "modifiedAt": now, "attrs": attrs})

    return rule


def delete_scope(entity_id: str) -> Rule:
    """5.6.5 for the scope, which is deleted like an attribute. ResourceNotFound if the entity has none."""

    def rule(before: Entity | None, now: str) -> Outcome:
        entity = found(before, entity_id)
        if "scope" not in entity:
            raise ResourceNotFound(f"{entity_id} has no scope")
        return Outcome({**{k: v for k, v in entity.items() if k != "scope"}, "modifiedAt": now})

    return rule


def delete(entity_id: str) -> Rule:
    """5.6.6 Delete Entity."""

    def rule(before: Entity | None, now: str) -> Outcome:
        found(before, entity_id)
        return Outcome(None)

    return rule


def only_if(applies: Callable[[Entity], bool], rule: Rule) -> Rule:
    """The rule for entities for which `applies` holds; ResourceNotFound for others (4.17: `type`)."""

    def gated(before: Entity | None, now: str) -> Outcome:
        if before is not None and not applies(before):
            raise ResourceNotFound(f"{before['id']} is not of the type asked for")
        return rule(before, now)

    return gated


def found(before: Entity | None, entity_id: str) -> Entity:
    """The entity; ResourceNotFound if there is none."""
    if before is None:
        raise ResourceNotFound(f"there is no entity {entity_id}")
    return before


def written(
    entity: Entity, attrs: Attributes, types: list[str], members: dict[str, Json], now: str
) -> Entity:
    """The entity with these attributes, additional types and these plain members.

    Attributes without instances and plain members that are `NULL` are removed.
    """
    remaining = {iri: instances for iri, instances in attrs.items() if instances}
    after = {**entity, "modifiedAt": now, **members, "attrs": remaining}
    if new_types := [iri for iri in types if iri not in entity["type"]]:
        after["type"] = [*entity["type"], *new_types]
    for name in [name for name, value in members.items() if value == NULL]:
        del after[name]
    return after


def _with(attrs: Attributes, writes: Attributes, now: str) -> Attributes:
    """The attributes after `writes`: each instance replaces the one of its datasetId, or is added."""
    new = {
        iri: replaced(attrs.get(iri, ()), instances, now) for iri, instances in writes.items() if instances
    }
    return {**attrs, **new}


def _exchanged(entity: Entity, iri: str, old: Instance, new: Instance, now: str) -> Entity:
    instances = [new if instance is old else instance for instance in entity["attrs"][iri]]
    return {**entity, "modifiedAt": now, "attrs": {**entity["attrs"], iri: instances}}


def _instance_of(entity: Entity, iri: str, dataset: str | None) -> Instance:
    instances: list[Instance] = entity["attrs"].get(iri, [])
    for instance in instances:
        if instance.get("datasetId") == dataset:
            return instance
    which = f"instance {dataset}" if dataset else "default instance"
    raise ResourceNotFound(f"{entity['id']} has no {which} of the attribute {iri}")


def _stamped(entity: Entity, now: str) -> Entity:
    return {**entity, "createdAt": now, "modifiedAt": now}


def _replaced(before: Entity, entity: Entity, now: str) -> Entity:
    old = before["attrs"]
    attrs = {iri: replaced(old.get(iri, ()), new, now, keep=False) for iri, new in entity["attrs"].items()}
    return {**entity, "createdAt": before["createdAt"], "modifiedAt": now, "attrs": attrs}


def _without(entity: Entity, iri: str, dataset: str | None, now: str) -> Entity:
    remaining = [instance for instance in entity["attrs"][iri] if instance.get("datasetId") != dataset]
    attrs = {**entity["attrs"], iri: remaining}
    if not remaining:
        del attrs[iri]
    return {**entity, "modifiedAt": now, "attrs": attrs}


def _allowed(old: Iterable[Instance], new: list[Instance], overwrite: bool) -> list[Instance]:
    if overwrite:
        return new
    existing = {instance.get("datasetId") for instance in old}
    return [instance for instance in new if instance.get("datasetId") not in existing]
