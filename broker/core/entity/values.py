"""The values of members, read and validated by kind of attribute (clauses 4.5.2 to 4.5.24, 4.6.3, 4.7)."""

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


@dataclass(slots=True)
class Room:
    """How many instances one entity may have: of its attributes and of what these have, all in all."""

    most: int = 10_000
    taken: int = 0

    def take(self) -> None:
        """Makes room for one more; BadRequestData if there is none."""
        self.taken += 1
        if self.taken > self.most:
            raise BadRequestData(f"entity: expected at most {self.most} instances of attributes")


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read: with which @context, and what a fragment may hold that an entity may not.

    `nulls`: NGSI-LD Nulls, which delete (5.5.8); `deep`: also inside values, as a merge takes them (5.5.12);
    `simplified`: attributes as bare values, whose kind is that of the attribute there is (5.6.17);
    `language`: the tag for which a bare string is meant, if it is for a LanguageProperty;
    `past`: attributes of a temporal evolution, which may have many instances of one datasetId, and a Null for
    the value of one that records a deletion (4.5.7);
    `room`: for instances of attributes, since one Reading is for one entity.
    """

    context: Context
    nulls: bool = False
    deep: bool = False
    simplified: bool = False
    language: str | None = None
    past: bool = False
    room: Room = field(default_factory=Room, compare=False, repr=False)

    @property
    def inner(self) -> "Reading":
        """How to read the sub-attributes: they have no evolution of their own."""
        return replace(self, past=False) if self.past else self


def is_null(value: Json) -> bool:
    """Whether a value is one of the forms of the NGSI-LD Null (4.5.0)."""
    return bool(value == (_NULL_MAP if type(value) is dict else _NULL_LIST if type(value) is list else NULL))


def value(kind: Kind, raw: Json, path: str, reading: Reading) -> Json:
    """The value of an attribute of this kind; `NULL` for any form of the NGSI-LD Null."""
    if is_null(raw):
        if not (reading.nulls or reading.past):
            raise BadRequestData(f"{path}: an NGSI-LD Null may only stand in a fragment that updates")
        return NULL
    if raw is None:
        raise BadRequestData(f"{path}: expected a value, not null")
    return _READ[kind.type](raw, path, reading)


def uri(raw: Json, path: str) -> str:
    """A URI."""
    if not is_uri(raw) or raw == NULL:
        raise BadRequestData(f"{path}: expected a URI")
    return str(raw)


def moment(raw: Json, path: str) -> str:
    """An instant, in its internal form."""
    if (found := instant.parse(raw)) is None:
        raise BadRequestData(f"{path}: expected a date and time in UTC, as in 2026-07-01T12:00:00Z")
    return found


def text(raw: Json, path: str) -> str:
    """A string that is not empty."""
    if not isinstance(raw, str) or not raw or raw == NULL:
        raise BadRequestData(f"{path}: expected a string")
    return raw


def vocabulary(raw: Json, path: str, reading: Reading) -> Json:
    """A name of the vocabulary, or an array of them, expanded (4.5.20)."""
    if isinstance(raw, list) and raw and all(isinstance(one, str) for one in raw):
        return [reading.context.expand(one) for one in raw]
    return reading.context.expand(text(raw, path))


def _any(raw: Json, path: str, reading: Reading) -> Json:
    if isinstance(raw, dict | list) and (inside := _null(raw, deep=reading.deep)) is not None:
        raise BadRequestData(f"{path}{inside}: an NGSI-LD Null may not stand inside a value")
    return raw


def _null(raw: Json, *, deep: bool) -> str | None:
    """The path of a member of an object in this value that is an NGSI-LD Null (5.5.4); None if none is.

    `deep`: but for those that a merge deletes by. It goes into no array, and would store the ones there.
    """
    if isinstance(raw, dict):
        for name, one in raw.items():
            if one == NULL and not deep:
                return f".{name}"
            if isinstance(one, dict | list) and (inside := _null(one, deep=deep)) is not None:
                return f".{name}{inside}"
    elif isinstance(raw, list):
        for number, one in enumerate(raw):
            if isinstance(one, dict | list) and (inside := _null(one, deep=False)) is not None:
                return f"[{number}]{inside}"
    return None


def _geometry(raw: Json, path: str, _: Reading) -> Json:
    if isinstance(raw, str):  # 4.7: a geometry may come as a string that holds JSON
        try:
            raw = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise BadRequestData(f"{path}: expected a GeoJSON geometry, not a string of no JSON") from error
    geometry.check(raw, path)
    return raw


def _object(raw: Json, path: str, _: Reading) -> Json:
    if not isinstance(raw, list):
        return uri(raw, path)
    if not raw:
        raise BadRequestData(f"{path}: expected a URI, or an array of at least one")
    return [uri(one, f"{path}[{number}]") for number, one in enumerate(raw)]


def is_language(tag: str) -> bool:
    """Whether this may be a key of a languageMap (RFC 5646, or the default)."""
    return _LANGUAGE.fullmatch(tag) is not None


def _language_map(raw: Json, path: str, reading: Reading) -> Json:
    if not isinstance(raw, dict):
        raise BadRequestData(f"{path}: expected an object of language tags and texts")
    for tag, words in raw.items():
        if not is_language(tag):
            raise BadRequestData(f"{path}.{tag}: expected a language tag such as en or pt-BR")
        if not _is_words(words) or (words == NULL and not reading.deep):
            raise BadRequestData(f"{path}.{tag}: expected a string or an array of strings")
    return raw


def _is_words(raw: Json) -> bool:
    return isinstance(raw, str) or (isinstance(raw, list) and all(isinstance(one, str) for one in raw))


def _json(raw: Json, path: str, reading: Reading) -> Json:
    if not isinstance(raw, dict | list):
        raise BadRequestData(f"{path}: expected a JSON object or array")
    return raw


def _list(raw: Json, path: str, _: Reading) -> Json:
    return raw if isinstance(raw, list) else [raw]


def _objects(raw: Json, path: str, _: Reading) -> Json:
    """Targets in order, each a URI; `{"object": uri}` is the same (4.5.22)."""
    many = raw if isinstance(raw, list) else [raw]
    return [
        uri(one.get("object") if isinstance(one, dict) else one, f"{path}[{number}]")
        for number, one in enumerate(many)
    ]


_READ: dict[str, Callable[[Json, str, Reading], Json]] = {
    "Property": _any,
    "GeoProperty": _geometry,
    "Relationship": _object,
    "LanguageProperty": _language_map,
    "VocabProperty": vocabulary,
    "JsonProperty": _json,
    "ListProperty": _list,
    "ListRelationship": _objects,
}
