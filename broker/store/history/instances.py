"""Instances of the history as the core has them."""

from typing import Any

from broker.core import Instance, instant
from broker.store.history.records import PLACES, instance_id
from broker.store.wire import codec


def shown(row: dict[str, Any], is_stamped: bool) -> Instance:
    """An instance of the history; the times of its write are only worked out where they are wanted."""
    key, one = row["_id"], codec.decode_instance(row["i"])
    one["instanceId"] = instance_id(row.get("o", key["t"]), row.get("f", key["s"]))
    if "deletedAt" not in one and (is_stamped or "observedAt" not in one):
        written = row["w"] if "w" in row else row.get("f", key["s"]) // PLACES
        one["createdAt"] = one["modifiedAt"] = instant.of_micros(written)
        if "m" in row:
            one["modifiedAt"] = instant.of_micros(row["m"])
    return one
