"""Parses entities and fragments that clients send into the broker's form, and validates them (4.5, 5.5.4).

Every error is BadRequestData; it names the member by its path and says what was expected. The resulting
instances have no createdAt and modifiedAt: the rules in `update` set them. An NGSI-LD Null for an attribute
becomes an instance whose value is `NULL`; the rules delete the attribute then. The attributes of a merge are
not parsed here but in `merge`, since their meaning depends on the stored entity.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from broker.core import Attributes, Entity, Instance, Json, instant
from broker.core.entity import geometry
from broker.core.entity.kinds import (
    BY_VALUE,
    GEO_ATTRIBUTES,
    KINDS,
    NON_REIFIED,
    OF_INSTANCES,
    RESERVED,
    SYSTEM,
    TYPE,
    Kind,
)
from broker.core.entity.values import ParseOptions, is_literal, is_null, moment, text, uri, value, vocabulary
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.uri import NULL, is_name

_ID = frozenset({"id", "@id"})
ENTITY_MEMBERS = TYPE | _ID | {"scope", "@context", "expiresAt"} | (SYSTEM - {"instanceId"})
NOT_NAMES = NON_REIFIED | {"id", "instanceId", "unitCode", "objectType", "valueType"}
_DELETABLE = frozenset({"observedAt", "expiresAt", "unitCode", "objectType", "valueType"})
PROOF = "ngsildproof"  # C.11: the one Property that may have sealed members
_TIMES = ("createdAt", "modifiedAt", "deletedAt")
_INSTANCES = 1000  # instances that one attribute may have


@dataclass(frozen=True, slots=True)
class Fragment:
    """An Entity Fragment (5.4): attributes to write, types to add, and plain members (scope, expiresAt).

    A plain member whose value is `NULL` is to be deleted.
    """

    attrs: Attributes
    types: list[str] = field(default_factory=list)
    members: dict[str, Json] = field(default_factory=dict)


def entity(doc: Json, context: Context) -> Entity:
    """A complete entity, for create, replace and upsert. BadRequestData if the document is none."""
    draft = fragment(doc, ParseOptions(context))
    if not draft.types:
        raise BadRequestData("type: expected a type name, or an array of at least one")
    return {"id": entity_id(doc), "type": draft.types, **draft.members, "attrs": draft.attrs}


def entity_id(doc: Json) -> str:
    """The id of the entity in a body. BadRequestData if it is no URI or the body no object."""
    if not isinstance(doc, dict):
        raise BadRequestData("entity: expected a JSON object")
    if "id" in doc and "@id" in doc:
        raise BadRequestData("@id: not allowed beside id, which is the same")
    return uri(doc.get("id", doc.get("@id")), "id")


def fragment(doc: Json, options: ParseOptions) -> Fragment:
    """The attributes, types and plain members of a document. BadRequestData if one of them is wrong."""
    attrs: Attributes = {}
    for name, raw in named_attributes(doc, options):
        iri = attribute_name(name, options.context)
        attrs[iri] = attribute(name, raw, options)
        if iri in GEO_ATTRIBUTES and not all(map(_is_geo, attrs[iri])):
            raise BadRequestData(f"{name}: expected a GeoProperty")
    return Fragment(attrs, types(doc, options.context), plain_members(doc, options))


def named_attributes(doc: Json, options: ParseOptions) -> Iterator[tuple[str, Json]]:
    """Yields (name, JSON) for each member of a document that is an attribute.

    BadRequestData if the document is no object, or if an NGSI-LD Null stands where none may.
    """
    if not isinstance(doc, dict):
        raise BadRequestData("entity: expected a JSON object")
    for name, raw in doc.items():
        if name not in ENTITY_MEMBERS:
            yield name, raw
        elif raw == NULL and not options.nulls:
            raise BadRequestData(f"{name}: an NGSI-LD Null may only stand in a fragment that updates")


def attribute_name(name: str, context: Context, path: str | None = None) -> str:
    """The IRI of an attribute's name (4.6.2). BadRequestData if no attribute can have this name.

    `path`: where the name is, for errors in sub-attributes.
    """
    if name in NOT_NAMES:
        raise BadRequestData(f"{path or name}: a core term cannot name an attribute")
    if not is_name(name):
        raise BadRequestData(f"{path or name!r}: expected a name of letters, digits and _, or an IRI")
    iri = context.expand(name)
    if "\x00" in iri:
        raise BadRequestData(f"{path or name!r}: expected a name without NUL characters")
    return iri


def attribute(path: str, raw: Json, options: ParseOptions) -> list[Instance]:
    """All instances of one attribute (4.5.5): one for each datasetId.

    BadRequestData if one is wrong, or if two have the same datasetId.
    """
    if not isinstance(raw, list):
        return [instance(path, raw, options)]
    if options.past:
        return [instance(path, item, options) for item in raw]
    parsed = [instance(path, item, options) for item in instances(path, raw, is_instance)]
    if len(parsed) > 1 and len({item.get("datasetId") for item in parsed}) < len(parsed):
        raise BadRequestData(f"{path}: expected instances of distinct datasetIds")
    return parsed


def instances(path: str, raw: Json, is_one: Callable[[dict[str, Json]], bool]) -> list[Json]:
    """The JSON of each instance of an attribute. An array is several instances if each of its items is an
    object for which `is_one` holds, otherwise it is a single value (4.5.2.3).

    BadRequestData if there are more than 1000.
    """
    if not (isinstance(raw, list) and raw and all(isinstance(item, dict) and is_one(item) for item in raw)):
        return [raw]
    if len(raw) > _INSTANCES:
        raise BadRequestData(f"{path}: expected at most {_INSTANCES} instances")
    return raw


def is_instance(raw: dict[str, Json]) -> bool:
    """Whether an object in an array must be an instance of an attribute, and cannot be a value."""
    return kind_of(raw) is not None or (bool(raw) and raw.keys() <= OF_INSTANCES)


def instance(path: str, raw: Json, options: ParseOptions) -> Instance:
    """One instance of an attribute, in normalized or concise form. BadRequestData if it is wrong."""
    options.room.take()
    kind, doc = _normalized(path, raw)
    parsed: Instance = {"type": kind.type}
    for name, member in doc.items():
        if name == kind.value:
            parsed[name] = value(kind, member, f"{path}.{name}", options)
        elif name not in SYSTEM and name not in TYPE:
            _member(parsed, kind, name, member, path, options)
    if kind.value not in parsed:
        raise BadRequestData(f"{path}.{kind.value}: expected, since {path} is a {kind.type}")
    if path.endswith(PROOF):
        check_proof(path, parsed[kind.value], kind)
    if options.received:
        parsed |= system_times(doc)
        if parsed[kind.value] == NULL and "deletedAt" not in parsed:
            raise BadRequestData(f"{path}.deletedAt: expected beside an NGSI-LD Null")
    elif options.past and "deletedAt" in doc and parsed[kind.value] == NULL:
        parsed["deletedAt"] = moment(doc["deletedAt"], f"{path}.deletedAt")
    return parsed


def system_times(doc: dict[str, Json]) -> dict[str, str]:
    """The system attributes (4.8) that are instants; others tell nothing, and are left out."""
    return {name: time for name in _TIMES if (time := instant.parse(doc.get(name))) is not None}


def check_proof(path: str, value: Json, kind: Kind) -> None:
    """C.11: returns if the value of an `ngsildproof` is an object; BadRequestData otherwise."""
    if not isinstance(value, dict):
        raise BadRequestData(f"{path}.{kind.value}: expected an object, the proof")


def partial(path: str, raw: Json, options: ParseOptions) -> Instance:
    """An Attribute Fragment for partial update (5.6.4): an instance that may lack its value and its type.

    BadRequestData if a member of it is wrong, or if it has none.
    """
    if not isinstance(raw, dict) or not raw:
        raise BadRequestData(f"{path}: expected a JSON object with at least one member")
    kind = kind_of(raw)
    if geometry.is_geometry(raw) or is_literal(raw) or (kind is not None and kind.value in raw):
        return instance(path, raw, options)
    if kind is None and raw.keys() & TYPE:
        raise BadRequestData(f"{path}.type: expected one of {', '.join(KINDS)}")
    parsed: Instance = {} if kind is None else {"type": kind.type}
    for name, member in raw.items():
        if name not in SYSTEM and name not in TYPE and name != "@context":
            _member(parsed, kind, name, member, path, options)
    return parsed


def _is_geo(instance: Instance) -> bool:
    return instance["type"] == "GeoProperty" or is_null(instance[KINDS[instance["type"]].value])


def _normalized(path: str, raw: Json) -> tuple[Kind, dict[str, Json]]:
    if not isinstance(raw, dict):
        return KINDS["Property"], {"value": raw}
    if geometry.is_geometry(raw):
        return KINDS["GeoProperty"], {"value": raw}
    if (kind := kind_of(raw)) is None:
        if is_literal(raw):
            return KINDS["Property"], {"value": raw}
        if not raw.keys() & TYPE:  # 4.5.2.3: an object without a type is the compound value of a Property
            if raw and raw.keys() <= OF_INSTANCES:
                raise missing_value(path, raw)
            return KINDS["Property"], {"value": raw}
        expected = " or one of the members " + ", ".join(sorted(BY_VALUE))
        raise BadRequestData(f"{path}.type: expected one of {', '.join(KINDS)}{expected}")
    return kind, raw


def missing_value(path: str, raw: dict[str, Json]) -> BadRequestData:
    """The error for an object that has members of an instance, but no value."""
    return BadRequestData(f"{path}.value: expected beside {', '.join(sorted(raw))}, which are no value")


def kind_of(raw: dict[str, Json]) -> Kind | None:
    """The kind of an instance: by its type, or by the member of its value (4.5.2.3); None if unknown."""
    named = raw.get("type", raw.get("@type"))
    if named is not None:
        return KINDS.get(named) if isinstance(named, str) else None
    for name, kind in BY_VALUE.items():
        if name in raw:
            is_geo = name == "value" and geometry.is_geometry(raw[name])
            return KINDS["GeoProperty"] if is_geo else kind
    return None


def _member(
    parsed: Instance, kind: Kind | None, name: str, raw: Json, path: str, options: ParseOptions
) -> None:
    """Parses one member other than the value into `parsed`: a plain member or a sub-attribute."""
    where = f"{path}.{name}"
    if name in OF_INSTANCES:
        parsed |= plain(kind, name, raw, where, options)
    else:
        iri = attribute_name(name, options.context, where)
        parsed.setdefault("attrs", {})[iri] = attribute(where, raw, options.inner)


def plain(kind: Kind | None, name: str, raw: Json, where: str, options: ParseOptions) -> Instance:
    """A member of an instance that is not a sub-attribute, as {name: value}; {} for the datasetId @none.

    BadRequestData if its value is wrong, or if an instance of this kind has no such member.
    """
    if raw == NULL and options.nulls and name in _DELETABLE:
        return {name: NULL}
    if name == "datasetId":
        return {} if raw == "@none" else {name: uri(raw, where)}
    if name in ("observedAt", "expiresAt"):
        return {name: moment(raw, where)}
    if name == "entityIdSealed" and f".{where}".endswith(f".{PROOF}.{name}"):
        return {name: uri(raw, where)}
    if name == "entityTypeSealed" and f".{where}".endswith(f".{PROOF}.{name}"):
        return {name: vocabulary(raw, where, options)}
    if name not in RESERVED or (kind is not None and name not in kind.own) or name not in _DELETABLE:
        raise BadRequestData(
            f"{where}: not allowed in a {kind.type if kind else 'fragment without its type'}"
        )
    if name == "unitCode":
        return {name: text(raw, where)}
    if kind is not None and kind.type == "LanguageProperty" and raw != "langString":
        raise BadRequestData(f"{where}: expected langString, since this is a LanguageProperty")
    return {name: vocabulary(raw, where, options)}


def types(doc: dict[str, Json], context: Context) -> list[str]:
    """The entity types (IRIs) that a document names; empty without a type. BadRequestData if one is none."""
    raw = doc.get("type", doc.get("@type"))
    if raw is None:
        return []
    if "type" in doc and "@type" in doc:
        raise BadRequestData("@type: not allowed beside type, which is the same")
    names = raw if isinstance(raw, list) else [raw]
    if not names or not all(map(_is_type, names)):
        raise BadRequestData("type: expected a type name, or an array of at least one")
    return list(dict.fromkeys(map(context.expand, names)))


def _is_type(name: Json) -> bool:
    return isinstance(name, str) and is_name(name) and name != NULL and name not in TYPE | _ID


def plain_members(doc: dict[str, Json], options: ParseOptions) -> dict[str, Json]:
    """The plain members of an entity: scope and expiresAt. BadRequestData if one is wrong."""
    members: dict[str, Json] = {}
    for name, read in (("scope", _scope), ("expiresAt", moment)):
        if name in doc:
            raw = doc[name]
            members[name] = NULL if raw == NULL and options.nulls else read(raw, name)
    return members


def _scope(raw: Json, path: str) -> list[str]:
    scopes = raw if isinstance(raw, list) else [raw]
    if not scopes or not all(map(is_scope, scopes)):
        raise BadRequestData(
            f"{path}: expected /level/level…, or an array of such, each level of letters, digits and _"
        )
    return list(dict.fromkeys(scopes))


def is_scope(text: Json) -> bool:
    """Whether this is a scope (4.18): levels that begin with a letter; the leading slash is optional."""
    return isinstance(text, str) and all(
        ":" not in level and is_name(level) for level in text.removeprefix("/").split("/")
    )
