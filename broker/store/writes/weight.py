"""Approximate sizes of values in documents, to decide what is too large for the document of an entity."""

import orjson

from broker.core import Entity, Instance, Json
from broker.core.entity.kinds import KINDS

_PLAIN = 16  # bytes of a number, boolean or null
_FRAME = 60  # bytes of an instance's members beside its value and attributes


def weight(value: Json) -> int:
    """The approximate size of a JSON value, in bytes."""
    if type(value) is str:
        return len(value)
    if not isinstance(value, dict | list):
        return _PLAIN
    try:
        return len(orjson.dumps(value))
    except (TypeError, ValueError):  # integers beyond 64 bits, or deeper than orjson goes
        return len(str(value))


def of_instance(instance: Instance) -> int:
    """The approximate size of an attribute instance, in bytes."""
    own = _FRAME + weight(instance[KINDS[instance["type"]].value])
    return own + weight(instance["attrs"]) if "attrs" in instance else own


def of_entity(entity: Entity) -> int:
    """The approximate size of an entity's attributes, in bytes."""
    return sum(of_instance(instance) for instances in entity["attrs"].values() for instance in instances)
