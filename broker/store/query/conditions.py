"""Translates terms of `q` into MongoDB conditions on one attribute instance, or on the entity's own members.

MongoDB's operators also test the items of arrays: `{"value": 5}` matches 5 and [4, 5]. The `==` of `q` means
that, but the other operators and paths do not, so for them ONE excludes arrays. MongoDB compares values of
one type only, and numbers of all numeric types, as `q` does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from bson import Decimal128

from broker.core.lang import pattern
from broker.core.lang.literals import as_moment
from broker.core.lang.operators import ORDERING, readers
from broker.core.lang.terms import (
    ANY_LANGUAGE,
    TEMPORAL,
    TEMPORAL_MEMBERS,
    Literal,
    Range,
    RegExp,
    Target,
    Term,
    literals,
)
from broker.store.query import date_conditions
from broker.store.wire.codec import value_key

Filter = dict[str, Any]
Bounds = list[tuple[str, Literal]]

NOTHING: Filter = {"type": {"$in": []}}
ONE: Filter = {"$not": {"$type": "array"}}
_INT64 = 2**63

# By the type of a literal: the members that a term with ==, a range, or an ordering compares with it.
_Members = dict[str, tuple[str, ...]]
_EQUAL: _Members = {
    "text": ("value", "object", "vocab", "valueList", "objectList", "json"),
    "other": ("value", "valueList", "json"),
}
_RANGED: _Members = {"text": ("value", "object", "vocab"), "other": ("value",)}
_ORDERED: _Members = {"text": ("value", "vocab"), "other": ("value",)}


def all_of(filters: list[Filter]) -> Filter:
    """The conjunction of filters; one flat document if their members differ."""
    merged: Filter = {}
    for condition in filters:
        if merged.keys() & condition.keys():
            return {"$and": [part for part in filters if part]}
        merged.update(condition)
    return merged


def any_of(filters: list[Filter]) -> Filter:
    """The disjunction of filters; NOTHING if there are none."""
    if len(filters) == 1:
        return filters[0]
    return {"$or": filters} if filters else NOTHING


class _Slot(NamedTuple):
    """A slot: a path in an instance where a target may have its value. Paths `above` it must not be arrays.

    `several`: each item of an array at the path is a value, the array itself is not.
    """

    path: str
    above: tuple[str, ...] = ()
    several: bool = False

    def is_(self, condition: Any) -> Filter:
        return {**dict.fromkeys(self.above, ONE), self.path: condition}

    @property
    def typed(self) -> "_Slot":
        """The path of the text of a JSON-LD typed value."""
        return _Slot(f"{self.path}.@value", (*self.above, self.path))

    @property
    def may_be_typed(self) -> bool:
        return self.path.split(".", 1)[0] == "value"


def exists(target: Target) -> Filter:
    """The condition that an instance has the target; {} if every instance has it."""
    if target.member:
        return {target.member: {"$exists": True}}
    if target.trailing == ANY_LANGUAGE:
        return {"languageMap": {"$exists": True}}
    if not target.trailing:
        return {}
    return any_of([slot.is_({"$exists": True}) for slot in _inside(target.trailing, "text")])


def holds(term: Term) -> Filter:
    """The condition that a term holds; texts of all languages are in `languages`."""
    return _OPERATORS[term.operator](term)


def _slots(target: Target, kind: str, members: _Members) -> list[_Slot]:
    """The paths where a target may have values of a type."""
    if target.member:
        is_instant = target.member in TEMPORAL_MEMBERS
        return [_Slot(target.member)] if kind == ("dateTime" if is_instant else "text") else []
    if target.trailing:
        return _inside(target.trailing, kind)
    return [_Slot(member) for member in members.get(kind, members["other"])]


def _inside(trailing: tuple[str, ...], kind: str) -> list[_Slot]:
    slots = [_walk(member, trailing) for member in ("value", "json")]
    if kind == "text" and len(trailing) == 1:
        slots.append(_Slot(f"languageMap.{value_key(trailing[0])}", several=True))
    return slots


def _walk(member: str, trailing: tuple[str, ...]) -> _Slot:
    steps = [member, *map(value_key, trailing)]
    paths = [".".join(steps[:length]) for length in range(1, len(steps) + 1)]
    return _Slot(paths[-1], tuple(paths[:-1]))


def _equal(term: Term) -> Filter:
    return any_of(_equals(term))


def _unequal(term: Term) -> Filter:
    equals = _equals(term)
    return all_of([exists(term.target), {"$nor": equals} if equals else {}])


def _equals(term: Term) -> list[Filter]:
    if isinstance(term.value, Range):
        bounds = [(">=", term.value.low), ("<=", term.value.high)]
        slots = _slots(term.target, term.value.low.kind, _RANGED)
        return [_within(slot, bounds) for slot in slots]
    by_kind: dict[str, list[Literal]] = {}
    for literal in literals(term.value):
        by_kind.setdefault(literal.kind, []).append(literal)
    return [condition for kind, wanted in by_kind.items() for condition in _same(term.target, kind, wanted)]


def _same(target: Target, kind: str, wanted: list[Literal]) -> list[Filter]:
    slots = _slots(target, kind, _EQUAL)
    if kind in TEMPORAL:
        return [condition for slot in slots for literal in wanted for condition in _moment(slot, literal)]
    values = [_stored(literal) for literal in wanted]
    conditions = [slot.is_({"$in": values} if len(values) > 1 else values[0]) for slot in slots]
    quoted = [moment for literal in wanted if (moment := as_moment(literal)).kind in TEMPORAL]
    return conditions + [_typed(slot, moment) for slot in slots if slot.may_be_typed for moment in quoted]


def _moment(slot: _Slot, wanted: Literal) -> list[Filter]:
    if slot.path in TEMPORAL_MEMBERS:
        return [_instants(slot.path, [(">=", wanted), ("<=", wanted)])]
    typed = [_typed(slot, wanted)] if slot.may_be_typed else []
    return [slot.is_({"$regex": date_conditions.same(wanted)}), *typed]


def _typed(slot: _Slot, wanted: Literal) -> Filter:
    """The condition that a typed value is the same date, time or date-time."""
    return slot.typed.is_({"$regex": date_conditions.same(wanted), **ONE})


def _ordering(term: Term) -> Filter:
    assert isinstance(term.value, Literal)
    slots = _slots(term.target, term.value.kind, _ORDERED)
    return any_of([_within(slot, [(term.operator, term.value)]) for slot in slots])


def _within(slot: _Slot, bounds: Bounds) -> Filter:
    """The condition that a value that is no array is within the bounds."""
    if slot.path in TEMPORAL_MEMBERS:
        return _instants(slot.path, bounds)
    if bounds[0][1].kind not in TEMPORAL:
        within = {comparison(sign): _stored(bound) for sign, bound in bounds}
        inside = [slot.is_({"$elemMatch": within})] if slot.several else []
        return any_of([slot.is_({**within, **ONE}), *inside, *_quoted(slot, bounds)])
    alternatives = [_dates(slot, bounds)]
    if slot.may_be_typed:
        alternatives.append(_dates(slot.typed, bounds))
    return any_of(alternatives)


def _quoted(slot: _Slot, bounds: Bounds) -> list[Filter]:
    """The conditions that a typed value is within bounds given as quoted times; [] if the bounds are not."""
    unquoted = [(sign, as_moment(bound)) for sign, bound in bounds]
    kinds = {bound.kind for _, bound in unquoted}
    is_asked = slot.may_be_typed and len(kinds) == 1 and kinds <= TEMPORAL
    return [_dates(slot.typed, unquoted)] if is_asked else []


def _dates(slot: _Slot, bounds: Bounds) -> Filter:
    within = [
        any_of([{slot.path: condition} for condition in date_conditions.ordered(sign, bound)])
        for sign, bound in bounds
    ]
    return {"$and": [slot.is_(ONE), *within]}


def comparison(operator: str) -> str:
    """MongoDB's operator for one that compares by order."""
    return "$" + ORDERING[operator].name


def _instants(member: str, bounds: Bounds) -> Filter:
    """The condition on a member with instants. They are stored in one form, so they compare as texts."""
    return {member: {comparison(sign): ORDERING[sign].edge(str(bound.value)) for sign, bound in bounds}}


def _stored(literal: Literal) -> Any:
    value = literal.value
    is_big = isinstance(value, int) and not -_INT64 <= value < _INT64
    return Decimal128(str(value)) if is_big else value


def _patterned(term: Term) -> Filter:
    expression = {"$regex": _portable(term)}
    slots = _slots(term.target, "text", _ORDERED)
    return any_of([slot.is_(expression if slot.several else {**expression, **ONE}) for slot in slots])


def _unpatterned(term: Term) -> Filter:
    expression = {"$regex": _portable(term)}
    alternatives = []
    for slot in _slots(term.target, "text", _ORDERED):
        unwanted = [expression] if slot.several else [ONE["$not"], expression]
        none = {"$nor": [{slot.path: condition} for condition in unwanted]}
        alternatives.append(all_of([slot.is_({"$type": "string"}), none]))
    return any_of(alternatives)


def _portable(term: Term) -> str:
    assert isinstance(term.value, RegExp)
    return pattern.portable(term.value.text)


_OPERATORS: dict[str, Callable[[Term], Filter]] = readers(
    equal=_equal, unequal=_unequal, ordering=_ordering, patterned=_patterned, unpatterned=_unpatterned
)
