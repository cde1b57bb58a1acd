"""What must hold of an entity for a condition to have a chance: told from the condition, before it is asked.

These are necessary and not sufficient, so that an index can pass over subscriptions without looking at them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from broker.core import Entity, Json
from broker.core.entity.kinds import KINDS
from broker.core.lang.literals import as_moment
from broker.core.lang.terms import And, Literal, Q, Range, Target, Term, literals

_PLAIN = frozenset({"number", "text", "boolean"})


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of the values of an attribute (IRI) is one of these."""

    iri: str
    values: frozenset[Json]


@dataclass(frozen=True, slots=True)
class Between:
    """An attribute (IRI) has a number of at least `low`, and one of at most `high`."""

    iri: str
    low: float = -inf
    high: float = inf


Need = OneOf | Between


def needs(q: Q | None) -> list[Need]:
    """What a query needs."""
    parts = q.parts if isinstance(q, And) else () if q is None else (q,)
    found: list[Need] = []
    between: dict[str, Between] = {}
    for part in parts:
        need = _need(part)
        if isinstance(need, OneOf):
            found.append(need)
        elif need is not None:
            old = between.get(need.iri, need)
            between[need.iri] = Between(need.iri, max(old.low, need.low), min(old.high, need.high))
    return [*found, *between.values()]


def _need(part: Q) -> Need | None:
    if not isinstance(part, Term) or len(part.target.path) != 1 or part.target != Target(part.target.path):
        return None
    (iri,) = part.target.path
    value = part.value
    if part.operator == "==":
        if isinstance(value, Range):
            return _between(iri, value.low, value.high)
        one_of = literals(value)
        is_plain = bool(one_of) and all(as_moment(one).kind in _PLAIN for one in one_of)
        return OneOf(iri, frozenset(one.value for one in one_of)) if is_plain else None
    if isinstance(value, Literal) and part.operator in (">", ">="):
        return _between(iri, value, None)
    if isinstance(value, Literal) and part.operator in ("<", "<="):
        return _between(iri, None, value)
    return None


def _between(iri: str, low: Literal | None, high: Literal | None) -> Between | None:
    if any(one is not None and one.kind != "number" for one in (low, high)):
        return None
    return Between(iri, -inf if low is None else _number(low), inf if high is None else _number(high))


def _number(literal: Literal) -> float:
    assert not isinstance(literal.value, str), "a number"
    return literal.value


def values(entity: Entity, iri: str) -> Iterator[Json]:
    """The plain values of an attribute, of all instances, languages and elements: what a `Need` is about."""
    for instance in entity["attrs"].get(iri, ()):
        value = instance[KINDS[instance["type"]].value]
        for one in value.values() if isinstance(value, dict) else (value,):
            if isinstance(one, list):
                yield from (element for element in one if isinstance(element, str | int | float))
            elif isinstance(one, str | int | float):
                yield one


_TOKEN = re.compile(
    r"""(?P<group>\((?:\?:)?) | (?P<end>\)) | (?P<many>[*?]\??|\{\d+(?:,\d*)?\}\??) | (?P<more>\+\??)
      | (?P<break>[.^$] | \\[dDwWsSbBAz] | \[\^?(?:\\[^QEpPx0-9]|[^\[\]\\])+\])
      | \\(?P<escaped>[^\w\s]) | (?P<char>[^\\|()\[\]])""",
    re.VERBOSE,
)


def needle(pattern: str) -> str:
    """The longest text that is found to be in whatever a regular expression matches; "" if none is found."""
    run, best, depth, at = "", "", 0, 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None or (pattern.startswith("(?", at) and token["group"] != "(?:"):
            return ""
        at = token.end()
        kind = token.lastgroup
        depth += (kind == "group") - (kind == "end")
        if kind in ("char", "escaped") and not depth:
            run += token[kind]
            best = max(best, run, key=len) if not _may_be_absent(pattern, at) else best
            continue
        run = ""
    return best


def _may_be_absent(pattern: str, at: int) -> bool:
    """Whether what stands before this place is followed by a quantifier that allows for none of it."""
    return (token := _TOKEN.match(pattern, at)) is not None and token.lastgroup == "many"
