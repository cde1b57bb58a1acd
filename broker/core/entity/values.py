"""Parses and validates the values of members, by kind of attribute (clauses 4.5.2 to 4.5.24, 4.6.3, 4.7)."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import orjson

from broker.core import Json, instant
from broker.core.entity import geometry
from broker.core.entity.kinds import Kind
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.uri import NULL, is_uri

_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*|@none")
_NULL_MAP, _NULL_LIST = {"@none": NULL}, [NULL]
_LITERAL = frozenset({"@type", "@value", "@language", "@direction", "@index"})


@dataclass(slots=True)
class InstanceBudget:
    """A limit of the instances of one entity, those of sub-attributes included."""

    most: int = 10_000
    taken: int = 0

    def take(self) -> None:
        """Counts one instance; BadRequestData above the limit."""
        self.taken += 1
        if self.taken > self.most:
            raise BadRequestData(f"entity: expected at most {self.most} instances of attributes")


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """The options of parsing one entity or fragment: the @context, and what is allowed.

    `nulls`: NGSI-LD Nulls, which delete (5.5.8). `deep`: partial values with Nulls inside, for a merge
    (5.5.12), which checks the merged value. `past`: attributes of a temporal evolution; they may have several
    instances of one datasetId, and a Null as the value of an instance that records a deletion (4.5.7).
    `received`: a context source sent it, so system attributes are kept, and a Null is the value of an
    instance with deletedAt. `room`: counts the instances, so the options are for one entity only.
    """

    context: Context
    nulls: bool = False
    deep: bool = False
    past: bool = False
    received: bool = False
    room: InstanceBudget = field(default_factory=InstanceBudget, compare=False, repr=False)

    @property
    def inner(self) -> "ParseOptions":
        """The options for sub-attributes, which have no evolution of their own."""
        return replace(self, past=False) if self.past else self


def is_null(value: Json) -> bool:
    """Whether a value is an NGSI-LD Null in any of its forms (4.5.0)."""
    return bool(value == (_NULL_MAP if type(value) is dict else _NULL_LIST if type(value) is list else NULL))


def is_literal(value: Json) -> bool:
    """Whether a value is a JSON-LD value object (4.5.0): a typed value, or a literal such as JSON's null."""
    return isinstance(value, dict) and "@value" in value and value.keys() <= _LITERAL


def value(kind: Kind, raw: Json, path: str, options: ParseOptions) -> Json:
    """The value of an attribute of this kind; `NULL` for any form of the NGSI-LD Null.

    BadRequestData if the value is not valid for the kind.
    """
    if is_null(raw):
        if not (options.nulls or options.past or options.received):
            raise BadRequestData(f"{path}: an NGSI-LD Null may only stand in a fragment that updates")
        return NULL
    if raw is None:
        raise BadRequestData(f"{path}: expected a value, not null")
    return _READ[kind.type](raw, path, options)


def uri(raw: Json, path: str) -> str:
    """The value as a URI; BadRequestData if it is none."""
    if not is_uri(raw) or raw == NULL:
        raise BadRequestData(f"{path}: expected a URI")
    return str(raw)


def moment(raw: Json, path: str) -> str:
    """The value as an instant in its internal form; BadRequestData if it is none."""
    if (parsed := instant.parse(raw)) is None:
        raise BadRequestData(f"{path}: expected a date and time in UTC, as in 2026-07-01T12:00:00Z")
    return parsed


def text(raw: Json, path: str) -> str:
    """The value as a string; BadRequestData if it is none or empty."""
    if not isinstance(raw, str) or not raw or raw == NULL:
        raise BadRequestData(f"{path}: expected a string")
    return raw


def vocabulary(raw: Json, path: str, options: ParseOptions) -> Json:
    """The IRI of a name, or of each name of an array (4.5.20); BadRequestData for other values."""
    if isinstance(raw, list) and raw and all(isinstance(name, str) and name != NULL for name in raw):
        return [options.context.expand(name) for name in raw]
    return options.context.expand(text(raw, path))


def _any(raw: Json, path: str, options: ParseOptions) -> Json:
    if isinstance(raw, dict | list) and (fault := _fault(raw, deep=options.deep)) is not None:
        raise BadRequestData(path + fault)
    return raw


_NULL_INSIDE = ": an NGSI-LD Null may not stand inside a value"


def _fault(raw: Json, *, deep: bool, is_json: bool = False) -> str | None:
    """Path and message of a forbidden NGSI-LD Null (5.5.4) or @context (5.5.7) in a value; None if valid.

    `deep`: Nulls are allowed in objects, where a merge deletes by them, but not in arrays, which it stores as
    they are. `is_json`: an @context is allowed, as data (4.5.24).
    """
    if isinstance(raw, dict):
        if "@context" in raw and not is_json:
            return ".@context: not allowed inside a value, unless it is the json of a JsonProperty"
        for name, item in raw.items():
            if item == NULL and not deep:
                return f".{name}{_NULL_INSIDE}"
            if isinstance(item, dict | list) and (inside := _fault(item, deep=deep, is_json=is_json)):
                return f".{name}{inside}"
    elif isinstance(raw, list):
        if NULL in raw:
            return f"[{raw.index(NULL)}]{_NULL_INSIDE}"
        for number, item in enumerate(raw):
            if isinstance(item, dict | list) and (inside := _fault(item, deep=False, is_json=is_json)):
                return f"[{number}]{inside}"
    return None


def _geometry(raw: Json, path: str, options: ParseOptions) -> Json:
    if isinstance(raw, str):  # 4.7: a geometry may come as a string that holds JSON
        try:
            raw = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise BadRequestData(f"{path}: expected a GeoJSON geometry, not a string without JSON") from error
    if isinstance(raw, dict) and len(raw) > 2:
        _any({name: member for name, member in raw.items() if name != "coordinates"}, path, options)
    if not options.deep:
        geometry.check(raw, path)
    return raw


def _object(raw: Json, path: str, _: ParseOptions) -> Json:
    if not isinstance(raw, list):
        return uri(raw, path)
    if not raw:
        raise BadRequestData(f"{path}: expected a URI, or an array of at least one")
    return [uri(target, f"{path}[{number}]") for number, target in enumerate(raw)]


def is_language(tag: str) -> bool:
    """Whether this is a valid key of a languageMap: a tag (RFC 5646) or @none."""
    return _LANGUAGE.fullmatch(tag) is not None


def _language_map(raw: Json, path: str, options: ParseOptions) -> Json:
    if not isinstance(raw, dict):
        raise BadRequestData(f"{path}: expected an object of language tags and texts")
    for tag, words in raw.items():
        if not is_language(tag):
            raise BadRequestData(f"{path}.{tag}: expected a language tag such as en or pt-BR")
        if not _is_words(words) or (words == NULL and not options.deep):
            raise BadRequestData(f"{path}.{tag}: expected a string or an array of strings")
    return raw


def _is_words(raw: Json) -> bool:
    if isinstance(raw, list):
        return all(isinstance(text, str) and text != NULL for text in raw)
    return isinstance(raw, str)


def _json(raw: Json, path: str, options: ParseOptions) -> Json:
    if not isinstance(raw, dict | list):
        raise BadRequestData(f"{path}: expected a JSON object or array")
    if (fault := _fault(raw, deep=options.deep, is_json=True)) is not None:
        raise BadRequestData(path + fault)
    return raw


def _list(raw: Json, path: str, options: ParseOptions) -> Json:
    if not isinstance(raw, list):
        raise BadRequestData(f"{path}: expected an array of values")
    return _any(raw, path, options)


def _objects(raw: Json, path: str, _: ParseOptions) -> Json:
    """The targets in order: URIs, which may be sent as `{"object": uri}` (4.5.22)."""
    if not isinstance(raw, list):
        raise BadRequestData(f"{path}: expected an array of URIs")
    return [
        uri(target.get("object") if isinstance(target, dict) else target, f"{path}[{number}]")
        for number, target in enumerate(raw)
    ]


_READ: dict[str, Callable[[Json, str, ParseOptions], Json]] = {
    "Property": _any,
    "GeoProperty": _geometry,
    "Relationship": _object,
    "LanguageProperty": _language_map,
    "VocabProperty": vocabulary,
    "JsonProperty": _json,
    "ListProperty": _list,
    "ListRelationship": _objects,
}
