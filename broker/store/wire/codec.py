"""Encodes entities and instances as MongoDB documents and decodes them: no other module knows the format.

A stored entity is the Entity of `core` with `_id` in place of `id`, and members of the store (decision 0013):

- `rev`: its revision; `due`: the instant at which the first part of it expires, if any does;
- `geo`, `cells`: the places of its GeoProperties (`places`);
- `shape`: a hash of its types, attributes and their kinds, for `discovery`;
- `past`, `unlisted`, `h`, `hn`, `hb`, `p`, `pk`, `pn`: its evolution (`history`);
- `o`, `ov`, `gone`: its pending entries (`pending`).

A document without `type` belongs to an entity that does not exist now, but has a past or pending entries.

Names of attributes become keys without dots and without a leading dollar, since MongoDB reads those as paths.
Terms of the core and of the default vocabulary get short keys. Values are stored unchanged. An instance whose
value has keys or numbers that BSON cannot hold is escaped and carries the mark `esc`: decoding costs nothing
for all others.
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

_CACHED = 50_000  # keys, or IRIs, in each of the two caches
_keys: dict[str, str] = {}
_names: dict[str, str] = {}
_INT64 = 2**63
_VALUES = {kind: of.value for kind, of in KINDS.items()}
PLACES = ("geo", "cells")
# Members of documents that do not belong to the entity.
STORE_MEMBERS = (
    "rev", "due", "shape", *PLACES, "past", "unlisted", "h", "hn", "hb", "p", "pk", "pn", "o", "ov", "gone",
)  # fmt: skip
# A projection that omits members which readers of entities do not need, and which may be large.
UNREAD = {"h": 0, "o": 0, "past": 0, "p": 0, **dict.fromkeys(PLACES, 0)}


def key(iri: str) -> str:
    """The key under which the attribute of this IRI is stored."""
    stored = _keys.get(iri)
    if stored is None:
        if len(_keys) > _CACHED:
            _keys.clear()
        stored = _keys[iri] = _key(iri)
    return stored


def name(stored: str) -> str:
    """The IRI of the attribute stored under this key."""
    iri = _names.get(stored)
    if iri is None:
        if len(_names) > _CACHED:
            _names.clear()
        iri = _names[stored] = _name(stored)
    return iri


def value_key(member: str) -> str:
    """The key under which a member inside a JSON value of a user is stored."""
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
    """The entity of a stored document, without the store's members. Changes the document in place.

    Undecodable if the document is not in the format of this module.
    """
    entity_id = document["id"] = document.pop("_id")
    try:
        for member in STORE_MEMBERS:
            document.pop(member, None)
        if type(document["type"]) is not list:
            raise TypeError("type: expected a list")
        document["attrs"] = decode_attrs(document["attrs"])
    except Exception as error:  # any fault here concerns this entity alone
        raise Undecodable(entity_id) from error
    return document


def decode_alive(document: Document, now: str) -> Entity | None:
    """The entity of a stored document without the parts that have expired at `now` (4.22).

    None if the whole entity has expired; Undecodable as in `decode_entity`.
    """
    due = document.get("due")
    entity = decode_entity(document)
    return entity if due is None or due > now else expiry.alive(entity, now)


def shape(entity: Entity) -> int:
    """The shape of an entity: a hash of 64 bits of its types, attributes and the attributes' kinds.

    Entities that agree in those have the same shape.
    """
    attrs = [(iri, *kinds(instances)) for iri, instances in entity["attrs"].items()]
    return _shape(tuple(entity["type"]), tuple(attrs))


def kinds(instances: Sequence[Instance]) -> list[str]:
    """The kind (`Property`, `Relationship` …) of each instance of an attribute."""
    return [instance["type"] for instance in instances]


@lru_cache(10_000)  # entities that one program creates have the same attributes in the same order
def _shape(types: tuple[str, ...], attrs: tuple[tuple[str, ...], ...]) -> Int64:
    plain = sorted(types), sorted((iri, sorted(kinds)) for iri, *kinds in attrs)
    digest = blake2b(repr(plain).encode(), digest_size=8).digest()
    return Int64(int.from_bytes(digest, "big", signed=True))


def encode_attrs(attrs: Attributes) -> Document:
    """The stored form of attributes, by stored key."""
    return {key(iri): [*map(encode_instance, instances)] for iri, instances in attrs.items()}


def encode_places(attrs: Attributes) -> Document:
    """The members `geo` and `cells` (see `places`) for these attributes; {} if none has a place on Earth."""
    geo: Document = {}
    for iri, instances in attrs.items():
        located = (places.place(instance) for instance in instances if places.is_spatial(instance))
        if on_earth := [place for place in located if place]:
            geo[key(iri)] = on_earth
    cells = {cell for of_attr in geo.values() for place in of_attr for cell in places.cells(place)}
    return {"geo": geo, "cells": sorted(cells)} if geo else {}


def decode_attrs(stored: Document) -> Attributes:
    """Attributes by IRI. Returns the stored instances themselves, restored in place where they need it.

    KeyError if an instance lacks its value or its type, or is of an unknown kind.
    """
    attrs = {}
    for k, instances in stored.items():
        for instance in instances:
            if _VALUES[instance["type"]] not in instance:
                raise KeyError(instance["type"])
            if "attrs" in instance or "esc" in instance:
                _restore(instance)
        attrs[name(k)] = instances
    return attrs


def encode_instance(instance: Instance) -> Instance:
    """The stored form of an instance; the same dict if nothing has to be encoded."""
    member = KINDS[instance["type"]].value
    value = instance[member]
    if type(value) is not str and (escaped := _escape(value)) is not value:
        instance = {**instance, member: escaped, "esc": True}
    if "attrs" in instance:
        instance = {**instance, "attrs": encode_attrs(instance["attrs"])}
    return instance


def decode_instance(instance: Instance) -> Instance:
    """The instance of a stored form. Changes the stored form in place."""
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
    """The value with keys and numbers that BSON cannot hold replaced; the same object if it has none."""
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
