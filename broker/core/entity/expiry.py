"""Transient entities and attributes (clause 4.22): they expire at their expiresAt.

Every read leaves out what has expired, so expiry takes effect at once; the sweeper of the store deletes it
later.
"""

from broker.core import Attributes, Entity, Instance, instant


def earliest(entity: Entity) -> str | None:
    """The earliest expiresAt in the entity, as its `instant.floor`; None if nothing expires."""
    expiries = [instance["expiresAt"] for instance in _transients(entity["attrs"])]
    if "expiresAt" in entity:
        expiries.append(entity["expiresAt"])
    return min(map(instant.floor, expiries)) if expiries else None


def alive(entity: Entity, now: str) -> Entity | None:
    """The entity without what has expired at `now`: the same object if nothing has; None if all has."""
    if is_over(entity, now):
        return None
    attrs = _alive(entity["attrs"], now)
    return entity if attrs is entity["attrs"] else {**entity, "attrs": attrs}


def is_over(holder: Entity | Instance, now: str) -> bool:
    """Whether an entity or an instance of an attribute has expired at `now`."""
    return "expiresAt" in holder and instant.floor(holder["expiresAt"]) <= now


def _transients(attrs: Attributes) -> list[Instance]:
    transients = []
    for instances in attrs.values():
        for instance in instances:
            if "expiresAt" in instance:
                transients.append(instance)
            if "attrs" in instance:
                transients += _transients(instance["attrs"])
    return transients


def _alive(attrs: Attributes, now: str) -> Attributes:
    """The attributes without what has expired; lists without a change stay the same objects."""
    remaining = {iri: _unexpired(instances, now) for iri, instances in attrs.items()}
    if all(remaining[iri] is attrs[iri] for iri in attrs):
        return attrs
    return {iri: instances for iri, instances in remaining.items() if instances}


def _unexpired(instances: list[Instance], now: str) -> list[Instance]:
    remaining = [without_expired(instance, now) for instance in instances if not is_over(instance, now)]
    is_unchanged = len(remaining) == len(instances) and all(
        a is b for a, b in zip(remaining, instances, strict=True)
    )
    return instances if is_unchanged else remaining


def without_expired(instance: Instance, now: str) -> Instance:
    """An instance without sub-attributes that have expired at `now`: the same object if none has."""
    if "attrs" not in instance:
        return instance
    attrs = _alive(instance["attrs"], now)
    return instance if attrs is instance["attrs"] else {**instance, "attrs": attrs}
