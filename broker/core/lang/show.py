"""Prints queries (4.9), type selections (4.17), scope queries (4.19) and geoqueries (4.10) as text.

The names are those of an @context. Parsing the printed text gives an equal tree, if both use the same
`expand_values` and an @context whose `expand` is the inverse of its `compact`. In q, an IRI is printed in <>
if the @context has no name for it, or if the name would mean something else there: the name of a member or a
parameter, or in braces a prefix:term, whose prefix would be parsed as a type. Two things cannot be printed: a
value of `expand_values` whose IRI begins with a prefix that the @context defines, since it would be expanded
again, and in a type selection, which has no <>, an IRI with a sign of its grammar.
"""

import json
import re
from collections.abc import Callable, Collection

from broker.core import Json
from broker.core.lang.geo import LOCATION, GeoQuery
from broker.core.lang.q import NO_ATTRIBUTES, TERM
from broker.core.lang.scope import ScopeQuery
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
from broker.core.lang.types import TYPE, TypeSelection
from broker.core.uri import is_name

_WHOLE = 2**53  # metres below which a float without a fraction is written as an integer

_TERM = re.compile(TERM)
_NAME = re.compile(f"{TERM}(?::{TERM})?")


def show(q: Q, compact: Callable[[str], str], expand_values: Collection[str] = ()) -> str:
    """The text of a query in the names that `compact` gives.

    `expand_values`: the attributes (IRIs) whose values are names to be expanded, as for `q.parse`.
    """
    return _Printer(compact, frozenset(expand_values)).query(q)


def show_types(selection: TypeSelection, compact: Callable[[str], str]) -> str:
    """The text of a type selection."""
    return "|".join(_all_of([_type_name(iri, compact) for iri in names]) or "*" for names in selection.any_of)


def show_scope(query: ScopeQuery) -> str:
    """The text of a scope query."""
    return "|".join(_all_of([*map(str, patterns)]) for patterns in query.any_of)


def show_geo(query: GeoQuery, compact: Callable[[str], str]) -> dict[str, Json]:
    """The members of a GeoQuery (5.2.13); in a query string, the coordinates are a text of JSON."""
    relation = query.relation
    if query.distance is not None:
        whole = query.distance < _WHOLE and query.distance == int(query.distance)
        relation = f"near;{relation}=={int(query.distance) if whole else query.distance}"
    shape = query.reference
    members = {"georel": relation, "geometry": shape["type"], "coordinates": shape["coordinates"]}
    return members if query.property == LOCATION else {**members, "geoproperty": compact(query.property)}


def _all_of(texts: list[str]) -> str:
    return f"({';'.join(texts)})" if len(texts) > 1 else "".join(texts)


def _type_name(iri: str, compact: Callable[[str], str]) -> str:
    name = compact(iri)
    return name if TYPE.fullmatch(name) and is_name(name) else iri


class _Printer:
    __slots__ = ("_compact", "_expand_values")

    def __init__(self, compact: Callable[[str], str], expand_values: frozenset[str]) -> None:
        self._compact = compact
        self._expand_values = expand_values

    def query(self, q: Q) -> str:
        """The text of a tree or a part of it."""
        if isinstance(q, Or):
            return "|".join(map(self.query, q.parts))
        if isinstance(q, And):
            texts = ((part, self.query(part)) for part in q.parts)
            return ";".join(f"({text})" if isinstance(part, Or) else text for part, text in texts)
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
        return ",".join(self._literal(target, literal) for literal in literals(value))

    def _literal(self, target: Target, literal: Literal) -> str:
        if literal.kind in TEMPORAL:
            return str(literal.value) if literal.kind == "date" else f"{literal.value}Z"
        is_term = literal.kind == "text" and bool(target.path) and target.path[-1] in self._expand_values
        if is_term and target.member not in TEMPORAL_MEMBERS:
            return json.dumps(self._compact(str(literal.value)), ensure_ascii=False)
        return json.dumps(literal.value, ensure_ascii=False)
