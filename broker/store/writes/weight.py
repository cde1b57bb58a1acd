"""How many bytes JSON takes in a document, about: to tell what is too large to lie inside an entity's."""

import orjson

from broker.core import Entity, Instance, Json
from broker.core.entity.kinds import KINDS

_PLAIN = 16
_FRAME = 60  # an instance's own members


def weight(value: Json) -> int:
    """The bytes of a value, about."""
    if type(value) is str:
        return len(value)
    if not isinstance(value, dict | list):
        return _PLAIN
    try:
        return len(orjson.dumps(value))
    except (TypeError, ValueError):  # integers beyond 64 bits, or deeper than orjson goes
        return len(str(value))


def of_instance(instance: Instance) -> int:
    """The bytes of an attribute instance, about."""
    own = _FRAME + weight(instance[KINDS[instance["type"]].value])
    return own + weight(instance["attrs"]) if "attrs" in instance else own


def of_entity(entity: Entity) -> int:
    """The bytes of an entity's attributes, about."""
    return sum(of_instance(one) for instances in entity["attrs"].values() for one in instances)
