"""What a write did to one entity, told from its state before and after by identity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from broker.core import Attributes, Entity, Instance
from broker.core.entity.kinds import KINDS
from broker.core.uri import NULL


class Touched(NamedTuple):
    """An attribute (IRI) that a change touched: its instances before and after; none where there was none."""

    iri: str
    old: Sequence[Instance]
    new: Sequence[Instance]


@dataclass(frozen=True)
class Change:
    """One entity before and after a write at the instant `now`; None where there was or is none."""

    id: str
    before: Entity | None
    after: Entity | None
    now: str

    @property
    def entity(self) -> Entity:
        """The entity as the change left it; as it was, if it is gone."""
        entity = self.after if self.after is not None else self.before
        assert entity is not None, "a change is of an entity that was or is"
        return entity

    @cached_property
    def touched(self) -> tuple[Touched, ...]:
        """The attributes that differ, worked out once: all else about a change follows from them."""
        before, after = _attrs(self.before), _attrs(self.after)
        if before is after:
            return ()
        found = [
            Touched(iri, before.get(iri, ()), new) for iri, new in after.items() if before.get(iri) is not new
        ]
        found += [Touched(iri, old, ()) for iri, old in before.items() if iri not in after]
        return tuple(found)


def written(change: Change) -> Iterator[tuple[str, Instance]]:
    """The attribute instances (with the attribute's IRI) that the change created or updated."""
    for iri, old, new in change.touched:
        for one in new:
            if not any(one is other for other in old):
                yield iri, one


# What may happen to an attribute, and to an entity as a whole (5.2.12: notificationTrigger).
ATTRIBUTE_CREATED, ATTRIBUTE_UPDATED, ATTRIBUTE_DELETED = 1, 2, 4
ENTITY_CREATED, ENTITY_DELETED = 8, 16


class Events(NamedTuple):
    """What a change means to subscribers, in flags: to each attribute (IRI), to the entity, and to any."""

    attrs: dict[str, int]
    entity: int
    all: int


def events(change: Change, datasets: frozenset[str] | None = None) -> Events:
    """What happened, instance by instance; what was written but says what it said before does not count.

    Only to the instances of these datasetIds, if any are given ("@none" for the default one).
    """
    found = {
        iri: flags
        for iri, old, new in change.touched
        if (flags := _events(_selected(old, datasets), _selected(new, datasets)))
    }
    whole = ENTITY_CREATED if change.before is None else ENTITY_DELETED if change.after is None else 0
    every = whole
    for flags in found.values():
        every |= flags
    return Events(found, whole, every)


def _events(old: Sequence[Instance], new: Sequence[Instance]) -> int:
    flags, before = 0, {one.get("datasetId"): one for one in old}
    for one in new:
        was = before.pop(one.get("datasetId"), None)
        if was is None:
            flags |= ATTRIBUTE_CREATED
        elif was is not one and _said(was) != _said(one):
            flags |= ATTRIBUTE_UPDATED
    return flags | ATTRIBUTE_DELETED if before else flags


def _selected(instances: Sequence[Instance], datasets: frozenset[str] | None) -> Sequence[Instance]:
    if datasets is None:
        return instances
    return [one for one in instances if one.get("datasetId", "@none") in datasets]


def _said(instance: Instance) -> Instance:
    return {name: value for name, value in instance.items() if name not in _TIMES}


_TIMES = ("createdAt", "modifiedAt")


def removed(change: Change) -> Iterator[tuple[str, Instance]]:
    """The attribute instances that the change deleted, each as its deletion is recorded (4.5.7)."""
    for iri, one in _replaced(change):
        if change.after is None or not _has(change.after, iri, one):
            yield iri, tombstone(one, change.now)


def _replaced(change: Change) -> Iterator[tuple[str, Instance]]:
    """The instances before the change that are not there after it as they were: updated, or deleted."""
    for iri, old, new in change.touched:
        for one in old:
            if not any(one is other for other in new):
                yield iri, one


def _has(entity: Entity, iri: str, instance: Instance) -> bool:
    dataset = instance.get("datasetId")
    return any(one.get("datasetId") == dataset for one in entity["attrs"].get(iri, ()))


def with_tombstones(change: Change) -> Entity:
    """The entity as the change left it, with what it deleted: what notifications tell of (5.8.6).

    A deleted instance is a tombstone, with the times of the one that it stands for; a deleted entity has
    `deletedAt`, and tombstones for all of its attributes.
    """
    before, after = change.before, change.after
    graves: Attributes = {}
    for iri, one in _replaced(change):
        if after is None or not _has(after, iri, one):
            times = {name: one[name] for name in _TIMES if name in one}
            graves.setdefault(iri, []).append(tombstone(one, change.now) | times)
    if after is None:
        assert before is not None
        kept = {name: before[name] for name in ("id", "type", *_TIMES)}
        return {**kept, "deletedAt": change.now, "attrs": graves}
    if not graves:
        return after
    return {
        **after,
        "attrs": after["attrs"] | {k: [*after["attrs"].get(k, ()), *v] for k, v in graves.items()},
    }


def previous(change: Change) -> Attributes:
    """The instances that the change updated or deleted, as they were before: for showChanges (5.2.14)."""
    found: Attributes = {}
    after = _attrs(change.after)
    for iri, one in _replaced(change):
        dataset = one.get("datasetId")
        new = next((other for other in after.get(iri, ()) if other.get("datasetId") == dataset), None)
        if new is None or _said(new) != _said(one):
            found.setdefault(iri, []).append(one)
    return found


def tombstone(instance: Instance, now: str) -> Instance:
    """The instance that stands for the deletion of another: same kind, an NGSI-LD Null for its value."""
    kind = KINDS[instance["type"]]
    null = {"languageMap": {"@none": NULL}, "valueList": [NULL], "objectList": [NULL]}.get(kind.value, NULL)
    dead = {"type": kind.type, kind.value: null, "deletedAt": now}
    if "datasetId" in instance:
        dead["datasetId"] = instance["datasetId"]
    return dead


def _attrs(entity: Entity | None) -> Attributes:
    return {} if entity is None else entity["attrs"]
