"""Interprets the JSON that a merge has for an attribute (clauses 4.5.2.3, 4.5.4, 5.5.12, 5.6.17).

Its meaning depends on the stored attribute. `5` is a new value of the stored kind. An object is a fragment of
an instance if it has members that only instances have, or if each of its members is a sub-attribute;
otherwise it is a value. Members that are NGSI-LD Nulls do not count for this decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from broker.core import Instance, Json
from broker.core.entity import geometry, parse
from broker.core.entity.kinds import BY_VALUE, KINDS, OF_INSTANCES, TYPE, Kind
from broker.core.entity.values import is_literal, is_null, uri
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.uri import NULL, is_uri

Present = dict[str | None, Instance]  # the stored instances of an attribute, by datasetId

_WRAPPED = ("languageMap", "json", "vocab")  # values that the simplified form wraps (4.5.4)


@dataclass(frozen=True, slots=True)
class Form:
    """How a client sends attributes: its @context, whether in simplified form, the language of its texts."""

    context: Context
    simplified: bool = False
    language: str | None = None


class SentInstance(NamedTuple):
    """The JSON members sent for the instance of one datasetId, and its kind. The value may be missing."""

    dataset: str | None
    kind: Kind
    members: dict[str, Json]


def pieces(path: str, raw: Json, present: Present, form: Form) -> list[SentInstance]:
    """The part for each instance of an attribute. BadRequestData if the JSON has no meaning here."""
    if form.simplified:
        return list(_simplified(path, raw, present, form))
    sent = [_piece(path, item, present, form) for item in parse.instances(path, raw, _is_part)]
    if len(sent) > 1 and len({piece.dataset for piece in sent}) < len(sent):
        raise BadRequestData(f"{path}: expected instances of distinct datasetIds")
    return sent


def _is_part(raw: dict[str, Json]) -> bool:
    """Whether an object in an array must be an instance of an attribute, or a fragment of one."""
    return parse.kind_of(raw) is not None or not OF_INSTANCES.isdisjoint(raw)


def _piece(path: str, raw: Json, present: Present, form: Form) -> SentInstance:
    if isinstance(raw, dict) and not (is_null(raw) or geometry.is_geometry(raw) or is_literal(raw)):
        dataset = _dataset(path, raw)
        stored = present.get(dataset)
        if (members := _members(raw, stored, form.context)) is not None:
            return SentInstance(dataset, _kind(path, members, stored), members)
    stored = present.get(None)
    kind = _kind_for(raw) if stored is None else KINDS[stored["type"]]
    return SentInstance(None, kind, {kind.value: _translated(raw, kind, form.language)})


def _dataset(path: str, raw: dict[str, Json]) -> str | None:
    named = raw.get("datasetId", "@none")
    return None if named == "@none" else uri(named, f"{path}.datasetId")


def _members(raw: dict[str, Json], stored: Instance | None, context: Context) -> dict[str, Json] | None:
    """The object as members of an instance; None if the object is a value."""
    if not (TYPE | OF_INSTANCES).isdisjoint(raw):
        return raw
    if stored is None:
        return None
    subs, value = stored.get("attrs", {}), stored[KINDS[stored["type"]].value]
    inside = value if isinstance(value, dict) else {}
    given = [(name, member) for name, member in raw.items() if not is_null(member)]
    if not given:
        return _deletions(raw, stored, context)
    is_fragment = all(
        context.expand(name) in subs or (name not in inside and _is_attribute(member))
        for name, member in given
    )
    return raw if is_fragment else None


def _deletions(raw: dict[str, Json], stored: Instance, context: Context) -> dict[str, Json]:
    """The deletions that an object of Nulls means: of sub-attributes and of members of the stored value."""
    name = KINDS[stored["type"]].value
    subs, value = stored.get("attrs", {}), stored[name]
    deleted_attrs: dict[str, Json] = {member: NULL for member in raw if context.expand(member) in subs}
    deleted_members = {member: NULL for member in raw if isinstance(value, dict) and member in value}
    return {**deleted_attrs, name: deleted_members} if deleted_members else deleted_attrs


def _is_attribute(raw: Json) -> bool:
    """Whether this JSON must be an attribute: it has a type, or a member that holds a value."""
    if isinstance(raw, list):
        return bool(raw) and all(map(_is_attribute, raw))
    return isinstance(raw, dict) and not is_literal(raw) and not (TYPE | BY_VALUE.keys()).isdisjoint(raw)


def _kind(path: str, members: dict[str, Json], stored: Instance | None) -> Kind:
    """The kind of the instance: the stored one, unless the members are of another kind."""
    if stored is not None and TYPE.isdisjoint(members):
        kind = KINDS[stored["type"]]
        if kind.value in members or BY_VALUE.keys().isdisjoint(members):
            return kind
    if (named := parse.kind_of(members)) is not None:
        return named
    if not TYPE.isdisjoint(members):
        raise BadRequestData(f"{path}.type: expected one of {', '.join(KINDS)}")
    raise parse.missing_value(path, members)


def _kind_for(raw: Json) -> Kind:
    return KINDS["GeoProperty" if geometry.is_geometry(raw) else "Property"]


def _translated(raw: Json, kind: Kind, language: str | None) -> Json:
    """A languageMap of texts sent with a language for a LanguageProperty; any other JSON unchanged."""
    is_text = isinstance(raw, str | list) and not is_null(raw)
    return {language: raw} if is_text and language and kind.value == "languageMap" else raw


def _simplified(path: str, raw: Json, present: Present, form: Form) -> Iterator[SentInstance]:
    """5.6.17.4: bare values, which keep the stored kinds."""
    for dataset, value in _by_dataset(raw, present).items():
        stored = present.get(dataset)
        kind = _simplified_kind(value) if stored is None else KINDS[stored["type"]]
        if kind.value in _WRAPPED and isinstance(value, dict) and value.keys() == {kind.value}:
            value = value[kind.value]
        named = {} if dataset is None else {"datasetId": uri(dataset, f"{path}.dataset")}
        yield SentInstance(dataset, kind, {kind.value: _translated(value, kind, form.language), **named})


def _by_dataset(raw: Json, present: Present) -> dict[str | None, Json]:
    """The values by datasetId (4.5.4): one, or several in a member `dataset`.

    That member is part of the value if only the default instance is stored, and its value has such a member.
    """
    values = raw["dataset"] if isinstance(raw, dict) and raw.keys() == {"dataset"} else None
    if not isinstance(values, dict) or not all(name == "@none" or is_uri(name) for name in values):
        return {None: raw}
    if present.keys() == {None}:
        value = present[None].get("value")
        if isinstance(value, dict) and "dataset" in value:
            return {None: raw}
    return {None if name == "@none" else name: member for name, member in values.items()}


def _simplified_kind(raw: Json) -> Kind:
    if isinstance(raw, dict) and len(raw) == 1:
        for name in _WRAPPED:
            if name in raw:
                return BY_VALUE[name]
    return _kind_for(raw)
