"""Transient entities and attributes (clause 4.22): what has expired is not there any more.

Expiry takes effect the moment it falls due, wherever an entity is looked at; the sweeper of the store only
tidies up after it.
"""

from broker.core import Attributes, Entity, Instance, instant


def earliest(entity: Entity) -> str | None:
    """The instant (its `floor`) at which something of the entity first expires; None if nothing does."""
    found = [one["expiresAt"] for one in _transients(entity["attrs"])]
    if "expiresAt" in entity:
        found.append(entity["expiresAt"])
    return min(map(instant.floor, found)) if found else None


def alive(entity: Entity, now: str) -> Entity | None:
    """What of the entity has not expired at this instant: itself if nothing has, None if all of it has."""
    if is_over(entity, now):
        return None
    attrs = _alive(entity["attrs"], now)
    return entity if attrs is entity["attrs"] else {**entity, "attrs": attrs}


def is_over(holder: Entity | Instance, now: str) -> bool:
    """Whether an entity or an instance of an attribute has expired at this instant."""
    return "expiresAt" in holder and instant.floor(holder["expiresAt"]) <= now


def _transients(attrs: Attributes) -> list[Instance]:
    found = []
    for instances in attrs.values():
        for one in instances:
            if "expiresAt" in one:
                found.append(one)
            if "attrs" in one:
                found += _transients(one["attrs"])
    return found


def _alive(attrs: Attributes, now: str) -> Attributes:
    """The attributes that are left; those of which nothing expired stay the very same objects."""
    left = {iri: _left(instances, now) for iri, instances in attrs.items()}
    if all(left[iri] is attrs[iri] for iri in attrs):
        return attrs
    return {iri: instances for iri, instances in left.items() if instances}


def _left(instances: list[Instance], now: str) -> list[Instance]:
    left = [without_expired(one, now) for one in instances if not is_over(one, now)]
    same = len(left) == len(instances) and all(a is b for a, b in zip(left, instances, strict=True))
    return instances if same else left


def without_expired(instance: Instance, now: str) -> Instance:
    """An instance without the sub-attributes that have expired at this instant: itself if none has."""
    if "attrs" not in instance:
        return instance
    attrs = _alive(instance["attrs"], now)
    return instance if attrs is instance["attrs"] else {**instance, "attrs": attrs}
