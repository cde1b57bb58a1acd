"""The text of a query (clause 4.9) in the names of an @context.

For every tree that `q.parse` makes, parsing what `show` prints gives an equal tree, if both are given the
same `expand_values` and an @context whose `expand` takes back what its `compact` gives. A name is printed
as an IRI in <> where the @context has none for it, or has one that would say something else there: a word
that is a member or a parameter, or a prefix:term in braces, whose prefix would be read as a type.
What cannot be said in another @context: a value among `expand_values` whose IRI begins with its prefix.
"""

import json
import re
from collections.abc import Callable, Collection

from broker.core.lang.q import NO_ATTRIBUTES, TERM
from broker.core.lang.terms import (
    MEMBERS,
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
    Value,
    literals,
)

_TERM = re.compile(TERM)
_NAME = re.compile(f"{TERM}(?::{TERM})?")


def show(q: Q, compact: Callable[[str], str], expand_values: Collection[str] = ()) -> str:
    """The text of a query in the names that `compact` gives.

    `expand_values`: the attributes (IRIs) whose values are terms, as for `q.parse`.
    """
    return _Printer(compact, frozenset(expand_values)).query(q)


class _Printer:
    __slots__ = ("_compact", "_expand_values")

    def __init__(self, compact: Callable[[str], str], expand_values: frozenset[str]) -> None:
        self._compact = compact
        self._expand_values = expand_values

    def query(self, q: Q) -> str:
        """The text of a tree, or of a part of one."""
        if isinstance(q, Or):
            return "|".join(map(self.query, q.parts))
        if isinstance(q, And):
            texts = ((one, self.query(one)) for one in q.parts)
            return ";".join(f"({text})" if isinstance(one, Or) else text for one, text in texts)
        if isinstance(q, Exists):
            return ("!" if q.absent else "") + self._target(q.target)
        return f"{self._target(q.target)}{q.operator}{self._value(q.target, q.value)}"

    def _target(self, target: Target) -> str:
        links = "".join(self._link(link, bool(n)) for n, link in enumerate(target.links))
        names = [self._name(iri, bool(target.links)) for iri in target.path]
        path = ".".join([*names, target.member] if target.member else names)
        trailing = f"[{'.'.join(target.trailing)}]" if target.trailing else ""
        return links + path + trailing + "}" * len(target.links)

    def _link(self, link: Link, is_in_braces: bool) -> str:
        path = ".".join(self._name(iri, is_in_braces) for iri in link.path)
        return path + "{" + (",".join(map(self._type, link.types)) + ":" if link.types else "")

    def _name(self, iri: str, is_in_braces: bool) -> str:
        name = self._compact(iri)
        form = _TERM if is_in_braces else _NAME
        is_plain = name != iri and form.fullmatch(name) and name not in MEMBERS and name not in NO_ATTRIBUTES
        return name if is_plain else f"<{iri}>"

    def _type(self, iri: str) -> str:
        name = self._compact(iri)
        return name if _TERM.fullmatch(name) else f"<{iri}>"

    def _value(self, target: Target, value: Value) -> str:
        if isinstance(value, RegExp):
            return f'"{value.text}"'
        if isinstance(value, Range):
            return f"{self._literal(target, value.low)}..{self._literal(target, value.high)}"
        return ",".join(self._literal(target, one) for one in literals(value))

    def _literal(self, target: Target, one: Literal) -> str:
        if one.kind in TEMPORAL:
            return str(one.value) if one.kind == "date" else f"{one.value}Z"
        is_term = one.kind == "text" and bool(target.path) and target.path[-1] in self._expand_values
        if is_term and target.member not in TEMPORAL_MEMBERS:
            return json.dumps(self._compact(str(one.value)), ensure_ascii=False)
        return json.dumps(one.value, ensure_ascii=False)
