"""The Python reader of queries: whether an entity is selected, without a database.

`store.filters` is the other reader. Both hold to the same meaning (4.9, where it leaves room our choice):

- A term holds when it holds for any instance of the attribute, whatever its datasetId, and on the way
  of a path for any instance of each name. Without the target nothing but its absence holds.
- Braces lead from any object of a Relationship or ListRelationship to the entity of that id, if there is
  one and, where types are named, if it has any of them. For the rest it is as if the query were of that one.
- The target value is what the kind of the attribute keeps its value in; a JSON-LD typed value
  (`{"@type": …, "@value": text}`) stands for its text when a date, time or date-time is asked for,
  quoted or not. A VocabProperty's is the IRI. Brackets lead into the value or the json, through objects
  only; into a languageMap they name a language. A LanguageProperty without them, or with [*], has the
  texts of all its languages. A language may have several texts, in an array; each of them counts, with
  every operator.
- Numbers compare with numbers, text with text (by code point; URIs are text), booleans with booleans,
  and a date, time or date-time with the strings that have its form, as moments. A quoted string is
  text to other strings, also when it looks like a date; to the members that hold instants and to JSON-LD
  typed values a quoted moment is a moment.
- `==`: the value, or one element of it if it is an array, is the same. Ranges take no arrays. `!=` is the
  contrary for that instance: so it holds for another type, and for arrays without the value.
- `<` and its like hold for values of the literal's type, so not for arrays, and never for Relationships.
- `~=` and `!~=` hold for strings only, and never for Relationships. With several texts `~=` asks for one that
  matches, `!~=` for a text, and that none does.
"""

import operator as operators
from collections.abc import Callable, Iterator
from typing import NamedTuple

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity.instances import created_at, modified_at
from broker.core.entity.kinds import KINDS
from broker.core.lang import dates, pattern, scope, types
from broker.core.lang.geo import GeoQuery
from broker.core.lang.literals import as_moment
from broker.core.lang.terms import (
    ANY_LANGUAGE,
    TEMPORAL,
    TEMPORAL_MEMBERS,
    And,
    Exists,
    Link,
    Literal,
    Or,
    Q,
    Range,
    RegExp,
    Target,
    Term,
    Value,
    literals,
)
from broker.core.query import Query

Linked = Callable[[str], Entity | None]  # the entity of an id, if there is one


def _nobody(_: str) -> None:
    """For queries that look at no linked entities."""


def selects(query: Query, entity: Entity, linked: Linked = _nobody) -> bool:
    """Whether the whole query selects the entity."""
    attrs = query.required_attrs
    return (
        (query.types is None or types.matches(query.types, entity["type"]))
        and (not query.ids or entity["id"] in query.ids)
        and (query.id_pattern is None or pattern.compile(query.id_pattern).search(entity["id"]) is not None)
        and (not query.selectors or any(one.selects(entity) for one in query.selectors))
        and (not attrs or any(name in entity["attrs"] for name in attrs))
        and (not query.picked or any(name in entity or name in entity["attrs"] for name in query.picked))
        and (query.scope is None or scope.matches(query.scope, entity.get("scope", ())))
        and (query.q is None or matches(query.q, entity, linked))
        and (query.geo is None or is_placed(query.geo, entity["attrs"]))
    )


def is_placed(geo: GeoQuery, attrs: Attributes) -> bool:
    """Whether the geoquery selects an entity with these attributes: by any instance of its GeoProperty."""
    return any(
        one["type"] == "GeoProperty" and geo.selects(one["value"]) for one in attrs.get(geo.property, ())
    )


def matches(q: Q, entity: Entity, linked: Linked = _nobody) -> bool:
    """Whether the condition `q` holds for the entity; `linked` gives the entities that it links to."""
    match q:
        case And(parts):
            return all(matches(part, entity, linked) for part in parts)
        case Or(parts):
            return any(matches(part, entity, linked) for part in parts)
        case Exists(target, absent):
            return any(True for _ in _seen(target, entity, linked)) is not absent
        case Term():
            return any(_holds(q, found) for found in _seen(q.target, entity, linked))


class _Found(NamedTuple):
    """The values of one target: several for the texts of languages. `where` is the member they come from."""

    where: str
    values: list[Json]


_TIMES = {"createdAt": created_at, "modifiedAt": modified_at}
_LINKS = frozenset({"object", "objectList"})
_TEXTS = _LINKS | {"vocab", "languageMap", "unitCode", "datasetId", "objectType", "valueType"}


def _seen(target: Target, entity: Entity, linked: Linked) -> Iterator[_Found]:
    """Each target in the entity, or in those that it links to."""
    if not target.links:
        yield from _found(target, entity)
    else:
        for other in _others(target.links[0], entity, linked):
            yield from _seen(target.linked, other, linked)


def _others(link: Link, entity: Entity, linked: Linked) -> Iterator[Entity]:
    """The entities that a link leads to."""
    for instance in _instances(entity["attrs"], link.path):
        where = KINDS[instance["type"]].value
        if where in _LINKS:
            objects = instance[where]
            for entity_id in objects if isinstance(objects, list) else (objects,):
                other = linked(entity_id)
                if other is not None and (not link.types or not set(link.types).isdisjoint(other["type"])):
                    yield other


def _found(target: Target, entity: Entity) -> Iterator[_Found]:
    """Each target that the path leads to in the entity."""
    holders = _instances(entity["attrs"], target.path) if target.path else iter((entity,))
    for holder in holders:
        if target.member in _TIMES:
            yield _Found(target.member, [_TIMES[target.member](holder, entity["createdAt"])])
        elif target.member:
            yield from _member(holder, target.member)
        else:
            yield from _value(holder, target.trailing)


def _instances(attrs: Attributes, path: tuple[str, ...]) -> Iterator[Instance]:
    for instance in attrs.get(path[0], ()):
        if len(path) == 1:
            yield instance
        else:
            yield from _instances(instance.get("attrs", {}), path[1:])


def _member(holder: Entity | Instance, name: str) -> Iterator[_Found]:
    if name in holder:
        yield _Found(name, [holder[name]])


def _value(instance: Instance, trailing: tuple[str, ...]) -> Iterator[_Found]:
    where = KINDS[instance["type"]].value
    value = instance[where]
    if where == "languageMap":
        yield from _languages(value, trailing)
    elif trailing != ANY_LANGUAGE:
        yield from _walked(where, value, trailing)


def _languages(texts: dict[str, Json], trailing: tuple[str, ...]) -> Iterator[_Found]:
    if trailing in ((), ANY_LANGUAGE):
        yield _Found("languageMap", [word for words in texts.values() for word in _words(words)])
    elif len(trailing) == 1 and trailing[0] in texts:
        yield _Found("languageMap", _words(texts[trailing[0]]))


def _words(texts: Json) -> list[Json]:
    """The texts of one language."""
    return texts if isinstance(texts, list) else [texts]


def _walked(where: str, value: Json, trailing: tuple[str, ...]) -> Iterator[_Found]:
    for name in trailing:
        if not isinstance(value, dict) or name not in value:
            return
        value = value[name]
    yield _Found(where, [value])


def _holds(term: Term, found: _Found) -> bool:
    return _OPERATORS[term.operator](term, found)


def _equal(term: Term, found: _Found) -> bool:
    return any(_equals(term.value, value, found.where) for value in found.values)


def _equals(wanted: Value, value: Json, where: str) -> bool:
    if isinstance(wanted, Range):
        return _ordered(">=", value, wanted.low, where) and _ordered("<=", value, wanted.high, where)
    if not isinstance(value, list):
        return any(_same(value, one, where) for one in literals(wanted))
    inside = _ELEMENT.get(where, where)
    return any(_same(element, one, inside) for one in literals(wanted) for element in value)


_ELEMENT = {"value": "valueList"}  # what stands for a typed value is not looked for inside arrays


def _unequal(term: Term, found: _Found) -> bool:
    return not _equal(term, found)


def _same(value: Json, wanted: Literal, where: str) -> bool:
    if where == "value" and isinstance(value, dict):
        wanted = as_moment(wanted)
    key = _key(value, wanted.kind, where)
    return key is not None and key == _wanted(wanted)


def _ordering(term: Term, found: _Found) -> bool:
    assert isinstance(term.value, Literal)
    wanted = term.value
    return found.where not in _LINKS and any(
        _ordered(term.operator, value, wanted, found.where) for value in found.values
    )


def _ordered(operator: str, value: Json, wanted: Literal, where: str) -> bool:
    if where == "value" and isinstance(value, dict):
        wanted = as_moment(wanted)
    key = _key(value, wanted.kind, where)
    return key is not None and _COMPARE[operator](key, _wanted(wanted))


_COMPARE: dict[str, Callable[[Json, Json], bool]] = {
    ">": operators.gt,
    ">=": operators.ge,
    "<": operators.lt,
    "<=": operators.le,
}


def _wanted(literal: Literal) -> Json:
    return dates.padded(str(literal.value)) if literal.kind in TEMPORAL else literal.value


def _key(value: Json, kind: str, where: str) -> Json:
    """What a value compares by with literals of this kind; None when it is of another type."""
    if where in TEMPORAL_MEMBERS:
        return dates.padded(value) if kind == "dateTime" else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "text":
        return value if isinstance(value, str) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    return None if where in _TEXTS else dates.key(kind, _typed(value) if where == "value" else value)


def _typed(value: Json) -> Json:
    """The text that a JSON-LD typed value stands for; any other value as it is."""
    return value.get("@value") if isinstance(value, dict) else value


def _patterned(term: Term, found: _Found) -> bool:
    return any(_results(term, found))


def _unpatterned(term: Term, found: _Found) -> bool:
    results = list(_results(term, found))
    return bool(results) and not any(results)


def _results(term: Term, found: _Found) -> Iterator[bool]:
    """For each string among the values, whether the pattern is in it."""
    assert isinstance(term.value, RegExp)
    search = pattern.compile(term.value.text).search
    if found.where not in _LINKS and found.where not in TEMPORAL_MEMBERS:
        yield from (search(value) is not None for value in found.values if isinstance(value, str))


_OPERATORS: dict[str, Callable[[Term, _Found], bool]] = {
    "==": _equal,
    "!=": _unequal,
    **dict.fromkeys(_COMPARE, _ordering),
    "~=": _patterned,
    "!~=": _unpatterned,
}
