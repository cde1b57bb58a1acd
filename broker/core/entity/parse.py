"""What clients send, read into the broker's shape and validated in one pass (clauses 4.5, 5.5.4).

Every error is BadRequestData, names the member by its path and says what was expected. Instances come
out without createdAt and modifiedAt: the rules in `update` stamp them. In a fragment an attribute may
be an NGSI-LD Null; it comes out as an instance whose value is `NULL`, and the rules delete by it.
"""

from dataclasses import dataclass, field
from typing import Any

import orjson

from broker.core import Attributes, Entity, Instance, Json, instant
from broker.core.entity import geometry
from broker.core.entity.kinds import BY_VALUE, GEO_ATTRIBUTES, KINDS, NON_REIFIED, RESERVED, SYSTEM, Kind
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.uri import NULL, is_name, is_uri

_ENTITY_MEMBERS = frozenset({"id", "@id", "type", "@type", "scope", "@context", "expiresAt"}) | SYSTEM
_TYPE = frozenset({"type", "@type"})
_DELETABLE = frozenset({"observedAt", "unitCode", "objectType", "valueType"})
_NOT_ATTRIBUTES = NON_REIFIED - {"ngsildproof"} | RESERVED


@dataclass(frozen=True, slots=True)
class Fragment:
    """An Entity Fragment (5.4): attributes to write, and types and scopes if it names any."""

    attrs: Attributes
    types: list[str] = field(default_factory=list)
    scope: list[str] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: with which @context, and whether NGSI-LD Nulls may stand in it."""

    context: Context
    nulls: bool = False


def entity(doc: Json, context: Context) -> Entity:
    """A complete entity, as create and upsert take it."""
    if not isinstance(doc, dict):
        raise BadRequestData("entity: expected a JSON object")
    read = fragment(doc, Reading(context))
    if not read.types:
        raise BadRequestData("type: expected a type name, or an array of at least one")
    found: Entity = {"id": entity_id(doc), "type": read.types}
    if read.scope:
        found["scope"] = read.scope
    found["attrs"] = read.attrs
    return found


def entity_id(doc: Json) -> str:
    """The id of an entity in a body."""
    found = doc.get("id", doc.get("@id")) if isinstance(doc, dict) else None
    return _uri(found, "id")


def fragment(doc: Json, reading: Reading) -> Fragment:
    """The attributes, types and scopes that a document holds."""
    if not isinstance(doc, dict):
        raise BadRequestData("fragment: expected a JSON object")
    attrs: Attributes = {}
    for name, raw in doc.items():
        if name in _ENTITY_MEMBERS:
            continue
        iri = attribute_name(name, reading.context)
        attrs[iri] = attribute(name, raw, reading)
        if iri in GEO_ATTRIBUTES and not all(map(_is_geo, attrs[iri])):
            raise BadRequestData(f"{name}: expected a GeoProperty")
    if "expiresAt" in doc:
        raise BadRequestData("expiresAt: transient entities are not supported yet")
    return Fragment(attrs, _types(doc, reading.context), _scope(doc))


def _is_geo(instance: Instance) -> bool:
    return instance["type"] == "GeoProperty" or is_null(instance[KINDS[instance["type"]].value])


def attribute_name(name: str, context: Context) -> str:
    """The IRI of an attribute's name (4.6.2)."""
    if name in _NOT_ATTRIBUTES:
        raise BadRequestData(f"{name}: a core term cannot name an attribute")
    if not is_name(name):
        raise BadRequestData(f"{name!r}: expected a name of letters, digits and _, or an IRI")
    iri = context.expand(name)
    if "\x00" in iri:
        raise BadRequestData(f"{name!r}: expected a name without NUL characters")
    return iri


def attribute(path: str, raw: Json, reading: Reading) -> list[Instance]:
    """All instances of one attribute (4.5.5): one for each datasetId."""
    many = raw if isinstance(raw, list) and _is_multi(raw) else [raw]
    found = [instance(path, one, reading) for one in many]
    if len(found) > 1:
        datasets = {one.get("datasetId") for one in found}
        if len(datasets) < len(found):
            raise BadRequestData(f"{path}: expected instances with distinct datasetIds")
    return found


def _is_multi(raw: list[Json]) -> bool:
    """Whether an array is several instances rather than one concise array value (4.5.2.3)."""
    return bool(raw) and all(isinstance(one, dict) and (_kind_or_none(one) is not None) for one in raw)


def instance(path: str, raw: Json, reading: Reading) -> Instance:
    """One instance of an attribute, in normalized or concise form."""
    kind, doc = _normalized(path, raw)
    found: Instance = {"type": kind.type}
    for name, value in doc.items():
        if name == kind.value:
            found[name] = _value(kind, value, f"{path}.{name}", reading)
        elif name not in SYSTEM and name != "type" and name != "@type":
            _member(found, kind, name, value, path, reading)
    if kind.value not in found:
        raise BadRequestData(f"{path}.{kind.value}: expected, since {path} is a {kind.type}")
    return found


def partial(path: str, raw: Json, reading: Reading) -> Instance:
    """An Attribute Fragment for partial update (5.6.4): any members, the value need not be among them."""
    if not isinstance(raw, dict) or not raw:
        raise BadRequestData(f"{path}: expected a JSON object with at least one member")
    kind = _kind_or_none(raw)
    if geometry.is_geometry(raw) or (kind is not None and kind.value in raw):
        return instance(path, raw, reading)
    if kind is None and raw.keys() & _TYPE:
        raise BadRequestData(f"{path}.type: expected one of {', '.join(KINDS)}")
    found: Instance = {} if kind is None else {"type": kind.type}
    for name, value in raw.items():
        if name not in SYSTEM and name not in ("type", "@type", "@context"):
            _member(found, kind, name, value, path, reading)
    return found


def _normalized(path: str, raw: Json) -> tuple[Kind, dict[str, Json]]:
    if not isinstance(raw, dict):
        return KINDS["Property"], {"value": raw}
    if geometry.is_geometry(raw):
        return KINDS["GeoProperty"], {"value": raw}
    if (kind := _kind_or_none(raw)) is None:
        if not raw.keys() & _TYPE:  # 4.5.2.3: an object that names no type is a Property's compound value
            return KINDS["Property"], {"value": raw}
        expected = " or one of the members " + ", ".join(sorted(BY_VALUE))
        raise BadRequestData(f"{path}.type: expected one of {', '.join(KINDS)}{expected}")
    return kind, raw


def _kind_or_none(raw: dict[str, Json]) -> Kind | None:
    named = raw.get("type", raw.get("@type"))
    if named is not None:
        return KINDS.get(named) if isinstance(named, str) else None
    for name, kind in BY_VALUE.items():
        if name in raw:
            is_geo = name == "value" and geometry.is_geometry(raw[name])
            return KINDS["GeoProperty"] if is_geo else kind
    return None


def _member(found: Instance, kind: Kind | None, name: str, value: Json, path: str, reading: Reading) -> None:
    """Reads one member that is not the value: a non-reified one, or a sub-attribute."""
    where = f"{path}.{name}"
    if value == NULL and reading.nulls and name in _DELETABLE:
        found[name] = NULL
    elif name == "datasetId":
        if value != "@none":
            found[name] = _uri(value, where)
    elif name == "observedAt":
        found[name] = _instant(value, where)
    elif name == "unitCode" and (kind is None or name in kind.own):
        found[name] = _text(value, where)
    elif name in ("objectType", "valueType") and (kind is None or name in kind.own):
        found[name] = _vocabulary(value, where, reading)
    elif name == "expiresAt":
        raise BadRequestData(f"{where}: transient attributes are not supported yet")
    elif name in RESERVED:
        raise BadRequestData(
            f"{where}: not allowed in a {kind.type if kind else 'fragment without its type'}"
        )
    else:
        iri = attribute_name(name, reading.context)
        found.setdefault("attrs", {})[iri] = attribute(where, value, reading)


def _value(kind: Kind, value: Json, path: str, reading: Reading) -> Json:
    if is_null(value):
        if not reading.nulls:
            raise BadRequestData(f"{path}: an NGSI-LD Null may only stand in a fragment that updates")
        return NULL
    if value is None:
        raise BadRequestData(f"{path}: expected a value, not null")
    return _READ_VALUE[kind.type](value, path, reading)


def is_null(value: Json) -> bool:
    """Whether a value is one of the forms of the NGSI-LD Null (4.5.0)."""
    return value == NULL or value in (_NULL_MAP, _NULL_LIST)


_NULL_MAP, _NULL_LIST = {"@none": NULL}, [NULL]


def _any(value: Json, path: str, _: Reading) -> Json:
    if isinstance(value, dict | list) and _holds_null(value):
        raise BadRequestData(f"{path}: an NGSI-LD Null may not stand inside a value")
    return value


def _holds_null(value: Json) -> bool:
    """Whether a member of an object in this value is an NGSI-LD Null (5.5.4)."""
    if isinstance(value, dict):
        return any(one == NULL or _holds_null(one) for one in value.values())
    return isinstance(value, list) and any(map(_holds_null, value))


def _geometry(value: Json, path: str, _: Reading) -> Json:
    if isinstance(value, str):  # 4.7: a geometry may come as a string that holds JSON
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise BadRequestData(
                f"{path}: expected a GeoJSON geometry, and this string holds no JSON"
            ) from error
    geometry.check(value, path)
    return value


def _object(value: Json, path: str, _: Reading) -> Json:
    if isinstance(value, list) and value and all(map(is_uri, value)):
        return value
    return _uri(value, path)


def _language_map(value: Json, path: str, _: Reading) -> Json:
    if not isinstance(value, dict) or not all(map(_is_words, value.values())):
        raise BadRequestData(
            f"{path}: expected an object of language tags, each with a string or an array of strings"
        )
    return value


def _is_words(value: Json) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _vocabulary(value: Json, path: str, reading: Reading) -> Json:
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return [reading.context.expand(one) for one in value]
    return reading.context.expand(_text(value, path))


def _json(value: Json, path: str, _: Reading) -> Json:
    if not isinstance(value, dict | list):
        raise BadRequestData(f"{path}: expected a JSON object or array")
    return value


def _list(value: Json, path: str, _: Reading) -> Json:
    return value if isinstance(value, list) else [value]


def _objects(value: Json, path: str, _: Reading) -> Json:
    """Targets in order, each a URI; `{"object": uri}` is the same (4.5.22)."""
    many = value if isinstance(value, list) else [value]
    return [_uri(one.get("object") if isinstance(one, dict) else one, path) for one in many]


_READ_VALUE: dict[str, Any] = {
    "Property": _any,
    "GeoProperty": _geometry,
    "Relationship": _object,
    "LanguageProperty": _language_map,
    "VocabProperty": _vocabulary,
    "JsonProperty": _json,
    "ListProperty": _list,
    "ListRelationship": _objects,
}


def _types(doc: dict[str, Json], context: Context) -> list[str]:
    raw = doc.get("type", doc.get("@type"))
    if raw is None:
        return []
    names = raw if isinstance(raw, list) else [raw]
    if not names or not all(isinstance(one, str) and is_name(one) and one != NULL for one in names):
        raise BadRequestData("type: expected a type name, or an array of at least one")
    return list(dict.fromkeys(map(context.expand, names)))


def _scope(doc: dict[str, Json]) -> list[str] | None:
    raw = doc.get("scope")
    if raw is None:
        return None
    scopes = raw if isinstance(raw, list) else [raw]
    if not scopes or not all(map(_is_scope, scopes)):
        raise BadRequestData("scope: expected /level/level…, or an array of such, each level a name")
    return list(dict.fromkeys(scopes))


def _is_scope(text: Json) -> bool:
    """4.18: levels, each beginning with a letter; a leading slash may be left out."""
    return isinstance(text, str) and all(
        ":" not in level and is_name(level) for level in text.removeprefix("/").split("/")
    )


def _uri(value: Json, path: str) -> str:
    if not is_uri(value) or value == NULL:
        raise BadRequestData(f"{path}: expected a URI")
    return str(value)


def _instant(value: Json, path: str) -> str:
    if (found := instant.parse(value)) is None:
        raise BadRequestData(f"{path}: expected a date and time in UTC, as in 2026-07-01T12:00:00Z")
    return found


def _text(value: Json, path: str) -> str:
    if not isinstance(value, str) or not value or value == NULL:
        raise BadRequestData(f"{path}: expected a string")
    return value
