"""What a write did to one entity, told from its state before and after by identity."""

from collections.abc import Iterator
from dataclasses import dataclass

from broker.core import Attributes, Entity, Instance
from broker.core.entity.kinds import KINDS
from broker.core.uri import NULL


@dataclass(frozen=True, slots=True)
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


def written(change: Change) -> Iterator[tuple[str, Instance]]:
    """The attribute instances (with the attribute's IRI) that the change created or updated."""
    for iri, instances in _attrs(change.after).items():
        old = _attrs(change.before).get(iri, ())
        if instances is not old:
            for one in instances:
                if not any(one is other for other in old):
                    yield iri, one


def altered(change: Change) -> set[str]:
    """The attributes (IRIs) of which an instance is new, or says something else than before (5.8.6)."""
    before = _attrs(change.before)
    return {iri for iri, one in written(change) if _said(one) not in map(_said, before.get(iri, ()))}


def _said(instance: Instance) -> Instance:
    return {name: value for name, value in instance.items() if name not in ("createdAt", "modifiedAt")}


def removed(change: Change) -> Iterator[tuple[str, Instance]]:
    """The attribute instances that the change deleted, each as its deletion is recorded (4.5.7)."""
    for iri, instances in _attrs(change.before).items():
        new = _attrs(change.after).get(iri, ())
        if instances is not new:
            kept = {one.get("datasetId") for one in new}
            for one in instances:
                if one.get("datasetId") not in kept:
                    yield iri, tombstone(one, change.now)


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
