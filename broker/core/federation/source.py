"""A context source: a registration, compiled for matching and asking (clauses 4.3.6, 5.2.9, 5.2.34)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.core import Attributes, Entity, Json, instant
from broker.core.federation.operations import expanded
from broker.core.federation.registration import Registration, member_attributes
from broker.core.federation.registration_body import TimeInterval
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.sharing import shared

Pair = tuple[str, str]

PROXIED = ("exclusive", "redirect")
"""Modes of sources whose data is there and not here (4.3.6.3)."""

_ROOT = "/ngsi-ld/v1"
_NO_PROPERTIES: Attributes = {}
_AREAS = ("location", "observationSpace", "operationSpace")
_JSON = "application/json"
# 4.3.6.6: keys of contextSourceInfo that tell how to ask, and are no headers.
_NAMING = frozenset(("accept", "contentType", "jsonldContext", "ngsildConformance"))


@dataclass(frozen=True, slots=True)
class SourceEntity:
    """An EntityInfo (5.2.8): entities of one of these types (IRIs; none: any), by id or a pattern of ids."""

    types: tuple[str, ...] = ()
    id: str | None = None
    id_pattern: str | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A RegistrationInfo (5.2.10): entities (none: any), and attributes (IRIs; none: any)."""

    entities: tuple[SourceEntity, ...] = ()
    attrs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Naming:
    """In which names and media types a source is asked (4.3.6.6, 6.3.19).

    `context`: the URL of the @context that its names are of; None: that of the client. `version`: the
    version of the specification (4.3.6.8) that it conforms to.
    """

    context: str | None = None
    accept: str = _JSON
    content_type: str = _JSON
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A context source as requests need it.

    `endpoint`: its root URL, to which paths such as /ngsi-ld/v1/entities are appended. `headers`: the pairs
    of its contextSourceInfo that are sent as headers. `timeout`, `cooldown`: seconds; None: the broker's own.
    `areas`: (member, geometry) for location, observationSpace and operationSpace. `properties`: its Context
    Source Properties.
    """

    id: str
    endpoint: str
    tenant: str = ""
    mode: str = "inclusive"
    operations: frozenset[str] = frozenset()
    infos: tuple[SourceInfo, ...] = ()
    alias: str | None = None
    datasets: frozenset[str] = frozenset()
    scopes: tuple[str, ...] = ()
    areas: tuple[tuple[str, Json], ...] = ()
    observed: TimeInterval | None = None
    managed: TimeInterval | None = None
    properties: Attributes = field(default_factory=dict)
    expires: str | None = None
    headers: tuple[Pair, ...] = ()
    naming: Naming = Naming()
    is_local_only: bool = False
    timeout: float | None = None
    cooldown: float | None = None

    @property
    def is_proxied(self) -> bool:
        """Whether its data is there and not here (4.3.6.3)."""
        return self.mode in PROXIED


@dataclass(frozen=True, slots=True)
class Match:
    """A source, and those elements of its information that a request concerns; at least one."""

    source: Source
    infos: tuple[SourceInfo, ...]

    @property
    def attrs(self) -> frozenset[str] | None:
        """The attributes (IRIs) that the source may have of the entities asked for; None for any."""
        if any(not info.attrs for info in self.infos):
            return None
        return frozenset[str]().union(*(info.attrs for info in self.infos))

    @property
    def ids(self) -> tuple[str, ...] | None:
        """The ids of all entities that the infos are of; None if there may be others."""
        ids = [entity.id for info in self.infos for entity in info.entities or (SourceEntity(),)]
        return None if None in ids else tuple(dict.fromkeys(id_ for id_ in ids if id_ is not None))

    @property
    def types(self) -> tuple[str, ...]:
        """The types (IRIs) that the infos name; none if there may be others."""
        types = [entity.types for info in self.infos for entity in info.entities or (SourceEntity(),)]
        return () if () in types else tuple(dict.fromkeys(name for names in types for name in names))

    def first_of(self, operations: Iterable[str]) -> str | None:
        """The first of these operations (4.20) that the source offers; None if it offers none."""
        return next((name for name in operations if name in self.source.operations), None)


def source(registration: Registration) -> Source:
    """The source that a registration describes."""
    members = registration.body.model_dump(by_alias=True, exclude_none=True)
    return compiled(registration.id, members, registration.properties)


def compiled(registration_id: str, members: Mapping[str, Any], properties: Attributes) -> Source:
    """The source of the members of a valid registration (5.2.9) with expanded names, as it is stored.

    100,000 of them are compiled when a worker starts, so they are not validated again.
    """
    pairs = {pair["key"]: pair["value"] for pair in members.get("contextSourceInfo", ())}
    management = members.get("management", {})
    scopes = members.get("scope", ())
    return Source(
        registration_id,
        shared(members["endpoint"].rstrip("/").removesuffix(_ROOT)),
        shared(members.get("tenant", "")),
        shared(members.get("mode", "inclusive")),
        shared(expanded(members.get("operations"))),
        tuple(map(_info, members["information"])),
        shared(members.get("contextSourceAlias")),
        shared(frozenset(members.get("datasetId", ()))),
        shared((scopes,) if isinstance(scopes, str) else tuple(scopes)),
        tuple((name, members[name]) for name in _AREAS if name in members),
        _interval(members.get("observationInterval")),
        _interval(members.get("managementInterval")),
        properties or _NO_PROPERTIES,
        instant.parse(members.get("expiresAt")),
        shared(tuple((key, value) for key, value in pairs.items() if key not in _NAMING)),
        shared(_naming(pairs)),
        bool(members.get("localOnly") or management.get("localOnly")),
        _seconds(management.get("timeout")),
        _seconds(management.get("cooldown")),
    )


def as_entity(source: Source) -> Entity:
    """An entity with what is known of a source as attributes, for a context source query (4.9).

    Unlike `Registration.as_entity` it has no members that only people or requests to the source need, and the
    operations of a group in place of its name.
    """
    members: dict[str, Json] = {
        "endpoint": source.endpoint,
        "mode": source.mode,
        "operations": sorted(source.operations),
        **dict(source.areas),
    }
    optional = {"tenant": source.tenant, "contextSourceAlias": source.alias}
    members |= {name: value for name, value in optional.items() if value}
    attrs = {**source.properties, **member_attributes(members)}
    return {"id": source.id, "type": [NGSI_LD + "ContextSourceRegistration"], "attrs": attrs}


def _info(info: Mapping[str, Any]) -> SourceInfo:
    attrs = (*info.get("propertyNames", ()), *info.get("relationshipNames", ()))
    return SourceInfo(tuple(map(_entity, info.get("entities", ()))), shared(frozenset(map(shared, attrs))))


def _entity(entity: Mapping[str, Any]) -> SourceEntity:
    types = entity.get("type", ())
    names = (types,) if isinstance(types, str) else tuple(types)
    return SourceEntity(shared(tuple(map(shared, names))), entity.get("id"), shared(entity.get("idPattern")))


def _interval(members: Json) -> TimeInterval | None:
    return None if members is None else TimeInterval.model_validate(members)


def _naming(pairs: Mapping[str, str]) -> Naming:
    return Naming(
        pairs.get("jsonldContext"),
        pairs.get("accept", _JSON),
        pairs.get("contentType", _JSON),
        pairs.get("ngsildConformance"),
    )


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
