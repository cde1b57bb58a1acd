"""Necessary conditions of a `q`: cheap facts about an entity without which the `q` cannot hold.

They are not sufficient. The index of subscriptions uses them to skip subscriptions without evaluating them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from broker.core import Entity, Json
from broker.core.entity.kinds import KINDS
from broker.core.lang.literals import as_moment
from broker.core.lang.operators import EQUAL, ORDERING
from broker.core.lang.terms import And, Literal, Q, Range, Target, Term, literals

_PLAIN = frozenset({"number", "text", "boolean"})


@dataclass(frozen=True, slots=True)
class OneOf:
    """At least one value of the attribute (IRI) is one of `values`."""

    iri: str
    values: frozenset[Json]


@dataclass(frozen=True, slots=True)
class Between:
    """The attribute (IRI) has a number of at least `low`, and a number of at most `high`."""

    iri: str
    low: float = -inf
    high: float = inf


Need = OneOf | Between


def needs(q: Q | None) -> list[Need]:
    """The needs of a query; all of them are necessary. Empty if none was found."""
    parts = q.parts if isinstance(q, And) else () if q is None else (q,)
    value_needs: list[Need] = []
    between: dict[str, Between] = {}
    for part in parts:
        need = _need(part)
        if isinstance(need, OneOf):
            value_needs.append(need)
        elif need is not None:
            former = between.get(need.iri, need)
            between[need.iri] = Between(need.iri, max(former.low, need.low), min(former.high, need.high))
    return [*value_needs, *between.values()]


def _need(part: Q) -> Need | None:
    if not isinstance(part, Term) or len(part.target.path) != 1 or part.target != Target(part.target.path):
        return None
    (iri,) = part.target.path
    value = part.value
    if part.operator == EQUAL:
        if isinstance(value, Range):
            return _between(iri, value.low, value.high)
        alternatives = literals(value)
        is_plain = bool(alternatives) and all(as_moment(literal).kind in _PLAIN for literal in alternatives)
        return OneOf(iri, frozenset(literal.value for literal in alternatives)) if is_plain else None
    if isinstance(value, Literal) and (ordering := ORDERING.get(part.operator)) is not None:
        return _between(iri, value, None) if ordering.is_lower else _between(iri, None, value)
    return None


def _between(iri: str, low: Literal | None, high: Literal | None) -> Between | None:
    if any(literal is not None and literal.kind != "number" for literal in (low, high)):
        return None
    return Between(iri, -inf if low is None else _number(low), inf if high is None else _number(high))


def _number(literal: Literal) -> float:
    assert not isinstance(literal.value, str), "a number"
    return literal.value


def values(entity: Entity, iri: str) -> Iterator[Json]:
    """Yields the values to which a `Need` refers: the plain values of all instances, languages, elements."""
    for instance in entity["attrs"].get(iri, ()):
        content = instance[KINDS[instance["type"]].value]
        for value in content.values() if isinstance(content, dict) else (content,):
            if isinstance(value, list):
                yield from (element for element in value if isinstance(element, str | int | float))
            elif isinstance(value, str | int | float):
                yield value


_TOKEN = re.compile(
    r"""(?P<group>\((?:\?:)?) | (?P<end>\)) | (?P<many>[*?]\??|\{\d+(?:,\d*)?\}\??) | (?P<more>\+\??)
      | (?P<break>[.^$] | \\[dDwWsSbBAz] | \[\^?(?:\\[^QEpPx0-9]|[^\[\]\\])+\])
      | \\(?P<escaped>[^\w\s]) | (?P<char>[^\\|()\[\]])""",
    re.VERBOSE,
)

# A literal text, and perhaps anything after it: what most patterns of ids are.
_SIMPLE = re.compile(r"\^?([^\\.^$*+?{}()\[\]|]+)(?:\.\*)?\$?")


def needle(pattern: str) -> str:
    """The longest literal text that every match of a regular expression contains; "" if none is found."""
    if (simple := _SIMPLE.fullmatch(pattern)) is not None:
        return simple[1]
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
    """Whether a quantifier at this position allows zero repetitions."""
    return (token := _TOKEN.match(pattern, at)) is not None and token.lastgroup == "many"
