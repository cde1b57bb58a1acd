"""Decodes instances of the history into instances of the core."""

from typing import Any

from broker.core import Instance, instant
from broker.store.history.records import PLACES, instance_id
from broker.store.wire import codec


def shown(row: dict[str, Any], is_stamped: bool) -> Instance:
    """The instance of a document of history. `is_stamped`: with createdAt and modifiedAt in any case."""
    key, instance = row["_id"], codec.decode_instance(row["i"])
    instance["instanceId"] = instance_id(row.get("o", key["t"]), row.get("f", key["s"]))
    if "deletedAt" not in instance and (is_stamped or "observedAt" not in instance):
        written = row["w"] if "w" in row else row.get("f", key["s"]) // PLACES
        instance["createdAt"] = instance["modifiedAt"] = instant.of_micros(written)
        if "m" in row:
            instance["modifiedAt"] = instant.of_micros(row["m"])
    return instance
