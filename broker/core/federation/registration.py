"""Registrations (clause 5.2.9): read, updated and shown.

Names inside are IRIs, expanded when a registration is read, so that nothing of it depends on a later
@context.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from broker.core import Attributes, Entity, Json, instant
from broker.core.entity import parse
from broker.core.entity.instances import replaced
from broker.core.entity.values import ParseOptions
from broker.core.entity.view import attribute
from broker.core.errors import BadRequestData
from broker.core.federation.operations import DEFAULT
from broker.core.federation.registration_body import (
    MEMBERS,
    TAKEN,
    EntityInfo,
    RegistrationBody,
    RegistrationInfo,
    divided,
    read_body,
)
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.uri import NULL

Expand = Callable[[str], str]

_DEFAULTS: dict[str, Json] = {"mode": "inclusive", "operations": [DEFAULT]}
_GEOMETRIES = frozenset(("location", "observationSpace", "operationSpace"))


@dataclass(frozen=True, slots=True)
class Registration:
    """A registration as the broker keeps it; `context` is the source of the @context that it came with.

    `properties` are its Context Source Properties; `bare` names those (IRIs) that are values, without the
    object of an attribute around them.
    """

    id: str
    body: RegistrationBody
    context: Json
    created_at: str
    modified_at: str
    properties: Attributes = field(default_factory=dict)
    bare: frozenset[str] = frozenset()

    @property
    def mode(self) -> str:
        """How operations are distributed to the source (4.3.6)."""
        return self.body.mode or "inclusive"

    @property
    def ids(self) -> tuple[str, ...] | None:
        """The ids of all entities that it can be of; None if there may be others."""
        ids = [one.id for one in self._entities()]
        return None if None in ids else tuple(dict.fromkeys(one for one in ids if one is not None))

    @property
    def types(self) -> tuple[str, ...] | None:
        """The types (IRIs) of which every entity that it can be of has one; None if there may be others."""
        types = [one.types for one in self._entities()]
        return None if () in types else tuple(dict.fromkeys(name for names in types for name in names))

    def _entities(self) -> Iterator[EntityInfo]:
        """The entities that it is of; where an element of information has none, any."""
        for info in self.body.information:
            yield from info.entities or (EntityInfo.model_construct(),)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes for which it has entities; none for any."""
        found = self.body.scope
        return (found,) if isinstance(found, str) else tuple(found or ())

    @property
    def expires(self) -> str | None:
        """The instant from which on it is gone; None if it is there for ever."""
        return instant.parse(self.body.expires_at)

    def is_expired(self, now: str) -> bool:
        """Whether it is gone at this instant."""
        return self.expires is not None and instant.ceiling(self.expires) <= now

    def as_entity(self) -> Entity:
        """An entity with all members as attributes, for a context source query (4.9) and geoqueries.

        What is not said and has a default is there with that.
        """
        members = _DEFAULTS | self.body.model_dump(by_alias=True, exclude_none=True)
        times = {"createdAt": self.created_at, "modifiedAt": self.modified_at}
        expiry = {"expiresAt": self.expires} if self.expires else {}
        return {"id": self.id, "type": [NGSI_LD + self.body.type], **times, **expiry} | {
            "attrs": {**self.properties, **member_attributes(members)}
        }


def member_attributes(members: dict[str, Json]) -> Attributes:
    """Members of 5.2.9 as attributes of an entity."""
    return {
        NGSI_LD + name: [{"type": "GeoProperty" if name in _GEOMETRIES else "Property", "value": value}]
        for name, value in members.items()
    }


def of_members(expand: Expand) -> Expand:
    """Gives the names of `as_entity`: those of 5.2.9 are the same in every @context."""
    return lambda name: NGSI_LD + name if name in MEMBERS else expand(name)


def read(doc: Json, context: Context, new_id: str, now: str) -> Registration:
    """A new registration of what a client sent (5.9.2). BadRequestData if that is none."""
    members, others = divided(doc)
    for name, value in (members | others).items():
        if value == NULL:
            raise BadRequestData(f"{name}: an NGSI-LD Null may only stand in a fragment that updates")
    named = members if members.get("id") is not None else {**members, "id": new_id}
    body = _expanded(read_body(named), context)
    found = Registration(named["id"], body, context.source, now, now)
    options = ParseOptions(context)
    for name, raw in others.items():
        found = _with_property(found, name, raw, options, now)
    _refuse_past(found, now)
    return found


def updated(old: Registration, fragment: Json, context: Context, now: str) -> Registration:
    """The registration after an update (5.9.3): the members of the fragment replace its own, Nulls remove.

    BadRequestData if the fragment or the updated registration is not valid.
    """
    members, others = divided(fragment)
    if not fragment:
        raise BadRequestData("registration: expected a JSON object with at least one member")
    if members.get("id", old.id) != old.id:
        raise BadRequestData("id: cannot be changed")
    before = old.body.model_dump(by_alias=True, exclude_none=True)
    body = read_body(_without_nulls({**before, **members, "id": old.id}))
    if members.get("information"):
        body = _expanded(body, context)
    new = replace(old, body=body, modified_at=now)
    options = ParseOptions(context, nulls=True)
    for name, raw in others.items():
        new = _with_property(new, name, raw, options, now)
    if "expiresAt" in members:
        _refuse_past(new, now)
    return new


def _with_property(old: Registration, name: str, raw: Json, options: ParseOptions, now: str) -> Registration:
    """The registration with a Context Source Property as it was sent; a Null removes it (5.5.8)."""
    iri = parse.attribute_name(name, options.context)
    sent = parse.attribute(name, NULL if raw is None and options.nulls else raw, options)
    instances = replaced(old.properties.get(iri, ()), sent, now)
    is_bare = len(instances) == 1 and instances[0].get("value") == raw
    others = {one: many for one, many in old.properties.items() if one != iri}
    properties = {**others, iri: instances} if instances else others
    return replace(old, properties=properties, bare=old.bare - {iri} | ({iri} if is_bare else set()))


def _refuse_past(registration: Registration, now: str) -> None:
    if registration.is_expired(now):
        raise BadRequestData("expiresAt: expected an instant that is still to come")


def _without_nulls(doc: dict[str, Json]) -> dict[str, Json]:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in doc.items()
        if value is not None and value != NULL
    }


def _expanded(body: RegistrationBody, context: Context) -> RegistrationBody:
    return body.model_copy(
        update={"information": [_renamed(one, context.expand) for one in body.information]}
    )


def _renamed(info: RegistrationInfo, name: Expand) -> RegistrationInfo:
    """The same in other names, of types and attributes."""
    changes: dict[str, Any] = {
        member: [*dict.fromkeys(map(name, names))]
        for member, names in (
            ("property_names", info.property_names),
            ("relationship_names", info.relationship_names),
        )
        if names
    }
    if info.entities:
        changes["entities"] = [_renamed_entity(one, name) for one in info.entities]
    return info.model_copy(update=changes)


def _renamed_entity(info: EntityInfo, name: Expand) -> EntityInfo:
    if info.type is None:
        return info
    types = name(info.type) if isinstance(info.type, str) else [*map(name, info.type)]
    return info.model_copy(update={"type": types})


def shown_body(registration: Registration, context: Context, *, sys_attrs: bool = False) -> dict[str, Json]:
    """The registration as JSON in the names of an @context; read with that, it is the same registration."""
    information = [_renamed(one, context.compact) for one in registration.body.information]
    body = registration.body.model_copy(update={"information": information})
    shown: dict[str, Json] = body.model_dump(by_alias=True, exclude_none=True)
    for iri, instances in registration.properties.items():
        form = "simplified" if iri in registration.bare else "normalized"
        born = registration.created_at if sys_attrs and form == "normalized" else None
        name = context.compact(iri)
        shown[iri if name in TAKEN else name] = attribute(instances, context, form, born)
    if sys_attrs:
        shown["createdAt"] = registration.created_at + "Z"
        shown["modifiedAt"] = registration.modified_at + "Z"
    return shown
