"""Steps of a distributed operation: what one source is asked, and what came of it (clause 4.3.6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from broker.core import Entity, Json
from broker.core.federation.source import Match
from broker.core.jsonld.context import Context
from broker.core.query import Query


class Fault(Enum):
    """Why there is no usable response of a source."""

    TIMEOUT = "did not answer in time"
    REFUSED = "cannot be reached"
    COOLING = "failed a short time ago, and is not asked again yet"
    INVALID = "did not answer in NGSI-LD"
    TOO_LARGE = "answered with more than this broker reads"


@dataclass(frozen=True, slots=True)
class Step:
    """A request to one source, narrowed to its registration.

    `operation`: its name of 4.20. `context`: the @context of `doc` and of the names in `params`.
    `entity_id`: the entity in the path; of a query (queryEntity, queryBatch, purgeEntity) there is none.
    `attr` (IRI, or "scope"): the attribute in the path. `doc`: the body in the client's own JSON.
    `params`: parameters to send beside it, in the names of `context`. `query`: what is asked for, with all
    names expanded.
    """

    match: Match
    operation: str
    context: Context
    entity_id: str | None = None
    attr: str | None = None
    doc: Json = None
    params: Mapping[str, str] = field(default_factory=dict)
    query: Query | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A step as an HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a step: the status and JSON of the response, or a fault.

    `doc`: the parsed body; None if there is none, or if it is no JSON. `entities`: those of a response to a
    read. `has_more`: whether it links to a next page; `has_cursor`: whether that link has a cursor of ours,
    so that the source orders entities by id. `warnings`: NGSILD-Warning fields that the source sent.
    """

    step: Step
    status: int | None = None
    fault: Fault | None = None
    doc: Json = None
    entities: tuple[Entity, ...] = ()
    has_more: bool = False
    has_cursor: bool = False
    warnings: tuple[str, ...] = ()


def asked_attrs(step: Step, entity: Entity) -> Entity:
    """An entity without attributes that its source was not asked for."""
    if step.query is None or not step.query.attrs:
        return entity
    attrs = {iri: instances for iri, instances in entity["attrs"].items() if iri in step.query.attrs}
    return {**entity, "attrs": attrs}
