"""4.9 The NGSI-LD Query Language: parses the text of `q` into a tree of `terms`.

    query    = and *("|" and)                     ; "and" binds tighter than "or"
    and      = part *(";" part)
    part     = "(" query ")" / ["!"] target / target operator value
    target   = path ["[" member *("." member) "]"] / path "{" [type *("," type) ":"] target "}"
    path     = name *("." name)
    operator = "==" / "!=" / ">" / ">=" / "<" / "<=" / "~=" / "!~="
    value    = literal / literal 1*("," literal) / literal ".." literal / pattern

Lists, ranges, booleans and URIs are allowed with == and != only, patterns with ~= and !~= only. A name is a
term, a prefix:term or an IRI. An IRI may always be in <>; one with "//" also without, and it ends at the next
operator. The clause has neither the `!` for absence nor IRIs as names, but clients use both. `[*]` means any
language. Braces lead to the entities that a Relationship links to. In braces, names before a colon are types
of these entities, so a prefix:term must be written as an IRI there.

A pattern is a regular expression. In quotes it is taken as it is, without JSON's escapes; without quotes it
ends at the next sign of the language.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import replace

from broker.core.errors import TooComplexQuery
from broker.core.jsonld.core_context import NGSI_LD
from broker.core.lang import operators, pattern
from broker.core.lang.literals import as_instant, is_comparable, literal
from broker.core.lang.scanner import Scanner
from broker.core.lang.terms import (
    ENTITY_MEMBERS,
    MEMBERS,
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
    ValueList,
)
from broker.core.uri import is_uri

Expand = Callable[[str], str]

_TERMS, _VALUES = 100, 500
_DEEPEST = 20  # parentheses
_LONGEST = 10  # names in a path, and members in brackets

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
TERM = r"[^\W\d_]\w*"
_NAME = re.compile(
    rf"<(?P<iri>{_SCHEME}[^<>\s]+)>|(?P<url>{_SCHEME}//[^\s=!<>~;|()\[\]{{}},\"]+)|{TERM}(?::{TERM})?"
)
_TYPE = rf"(?:<{_SCHEME}[^<>\s]+>|{TERM})"
_TYPES = re.compile(rf"({_TYPE}(?: *, *{_TYPE})*) *:(?!//)")
_ONE_TYPE = re.compile(_TYPE)
_MEMBER = re.compile(r"[^\s.\[\]]+")
_OPERATOR = re.compile("|".join(sorted(operators.ALL, key=len, reverse=True)))
_QUOTED_PATTERN = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE_PATTERN = re.compile(r'[^\s";|()]+')
NO_ATTRIBUTES = {"id": "the parameter id", "type": "the parameter type", "scope": "the parameter scopeQ"}


def parse(text: str, expand: Expand, expand_values: Collection[str] = (), *, what: str = "q") -> Q:
    """The tree of a query. `expand_values`: the attributes (IRIs) whose values are names to be expanded, too.

    `what`: the name of the parameter, for error messages. BadRequestData if the text is not in the grammar,
    TooComplexQuery if it is too long or too deep.
    """
    parser = _Parser(Scanner(what, text), expand, frozenset(expand_values))
    tree = parser.query(0)
    if not parser.scanner.is_at_end():
        parser.scanner.fail("an operator, ; or | or the end")
    return tree


class _Parser:
    __slots__ = ("_expand", "_expand_values", "_terms", "_values", "scanner")

    def __init__(self, scanner: Scanner, expand: Expand, expand_values: frozenset[str]) -> None:
        self.scanner = scanner
        self._expand = expand
        self._expand_values = expand_values
        self._terms = self._values = 0

    def query(self, depth: int) -> Q:
        """query = and *("|" and)"""
        parts = [self._and(depth)]
        while self.scanner.takes("|"):
            parts.append(self._and(depth))
        return _joined(Or, parts)

    def _and(self, depth: int) -> Q:
        parts = [self._part(depth)]
        while self.scanner.takes(";"):
            parts.append(self._part(depth))
        return _joined(And, parts)

    def _part(self, depth: int) -> Q:
        if not self.scanner.takes("("):
            return self._term()
        if depth == _DEEPEST:
            raise TooComplexQuery(f"q: expected at most {_DEEPEST} parentheses inside each other")
        tree = self.query(depth + 1)
        self.scanner.need(")")
        return tree

    def _term(self) -> Q:
        self._terms += 1
        if self._terms > _TERMS:
            raise TooComplexQuery(f"q: expected at most {_TERMS} terms")
        if self.scanner.takes("!"):
            return Exists(self._target(), absent=True)
        target = self._target()
        operator = self.scanner.take(_OPERATOR)
        if operator is None:
            return Exists(target)
        return Term(target, operator[0], self._value(target, operator[0]))

    def _target(self, links: tuple[Link, ...] = ()) -> Target:
        at = self.scanner.at
        target = replace(self._resolved(self._names(), at), links=links)
        if self.scanner.takes("{"):
            return self._linked(target, at)
        return replace(target, trailing=self._trailing()) if self.scanner.takes("[") else target

    def _linked(self, relationship: Target, at: int) -> Target:
        """The target in braces, in the entities to which a relationship links."""
        if relationship.member:
            self.scanner.fail("a Relationship before the brace", at)
        if len(relationship.links) == _LONGEST:
            raise TooComplexQuery(f"q: expected at most {_LONGEST} linked entities on a path")
        link = Link(relationship.path, self._types())
        target = self._target((*relationship.links, link))
        self.scanner.need("}")
        return target

    def _types(self) -> tuple[str, ...]:
        """The types (IRIs) before a colon; empty without a colon."""
        if (match := self.scanner.take(_TYPES)) is None:
            return ()
        names = _ONE_TYPE.findall(match[1])
        return tuple(self._iri(name[1:-1]) if name.startswith("<") else self._expand(name) for name in names)

    def _names(self) -> list[tuple[str, str]]:
        """The names of a path, as `_name` returns them. The limit stops a text of a million names early."""
        names = [self._name()]
        while self.scanner.takes("."):
            if len(names) == _LONGEST:
                raise TooComplexQuery(f"q: expected at most {_LONGEST} names in a path")
            names.append(self._name())
        return names

    def _name(self) -> tuple[str, str]:
        """(name as written, IRI)."""
        at = self.scanner.at
        if (match := self.scanner.take(_NAME)) is None:
            self.scanner.fail("the name of an attribute")
        if match["iri"]:
            return (iri := self._iri(match["iri"], at)), iri
        return match[0], self._expand(self._iri(match[0], at) if match["url"] else match[0])

    def _iri(self, text: str, at: int | None = None) -> str:
        if not is_uri(text):
            self.scanner.fail("an IRI without signs that no IRI has", at)
        return text

    def _resolved(self, names: list[tuple[str, str]], at: int) -> Target:
        *path, (written, iri) = names
        for name, _ in names:
            if name in NO_ATTRIBUTES:
                self.scanner.fail(f"an attribute ({NO_ATTRIBUTES[name]} selects by {name})", at)
        if any(_is_member(*name) for name in path):
            self.scanner.fail("an attribute before the dot", at)
        above = tuple(iri for _, iri in path)
        if not _is_member(written, iri):
            return Target((*above, iri))
        member = written if written in MEMBERS else iri.removeprefix(NGSI_LD)
        if not above and member not in ENTITY_MEMBERS:
            self.scanner.fail(f"an attribute ({member} is a member of attributes)", at)
        return Target(above, member=member)

    def _trailing(self) -> tuple[str, ...]:
        """The members in brackets; `[` has been read."""
        members = [self._member()]
        while self.scanner.takes("."):
            if len(members) == _LONGEST:
                raise TooComplexQuery(f"q: expected at most {_LONGEST} members in brackets")
            members.append(self._member())
        self.scanner.need("]")
        return tuple(members)

    def _member(self) -> str:
        if (match := self.scanner.take(_MEMBER)) is None:
            self.scanner.fail("the name of a member, a language or *")
        return match[0]

    def _value(self, target: Target, operator: str) -> Value:
        if operator in (operators.PATTERN, operators.NO_PATTERN):
            return self._pattern()
        if operator in operators.ORDERING:
            return self._coerced(target, literal(self.scanner, comparable=True))
        return self._equality(target)

    def _equality(self, target: Target) -> Value:
        at = self.scanner.at
        first = literal(self.scanner, comparable=False)
        if self.scanner.takes(".."):
            return self._range(target, first, at)
        items = [self._coerced(target, first)]
        while self.scanner.takes(","):
            self._values += 1
            if self._values > _VALUES:
                raise TooComplexQuery(f"q: expected at most {_VALUES} values in lists")
            items.append(self._coerced(target, literal(self.scanner, comparable=False)))
        return ValueList(tuple(items)) if len(items) > 1 else items[0]

    def _range(self, target: Target, low: Literal, at: int) -> Range:
        if not is_comparable(low, self.scanner.between(at)):
            self.scanner.fail("a range of numbers, quoted strings or dates", at)
        high_at = self.scanner.at
        high = literal(self.scanner, comparable=True)
        range_ = Range(self._coerced(target, low), self._coerced(target, high))
        if range_.low.kind != range_.high.kind:
            self.scanner.fail(f"a {range_.low.kind}, as before the dots", high_at)
        return range_

    def _coerced(self, target: Target, value: Literal) -> Literal:
        """The literal adapted to the target: expanded (expandValues), or a quoted instant as an instant."""
        if target.member in TEMPORAL_MEMBERS:
            return as_instant(value)
        if value.kind == "text" and target.path and target.path[-1] in self._expand_values:
            return Literal("text", self._expand(str(value.value)))
        return value

    def _pattern(self) -> RegExp:
        match = self.scanner.take(_QUOTED_PATTERN) or self.scanner.take(_BARE_PATTERN)
        if match is None:
            self.scanner.fail("a regular expression")
        text = match[1] if match.re is _QUOTED_PATTERN else match[0]
        pattern.compile(text)
        return RegExp(text)


def _joined(kind: type[And] | type[Or], parts: list[Q]) -> Q:
    """One node of the parts; nested nodes of the same kind are merged into it."""
    flat = [node for part in parts for node in (part.parts if isinstance(part, kind) else (part,))]
    return kind(tuple(flat)) if len(flat) > 1 else flat[0]


def _is_member(written: str, iri: str) -> bool:
    return written in MEMBERS or iri.removeprefix(NGSI_LD) in MEMBERS
