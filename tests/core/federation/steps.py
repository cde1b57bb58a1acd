"""Steps for the tests of `core.federation` and `federation`: what one source is asked."""

from typing import Any

from broker.core.federation.source import Match, Source, SourceEntity, SourceInfo, source
from broker.core.federation.step import Fault, Reply, Step
from broker.core.jsonld.context import Context
from tests.core.documents import EX
from tests.core.federation.registrations import of

ID = "urn:ngsi-ld:Room:1"
LINKED = EX.under("https://ex.org/context.jsonld")  # the same names as EX


def some_source(endpoint: str = "http://source:9", **members: Any) -> Source:
    """A source of entities of type Room, described as in a registration."""
    info = [{"key": key, "value": value} for key, value in members.pop("pairs", {}).items()]
    named = {"contextSourceInfo": info} if info else {}
    return source(of({"entities": [{"type": "Room"}]}, endpoint=endpoint, **named, **members))


def match(source: Source | None = None) -> Match:
    return Match(source or some_source(), (SourceInfo((SourceEntity(("https://ex.org/Room",)),)),))


def step(operation: str, source: Source | None = None, context: Context = LINKED, **members: Any) -> Step:
    """A step of this operation; of a query, members are those of the Step."""
    return Step(match(source), operation, context, **members)


def reply(status: int | None = None, fault: Fault | None = None, **members: Any) -> Reply:
    return Reply(step("retrieveEntity", entity_id=ID), status, fault, **members)
