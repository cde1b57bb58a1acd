"""Registrations as clients send them, for the tests of `core.federation`."""

from typing import Any

from broker.core import Json
from broker.core.federation.registration import Registration, read
from tests.core.documents import EX, NOW


def small(*information: Json, **members: Json) -> dict[str, Any]:
    """A registration of these elements of information, or of entities of type T."""
    return {
        "type": "ContextSourceRegistration",
        "information": [*information] or [{"entities": [{"type": "T"}]}],
        "endpoint": "http://source:9",
        **members,
    }


def of(*information: Json, **members: Json) -> Registration:
    """The same, read."""
    return read(small(*information, **members), EX, "urn:r:new", NOW)


def info(*names: str, **entity: Json) -> dict[str, Json]:
    """An element of information: names of properties, and one EntityInfo."""
    return {"entities": [entity]} if not names else {"entities": [entity], "propertyNames": [*names]}
