"""Versions of one entity, from this broker and from context sources, merged to one (clause 4.5.5).

Of two instances of an attribute with the same datasetId the more recent one counts. What auxiliary sources
know only fills gaps (4.3.6.2).
"""

from collections.abc import Iterable
from functools import reduce

import orjson

from broker.core import Attributes, Entity, Instance
from broker.core.entity.instances import created_at, modified_at

_FOREVER = ""  # an expiresAt that is missing: the entity never expires
Rank = tuple[str, str, bytes]


def version(entity: Entity) -> Entity:
    """An entity, ready to be joined: its instances have times of their own, in the order of datasetIds.

    Here instances inherit createdAt from their entity; in another version of the entity that would be another
    time. The expiresAt of an entity holds for each attribute that it brings (4.5.5.2).
    """
    born, expires = entity.get("createdAt", ""), entity.get("expiresAt")
    attrs = {
        iri: [_dated(instance, born, expires) for instance in sorted(instances, key=_dataset)]
        for iri, instances in entity["attrs"].items()
    }
    return {**entity, "attrs": attrs}


def _dataset(instance: Instance) -> str:
    dataset: str = instance.get("datasetId", "")
    return dataset


def _dated(instance: Instance, born: str, expires: str | None) -> Instance:
    dated = dict(instance)
    if created := created_at(instance, born):
        dated["createdAt"] = created
        dated["modifiedAt"] = modified_at(instance, born)
    if expires is not None:
        dated["expiresAt"] = min(expires, instance.get("expiresAt", expires))
    return dated


def join(first: Entity, second: Entity) -> Entity:
    """Two versions as one: of each (attribute, datasetId) the greater instance by `rank`.

    Commutative, associative and idempotent, so the order in which sources answer never shows.
    """
    joined: Entity = {"id": first["id"], "type": _union(first["type"], second["type"])}
    if scopes := _union(first.get("scope", []), second.get("scope", [])):
        joined["scope"] = scopes
    for name, pick in (("createdAt", min), ("modifiedAt", max)):
        if times := [one[name] for one in (first, second) if name in one]:
            joined[name] = pick(times)
    if "expiresAt" in first and "expiresAt" in second:
        joined["expiresAt"] = max(first["expiresAt"], second["expiresAt"])
    return {**joined, "attrs": _joined(first["attrs"], second["attrs"])}


def _union(first: list[str], second: list[str]) -> list[str]:
    return first if first == second else sorted({*first, *second})


def _joined(first: Attributes, second: Attributes) -> Attributes:
    return {iri: _best([*first.get(iri, ()), *second.get(iri, ())]) for iri in sorted({*first, *second})}


def _best(instances: list[Instance]) -> list[Instance]:
    """The greatest instance of each datasetId, in the order of these."""
    best: dict[str, Instance] = {}
    for instance in instances:
        dataset = _dataset(instance)
        if dataset not in best or rank(instance) > rank(best[dataset]):
            best[dataset] = instance
    return [best[dataset] for dataset in sorted(best)]


def rank(instance: Instance) -> Rank:
    """The order of instances by recency: by observedAt, else modifiedAt, else createdAt, else none.

    Between equal times the JSON decides; the clause says "at random".
    """
    modified = instance.get("modifiedAt", "")
    time = instance.get("observedAt") or modified or instance.get("createdAt", "")
    return time, modified, orjson.dumps(instance, option=orjson.OPT_SORT_KEYS)


def fill(entity: Entity, auxiliary: Entity) -> Entity:
    """The entity with those attributes of an auxiliary version that it lacks."""
    missing = {iri: found for iri, found in auxiliary["attrs"].items() if iri not in entity["attrs"]}
    return {**entity, "attrs": {**entity["attrs"], **missing}} if missing else entity


def merged(versions: Iterable[Entity], auxiliary: Iterable[Entity] = ()) -> Entity | None:
    """One entity of all versions (see `version`); None if there is none.

    An entity that only auxiliary sources know is theirs.
    """
    known, filling = [*versions], [*auxiliary]
    if not known:
        return reduce(join, filling) if filling else None
    entity = reduce(join, known)
    return fill(entity, reduce(join, filling)) if filling else entity
