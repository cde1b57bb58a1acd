"""Entities and instances as MongoDB documents, and back: the only place that knows the stored shape.

A stored entity is the Entity of `core` with `_id` for its id, and with the store's own members (decision
0013): `rev` (its revision), `due` (when something of it first expires, if anything does), `geo` and `cells`
(where its GeoProperties are, `places`), `shape` (a hash of its types and of the kinds of its attributes, for
`discovery`); `past`, `unlisted`, `h`, `hn`, `hb`, `p`, `pk`, `pn` (its evolution: `history`), and `o`, `ov`,
`gone` (what is pending: `pending`). A document without `type` is of an entity that is not there, but has a
past or something pending. Names of attributes are keys that MongoDB takes literally: it reads dots and a
leading dollar in a key as a path. A term of the core or of the default vocabulary stays short. Values are
stored as they are; the few whose keys or numbers BSON has no place for carry the mark `esc`, so that reading
costs nothing for all others.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from bson import Decimal128, Int64

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity import expiry
from broker.core.entity.kinds import KINDS
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.ports.entities import Undecodable
from broker.store.wire import places

Document = dict[str, Any]

_REMEMBERED = 50_000
_keys: dict[str, str] = {}
_names: dict[str, str] = {}
_INT64 = 2**63
_VALUES = {kind: of.value for kind, of in KINDS.items()}
PLACES = ("geo", "cells")
# Members of stored entities that are no part of the entity.
OWN = (
    "rev", "due", "shape", *PLACES, "past", "unlisted", "h", "hn", "hb", "p", "pk", "pn", "o", "ov", "gone",
)  # fmt: skip
# Those that readers of entities have no use for, and that may be large.
UNREAD = {"h": 0, "o": 0, "past": 0, "p": 0, **dict.fromkeys(PLACES, 0)}


def key(iri: str) -> str:
    """The key under which the attribute of this IRI is stored."""
    found = _keys.get(iri)
    if found is None:
        if len(_keys) > _REMEMBERED:
            _keys.clear()
        found = _keys[iri] = _key(iri)
    return found


def name(stored: str) -> str:
    """The IRI of the attribute stored under this key."""
    found = _names.get(stored)
    if found is None:
        if len(_names) > _REMEMBERED:
            _names.clear()
        found = _names[stored] = _name(stored)
    return found


def value_key(member: str) -> str:
    """The key of a member inside a user's own JSON."""
    if member[:1] in ("$", "%") or "\x00" in member:
        return "%" + member.replace("%", "%25").replace("$", "%24").replace("\x00", "%00")
    return member


def encode_entity(entity: Entity) -> Document:
    """The stored form of an entity, without its revision."""
    document = dict(entity)
    document["_id"] = document.pop("id")
    document["attrs"] = encode_attrs(entity["attrs"])
    return document


def decode_entity(document: Document) -> Entity:
    """The entity of a stored document, which is used up; the store's own members are dropped.

    Undecodable if it is not as this module stores them.
    """
    entity_id = document["id"] = document.pop("_id")
    try:
        for member in OWN:
            document.pop(member, None)
        if type(document["type"]) is not list:
            raise TypeError("type: expected a list")
        document["attrs"] = decode_attrs(document["attrs"])
    except Exception as error:  # whatever it is, it is about this entity alone
        raise Undecodable(entity_id) from error
    return document


def decode_alive(document: Document, now: str) -> Entity | None:
    """The entity of a stored document without what has expired at this instant (4.22)."""
    due = document.get("due")
    entity = decode_entity(document)
    return entity if due is None or due > now else expiry.alive(entity, now)


def shape(entity: Entity) -> int:
    """The shape of an entity, 64 bits: one for those with the same types, attributes and kinds of them."""
    attrs = [(iri, *kinds(its)) for iri, its in entity["attrs"].items()]
    return _shape(tuple(entity["type"]), tuple(attrs))


def kinds(instances: Sequence[Instance]) -> list[str]:
    """The kinds of an attribute's instances."""
    return [one["type"] for one in instances]


@lru_cache(10_000)  # entities made by one program are alike, and in one order
def _shape(types: tuple[str, ...], attrs: tuple[tuple[str, ...], ...]) -> Int64:
    plain = sorted(types), sorted((iri, sorted(its)) for iri, *its in attrs)
    digest = blake2b(repr(plain).encode(), digest_size=8).digest()
    return Int64(int.from_bytes(digest, "big", signed=True))


def encode_attrs(attrs: Attributes) -> Document:
    """Attributes by stored key."""
    return {key(iri): [encode_instance(one) for one in instances] for iri, instances in attrs.items()}


def encode_places(attrs: Attributes) -> Document:
    """The members that tell where the GeoProperties are; none without any on Earth."""
    geo: Document = {}
    for iri, instances in attrs.items():
        spatial = (places.place(one) for one in instances if places.is_spatial(one))
        if found := [place for place in spatial if place]:
            geo[key(iri)] = found
    cells = {name for many in geo.values() for place in many for name in places.cells(place)}
    return {"geo": geo, "cells": sorted(cells)} if geo else {}


def decode_attrs(stored: Document) -> Attributes:
    """Attributes by IRI. The instances are the stored ones, changed only where they must be."""
    attrs = {}
    for k, instances in stored.items():
        for one in instances:
            if _VALUES[one["type"]] not in one:
                raise KeyError(one["type"])
            if "attrs" in one or "esc" in one:
                _restore(one)
        attrs[name(k)] = instances
    return attrs


def encode_instance(instance: Instance) -> Instance:
    """The stored form of one instance; the very same dict where nothing needs to differ."""
    member = KINDS[instance["type"]].value
    value = instance[member]
    if type(value) is not str and (escaped := _escape(value)) is not value:
        instance = {**instance, member: escaped, "esc": True}
    if "attrs" in instance:
        instance = {**instance, "attrs": encode_attrs(instance["attrs"])}
    return instance


def decode_instance(instance: Instance) -> Instance:
    """The instance of its stored form, which is used up."""
    if "attrs" in instance or "esc" in instance:
        _restore(instance)
    return instance


def _restore(instance: Instance) -> None:
    if instance.pop("esc", None):
        member = KINDS[instance["type"]].value
        instance[member] = _unescape(instance[member])
    if "attrs" in instance:
        instance["attrs"] = decode_attrs(instance["attrs"])


def _key(iri: str) -> str:
    if iri.startswith(DEFAULT_VOCAB):
        return "~" + _literal(iri[len(DEFAULT_VOCAB) :])
    core = iri.removeprefix(NGSI_LD)
    if core != iri and core and ":" not in core and core[0] not in "~%":
        return _literal(core)
    return _literal(iri) if ":" in iri else "%3A" + _literal(iri)


def _name(stored: str) -> str:
    if stored.startswith("~"):
        return DEFAULT_VOCAB + _unliteral(stored[1:])
    if stored.startswith("%3A"):
        return _unliteral(stored[3:])
    return _unliteral(stored) if ":" in stored else NGSI_LD + _unliteral(stored)


def _literal(text: str) -> str:
    return text.replace("%", "%25").replace(".", "%2E").replace("$", "%24").replace("\x00", "%00")


def _unliteral(text: str) -> str:
    return text.replace("%00", "\x00").replace("%24", "$").replace("%2E", ".").replace("%25", "%")


def _escape(value: Json) -> Json:
    """The value with what BSON cannot hold replaced; the very same object if there is nothing."""
    kind = type(value)
    if kind is dict:
        pairs = {value_key(k): _escape(v) for k, v in value.items()}
        changed = any(k not in value or value[k] is not v for k, v in pairs.items())
        return pairs if changed else value
    if kind is list:
        items = [_escape(v) for v in value]
        return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
    if kind is int and not -_INT64 <= value < _INT64:
        return Decimal128(str(value))
    return value


def _unescape(value: Json) -> Json:
    kind = type(value)
    if kind is dict:
        return {_member(k): _unescape(v) for k, v in value.items()}
    if kind is list:
        return [_unescape(v) for v in value]
    return int(value.to_decimal()) if kind is Decimal128 else value


def _member(stored: str) -> str:
    if stored[:1] != "%":
        return stored
    return stored[1:].replace("%00", "\x00").replace("%24", "$").replace("%25", "%")
