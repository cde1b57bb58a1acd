"""What a merge is sent for an attribute, told from what there is (clauses 4.5.2.3, 4.5.4, 5.5.12, 5.6.17).

`5` is a new value, of the kind that the attribute has. An object is a fragment of an instance if it holds
what only instances have, or if each of its members is a sub-attribute; otherwise it is an object for the
value. A member that is an NGSI-LD Null does not tell which of the two it is.
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

Present = dict[str | None, Instance]  # the instances that an attribute has, by datasetId

_WRAPPED = ("languageMap", "json", "vocab")  # values that the simplified form wraps (4.5.4)


@dataclass(frozen=True, slots=True)
class Form:
    """How attributes are sent: in names of an @context; simplified or not; with texts of a language."""

    context: Context
    simplified: bool = False
    language: str | None = None


class SentInstance(NamedTuple):
    """Members for the instance of a datasetId, and its kind. The value may be missing."""

    dataset: str | None
    kind: Kind
    members: dict[str, Json]


def pieces(path: str, raw: Json, standing: Present, form: Form) -> list[SentInstance]:
    """What is sent for each instance of an attribute. BadRequestData if that can't be told."""
    if form.simplified:
        return list(_simplified(path, raw, standing, form))
    found = [_piece(path, one, standing, form) for one in parse.instances(path, raw, _is_part)]
    if len(found) > 1 and len({piece.dataset for piece in found}) < len(found):
        raise BadRequestData(f"{path}: expected instances of distinct datasetIds")
    return found


def _is_part(raw: dict[str, Json]) -> bool:
    """Whether an object in an array can only be an instance of an attribute, or a fragment of one."""
    return parse.kind_of(raw) is not None or not OF_INSTANCES.isdisjoint(raw)


def _piece(path: str, raw: Json, standing: Present, form: Form) -> SentInstance:
    if isinstance(raw, dict) and not (is_null(raw) or geometry.is_geometry(raw) or is_literal(raw)):
        dataset = _dataset(path, raw)
        there = standing.get(dataset)
        if (members := _members(raw, there, form.context)) is not None:
            return SentInstance(dataset, _kind(path, members, there), members)
    there = standing.get(None)
    kind = _kind_for(raw) if there is None else KINDS[there["type"]]
    return SentInstance(None, kind, {kind.value: _translated(raw, kind, form.language)})


def _dataset(path: str, raw: dict[str, Json]) -> str | None:
    named = raw.get("datasetId", "@none")
    return None if named == "@none" else uri(named, f"{path}.datasetId")


def _members(raw: dict[str, Json], there: Instance | None, context: Context) -> dict[str, Json] | None:
    """The members of an instance that an object holds; None if the object is for the value."""
    if not (TYPE | OF_INSTANCES).isdisjoint(raw):
        return raw
    if there is None:
        return None
    subs, value = there.get("attrs", {}), there[KINDS[there["type"]].value]
    inside = value if isinstance(value, dict) else {}
    given = [(name, one) for name, one in raw.items() if not is_null(one)]
    if not given:
        return _deletions(raw, there, context)
    is_fragment = all(
        context.expand(name) in subs or (name not in inside and _is_attribute(one)) for name, one in given
    )
    return raw if is_fragment else None


def _deletions(raw: dict[str, Json], there: Instance, context: Context) -> dict[str, Json]:
    """Members that are Nulls, for what there is of their names: sub-attributes, members of the value."""
    name = KINDS[there["type"]].value
    subs, value = there.get("attrs", {}), there[name]
    gone: dict[str, Json] = {one: NULL for one in raw if context.expand(one) in subs}
    inside = {one: NULL for one in raw if isinstance(value, dict) and one in value}
    return {**gone, name: inside} if inside else gone


def _is_attribute(raw: Json) -> bool:
    """Whether JSON can only be an attribute: it names a type, or holds the value of one."""
    if isinstance(raw, list):
        return bool(raw) and all(map(_is_attribute, raw))
    return isinstance(raw, dict) and not is_literal(raw) and not (TYPE | BY_VALUE.keys()).isdisjoint(raw)


def _kind(path: str, members: dict[str, Json], there: Instance | None) -> Kind:
    """The kind of the instance: the one that it has, unless the members name or tell another one."""
    if there is not None and TYPE.isdisjoint(members):
        kind = KINDS[there["type"]]
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
    """A text, or several, as that of the language of the request, if it is for a LanguageProperty."""
    is_text = isinstance(raw, str | list) and not is_null(raw)
    return {language: raw} if is_text and language and kind.value == "languageMap" else raw


def _simplified(path: str, raw: Json, standing: Present, form: Form) -> Iterator[SentInstance]:
    """5.6.17.4: bare values, of the kinds that there are."""
    for dataset, one in _by_dataset(raw, standing).items():
        there = standing.get(dataset)
        kind = _simplified_kind(one) if there is None else KINDS[there["type"]]
        if kind.value in _WRAPPED and isinstance(one, dict) and one.keys() == {kind.value}:
            one = one[kind.value]
        named = {} if dataset is None else {"datasetId": uri(dataset, f"{path}.dataset")}
        yield SentInstance(dataset, kind, {kind.value: _translated(one, kind, form.language), **named})


def _by_dataset(raw: Json, standing: Present) -> dict[str | None, Json]:
    """The values of several instances (4.5.4). If there is but one whose value has a member `dataset`, the
    value of that one.
    """
    many = raw["dataset"] if isinstance(raw, dict) and raw.keys() == {"dataset"} else None
    if not isinstance(many, dict) or not all(name == "@none" or is_uri(name) for name in many):
        return {None: raw}
    if standing.keys() == {None}:
        value = standing[None].get("value")
        if isinstance(value, dict) and "dataset" in value:
            return {None: raw}
    return {None if name == "@none" else name: one for name, one in many.items()}


def _simplified_kind(raw: Json) -> Kind:
    if isinstance(raw, dict) and len(raw) == 1:
        for name in _WRAPPED:
            if name in raw:
                return BY_VALUE[name]
    return _kind_for(raw)
