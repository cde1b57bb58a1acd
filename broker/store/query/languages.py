"""Filters for terms on the texts of all languages of a LanguageProperty, as aggregation expressions.

Filters cannot test "the value of any key", but the keys of a languageMap are unknown. `$expr` can, but is
allowed only at the top of a filter, so the expression goes from the entity to the instances itself.
"""

from collections.abc import Callable
from typing import Any

from broker.core.lang import pattern
from broker.core.lang.operators import readers
from broker.core.lang.terms import Literal, Range, RegExp, Term, literals
from broker.store.query.conditions import Filter, comparison
from broker.store.wire.codec import key

Expression = Any
_Test = Callable[[Expression], Expression]  # from the array of a languageMap's texts to a condition


def text_holds(term: Term) -> Filter | None:
    """The filter that a term holds for the texts of an instance at its path.

    None if the term compares with no text, so that the texts do not matter.
    """
    if (test := _TESTS[term.operator](term)) is None:
        return None
    return {"$expr": _any_instance(term.target.path, "$", 0, test)}


def _any_instance(
    path: tuple[str, ...], above: str, depth: int, test: Callable[[Expression], Expression]
) -> Expression:
    variable = f"i{depth}"
    inner = (
        _any_instance(path[1:], f"$${variable}.", depth + 1, test)
        if path[1:]
        else _of_map(f"$${variable}.languageMap", test)
    )
    return _any({"$ifNull": [f"{above}attrs.{key(path[0])}", []]}, variable, inner)


def _of_map(texts: str, test: Callable[[Expression], Expression]) -> Expression:
    pairs = {"$objectToArray": {"$ifNull": [texts, {}]}}
    all_words = {"$concatArrays": ["$$value", _WORDS]}
    words = {"$reduce": {"input": pairs, "initialValue": [], "in": all_words}}
    return {"$and": [{"$ne": [{"$type": texts}, "missing"]}, test(words)]}


def _any(items: Expression, name: str, test: Expression) -> Expression:
    return {"$anyElementTrue": [{"$map": {"input": items, "as": name, "in": test}}]}


_IS_STRING = {"$eq": [{"$type": "$$text"}, "string"]}
_WORDS = {"$cond": [{"$isArray": "$$this.v"}, "$$this.v", ["$$this.v"]]}


def _equal(term: Term) -> _Test | None:
    if isinstance(term.value, Range):
        return _ordered([(">=", term.value.low), ("<=", term.value.high)])
    words = [literal.value for literal in literals(term.value) if literal.kind == "text"]
    return (lambda texts: _any(texts, "text", {"$in": ["$$text", {"$literal": words}]})) if words else None


def _unequal(term: Term) -> _Test | None:
    equal = _equal(term)
    return equal and (lambda texts: {"$not": [equal(texts)]})


def _ordering(term: Term) -> _Test | None:
    assert isinstance(term.value, Literal)
    return _ordered([(term.operator, term.value)])


def _ordered(bounds: list[tuple[str, Literal]]) -> _Test | None:
    if bounds[0][1].kind != "text":
        return None
    within = [{comparison(sign): ["$$text", {"$literal": bound.value}]} for sign, bound in bounds]
    return lambda texts: _any(texts, "text", {"$and": [_IS_STRING, *within]})


def _patterned(term: Term) -> _Test | None:
    assert isinstance(term.value, RegExp)
    text = {"$cond": [_IS_STRING, "$$text", None]}
    is_match = {"$regexMatch": {"input": text, "regex": {"$literal": pattern.portable(term.value.text)}}}
    return lambda texts: _any(texts, "text", is_match)


def _unpatterned(term: Term) -> _Test | None:
    patterned = _patterned(term)
    assert patterned is not None
    return lambda texts: {"$and": [_any(texts, "text", _IS_STRING), {"$not": [patterned(texts)]}]}


_TESTS: dict[str, Callable[[Term], _Test | None]] = readers(
    equal=_equal, unequal=_unequal, ordering=_ordering, patterned=_patterned, unpatterned=_unpatterned
)
