"""Evaluates queries in Python: decides whether a query selects an entity, without a database.

`store.query.filters` is the other evaluator. Both give a query the same meaning (4.9; our choice where the
clause is not precise):

- A term holds if it holds for any instance of the attribute, whatever its datasetId. On a path, any instance
  of each attribute counts. If the target does not exist, only a term that asks for its absence holds.
- Braces lead from any object of a Relationship or ListRelationship to the entity of that id, if it exists
  and, where types are named, has one of them. The rest of the path is evaluated in that entity.
- The target value is the value of the instance (`Kind.value`); of a VocabProperty it is the IRI. A JSON-LD
  typed value (`{"@type": …, "@value": text}`) counts as its text when it is compared with a date, time or
  date-time, quoted or not. Brackets lead into a value or json, through objects only; in a languageMap they
  name a language. A LanguageProperty without brackets, or with [*], has the texts of all its languages. A
  language may have an array of texts; each of them counts, with every operator.
- Numbers compare with numbers, text with text (by code point; URIs are text), booleans with booleans. A
  date, time or date-time compares with strings of the same form, in the order of time. A quoted string
  compares with strings as text, even if it looks like a date; but with members that hold instants and with
  JSON-LD typed values a quoted date, time or date-time compares in the order of time.
- `==`: the value is equal, or one element of an array is. Ranges do not match arrays. `!=` is the negation
  for one instance, so it holds for values of another type, and for arrays without the value.
- `<`, `<=`, `>` and `>=` hold for values of the literal's type only, so not for arrays, and never for
  Relationships.
- `~=` and `!~=` hold for strings only, and never for Relationships. With several texts, `~=` holds if one of
  them matches, `!~=` if there is a text and none matches.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from broker.core import Attributes, Entity, Instance, Json
from broker.core.entity.instances import created_at, modified_at
from broker.core.entity.kinds import KINDS
from broker.core.lang import dates, pattern
from broker.core.lang.geo import GeoQuery
from broker.core.lang.literals import as_moment
from broker.core.lang.operators import ORDERING, readers
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

Linked = Callable[[str], Entity | None]  # the entity of an id; None if there is none


def _no_entity(_: str) -> None:
    """The `Linked` for queries without linked entities."""


def is_placed(geo: GeoQuery, attrs: Attributes) -> bool:
    """Whether the geoquery selects an entity with these attributes, by any instance of its GeoProperty."""
    return any(
        instance["type"] == "GeoProperty" and geo.selects(instance["value"])
        for instance in attrs.get(geo.property, ())
    )


def matches(q: Q, entity: Entity, linked: Linked = _no_entity) -> bool:
    """Whether the condition `q` holds for the entity; `linked` loads the entities that it links to."""
    match q:
        case And(parts):
            return all(matches(part, entity, linked) for part in parts)
        case Or(parts):
            return any(matches(part, entity, linked) for part in parts)
        case Exists(target, absent):
            return any(True for _ in _target_values(target, entity, linked)) is not absent
        case Term():
            return any(_holds(q, values) for values in _target_values(q.target, entity, linked))


class _TargetValues(NamedTuple):
    """The values of one target, several if they are texts of languages. `where`: the member they are in."""

    where: str
    values: list[Json]


_TIMES = {"createdAt": created_at, "modifiedAt": modified_at}
_LINKS = frozenset({"object", "objectList"})
_TEXTS = _LINKS | {"vocab", "languageMap", "unitCode", "datasetId", "objectType", "valueType"}


def _target_values(target: Target, entity: Entity, linked: Linked) -> Iterator[_TargetValues]:
    """Yields the values of each target, in the entity or in the linked entities."""
    if not target.links:
        yield from _own_values(target, entity)
    else:
        for linked_entity in _linked_entities(target.links[0], entity, linked):
            yield from _target_values(target.linked, linked_entity, linked)


def _linked_entities(link: Link, entity: Entity, linked: Linked) -> Iterator[Entity]:
    """Yields the entities to which a link leads."""
    for instance in _instances(entity["attrs"], link.path):
        where = KINDS[instance["type"]].value
        if where in _LINKS:
            objects = instance[where]
            for entity_id in objects if isinstance(objects, list) else (objects,):
                target = linked(entity_id)
                if target is not None and (not link.types or not set(link.types).isdisjoint(target["type"])):
                    yield target


def _own_values(target: Target, entity: Entity) -> Iterator[_TargetValues]:
    """Yields the values of each target to which the path leads in the entity."""
    holders = _instances(entity["attrs"], target.path) if target.path else iter((entity,))
    for holder in holders:
        if target.member in _TIMES:
            yield _TargetValues(target.member, [_TIMES[target.member](holder, entity["createdAt"])])
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


def _member(holder: Entity | Instance, name: str) -> Iterator[_TargetValues]:
    if name in holder:
        yield _TargetValues(name, [holder[name]])


def _value(instance: Instance, trailing: tuple[str, ...]) -> Iterator[_TargetValues]:
    where = KINDS[instance["type"]].value
    value = instance[where]
    if where == "languageMap":
        yield from _languages(value, trailing)
    elif trailing != ANY_LANGUAGE:
        yield from _walked(where, value, trailing)


def _languages(texts: dict[str, Json], trailing: tuple[str, ...]) -> Iterator[_TargetValues]:
    if trailing in ((), ANY_LANGUAGE):
        yield _TargetValues("languageMap", [word for words in texts.values() for word in _words(words)])
    elif len(trailing) == 1 and trailing[0] in texts:
        yield _TargetValues("languageMap", _words(texts[trailing[0]]))


def _words(texts: Json) -> list[Json]:
    """The texts of one language as a list."""
    return texts if isinstance(texts, list) else [texts]


def _walked(where: str, value: Json, trailing: tuple[str, ...]) -> Iterator[_TargetValues]:
    for name in trailing:
        if not isinstance(value, dict) or name not in value:
            return
        value = value[name]
    yield _TargetValues(where, [value])


def _holds(term: Term, target: _TargetValues) -> bool:
    return _OPERATORS[term.operator](term, target)


def _equal(term: Term, target: _TargetValues) -> bool:
    return any(_equals(term.value, value, target.where) for value in target.values)


def _equals(wanted: Value, value: Json, where: str) -> bool:
    if isinstance(wanted, Range):
        return _ordered(">=", value, wanted.low, where) and _ordered("<=", value, wanted.high, where)
    if not isinstance(value, list):
        return any(_same(value, literal, where) for literal in literals(wanted))
    inside = _ELEMENT.get(where, where)
    return any(_same(element, literal, inside) for literal in literals(wanted) for element in value)


_ELEMENT = {"value": "valueList"}  # typed values are not recognized inside arrays


def _unequal(term: Term, target: _TargetValues) -> bool:
    return not _equal(term, target)


def _same(value: Json, wanted: Literal, where: str) -> bool:
    if where == "value" and isinstance(value, dict):
        wanted = as_moment(wanted)
    key = _key(value, wanted.kind, where)
    return key is not None and key == _wanted(wanted)


def _ordering(term: Term, target: _TargetValues) -> bool:
    assert isinstance(term.value, Literal)
    wanted = term.value
    return target.where not in _LINKS and any(
        _ordered(term.operator, value, wanted, target.where) for value in target.values
    )


def _ordered(operator: str, value: Json, wanted: Literal, where: str) -> bool:
    if where == "value" and isinstance(value, dict):
        wanted = as_moment(wanted)
    key = _key(value, wanted.kind, where)
    return key is not None and ORDERING[operator].compare(key, _wanted(wanted))


def _wanted(literal: Literal) -> Json:
    return dates.padded(str(literal.value)) if literal.kind in TEMPORAL else literal.value


def _key(value: Json, kind: str, where: str) -> Json:
    """The key by which a value compares with literals of this kind; None if it is of another type."""
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
    """The text of a JSON-LD typed value; any other value unchanged."""
    return value.get("@value") if isinstance(value, dict) else value


def _patterned(term: Term, target: _TargetValues) -> bool:
    return any(_results(term, target))


def _unpatterned(term: Term, target: _TargetValues) -> bool:
    results = list(_results(term, target))
    return bool(results) and not any(results)


def _results(term: Term, target: _TargetValues) -> Iterator[bool]:
    """Yields for each string among the values whether the pattern matches a part of it."""
    assert isinstance(term.value, RegExp)
    search = pattern.compile(term.value.text).search
    if target.where not in _LINKS and target.where not in TEMPORAL_MEMBERS:
        yield from (search(value) is not None for value in target.values if isinstance(value, str))


_OPERATORS: dict[str, Callable[[Term, _TargetValues], bool]] = readers(
    equal=_equal, unequal=_unequal, ordering=_ordering, patterned=_patterned, unpatterned=_unpatterned
)
