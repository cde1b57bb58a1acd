"""The change that a write makes to one entity: its state before and after, and what differs.

Attributes and instances that did not change are the same objects before and after, so this module compares
them by identity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from broker.core import Attributes, Entity, Instance
from broker.core.entity.kinds import KINDS
from broker.core.uri import NULL


class Touched(NamedTuple):
    """An attribute (IRI) that a change touched, with its instances before (`old`) and after (`new`)."""

    iri: str
    old: Sequence[Instance]
    new: Sequence[Instance]


@dataclass(frozen=True)
class Change:
    """One entity before and after a write at the instant `now`; None if it did not or does not exist."""

    id: str
    before: Entity | None
    after: Entity | None
    now: str

    @property
    def entity(self) -> Entity:
        """The entity after the change; if the change deleted it, the entity before."""
        entity = self.after if self.after is not None else self.before
        assert entity is not None, "a change has an entity before or after"
        return entity

    @cached_property
    def touched(self) -> tuple[Touched, ...]:
        """The attributes that differ, computed once: everything else about the change follows from them."""
        before, after = _attrs(self.before), _attrs(self.after)
        if before is after:
            return ()
        touched = [
            Touched(iri, before.get(iri, ()), new) for iri, new in after.items() if before.get(iri) is not new
        ]
        touched += [Touched(iri, old, ()) for iri, old in before.items() if iri not in after]
        return tuple(touched)


def written(change: Change) -> Iterator[tuple[str, Instance]]:
    """Yields (IRI of the attribute, instance) for each instance that was written, even with equal content."""
    for iri, old, new in change.touched:
        for instance in new:
            if not any(instance is former for former in old):
                yield iri, instance


# Flags: what may happen to an attribute, and to an entity as a whole (5.2.12: notificationTrigger).
ATTRIBUTE_CREATED, ATTRIBUTE_UPDATED, ATTRIBUTE_DELETED = 1, 2, 4
ENTITY_CREATED, ENTITY_DELETED = 8, 16


class Events(NamedTuple):
    """The flags of a change: of each attribute (by IRI), of the entity as a whole, and of `all` together."""

    attrs: dict[str, int]
    entity: int
    all: int


def events(change: Change, datasets: frozenset[str] | None = None) -> Events:
    """The events of a change. An instance that was written with the same content as before is no event.

    `datasets`: only instances of these datasetIds count ("@none": the default instance); None: all count.
    """
    attrs = {
        iri: flags
        for iri, old, new in change.touched
        if (flags := _events(_selected(old, datasets), _selected(new, datasets)))
    }
    entity_flags = ENTITY_CREATED if change.before is None else ENTITY_DELETED if change.after is None else 0
    all_flags = entity_flags
    for flags in attrs.values():
        all_flags |= flags
    return Events(attrs, entity_flags, all_flags)


def _events(old: Sequence[Instance], new: Sequence[Instance]) -> int:
    flags, before = 0, {instance.get("datasetId"): instance for instance in old}
    for instance in new:
        former = before.pop(instance.get("datasetId"), None)
        if former is None:
            flags |= ATTRIBUTE_CREATED
        elif former is not instance and _said(former) != _said(instance):
            flags |= ATTRIBUTE_UPDATED
    return flags | ATTRIBUTE_DELETED if before else flags


def _selected(instances: Sequence[Instance], datasets: frozenset[str] | None) -> Sequence[Instance]:
    if datasets is None:
        return instances
    return [instance for instance in instances if instance.get("datasetId", "@none") in datasets]


def _said(instance: Instance) -> Instance:
    return {name: value for name, value in instance.items() if name not in _TIMES}


_TIMES = ("createdAt", "modifiedAt")


def removed(change: Change) -> Iterator[tuple[str, Instance]]:
    """Yields (IRI of the attribute, tombstone) for each instance that the change deleted (4.5.7)."""
    for iri, instance in _replaced(change):
        if change.after is None or not _has(change.after, iri, instance):
            yield iri, tombstone(instance, change.now)


def _replaced(change: Change) -> Iterator[tuple[str, Instance]]:
    """Yields (IRI, instance) for each instance that the change wrote again or deleted, as it was before."""
    for iri, old, new in change.touched:
        for instance in old:
            if not any(instance is later for later in new):
                yield iri, instance


def _has(entity: Entity, iri: str, instance: Instance) -> bool:
    dataset = instance.get("datasetId")
    return any(other.get("datasetId") == dataset for other in entity["attrs"].get(iri, ()))


def with_tombstones(change: Change) -> Entity:
    """The entity after the change, with tombstones for what the change deleted, for notifications (5.8.6).

    A tombstone keeps createdAt and modifiedAt of the deleted instance. A deleted entity has `deletedAt`, and
    tombstones in place of all its instances.
    """
    before, after = change.before, change.after
    tombstones: Attributes = {}
    for iri, instance in _replaced(change):
        if after is None or not _has(after, iri, instance):
            times = {name: instance[name] for name in _TIMES if name in instance}
            tombstones.setdefault(iri, []).append(tombstone(instance, change.now) | times)
    if after is None:
        assert before is not None
        kept = {name: before[name] for name in ("id", "type", *_TIMES)}
        return {**kept, "deletedAt": change.now, "attrs": tombstones}
    if not tombstones:
        return after
    return {
        **after,
        "attrs": after["attrs"] | {k: [*after["attrs"].get(k, ()), *v] for k, v in tombstones.items()},
    }


def previous(change: Change) -> Attributes:
    """The instances that got new content or were deleted, as they were before (showChanges, 5.2.14)."""
    replaced: Attributes = {}
    after = _attrs(change.after)
    for iri, instance in _replaced(change):
        dataset = instance.get("datasetId")
        successor = next(
            (candidate for candidate in after.get(iri, ()) if candidate.get("datasetId") == dataset), None
        )
        if successor is None or _said(successor) != _said(instance):
            replaced.setdefault(iri, []).append(instance)
    return replaced


def tombstone(instance: Instance, now: str) -> Instance:
    """The instance that records the deletion of this one: of the same kind, its value an NGSI-LD Null."""
    kind = KINDS[instance["type"]]
    null = {"languageMap": {"@none": NULL}, "valueList": [NULL], "objectList": [NULL]}.get(kind.value, NULL)
    deleted = {"type": kind.type, kind.value: null, "deletedAt": now}
    if "datasetId" in instance:
        deleted["datasetId"] = instance["datasetId"]
    return deleted


def _attrs(entity: Entity | None) -> Attributes:
    return {} if entity is None else entity["attrs"]
