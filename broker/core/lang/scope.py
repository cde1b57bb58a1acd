"""4.19 The NGSI-LD Scope Query Language.

ScopesQ  = and *(("|" / ",") and)                  ; any of these
and      = "(" and ")" / ScopeQ *(";" ScopeQ)      ; all of these
ScopeQ   = ["/"] level *("/" level) ["/#"] / "/#"  ; "/#": the scope itself and all below it
level    = letter *(letter / number / "_") / "+"   ; "+": any one level

The clause demands parentheses around terms joined by ";", but the ETSI suite leaves them out, and the meaning
is clear without. The first "/" of a scope is optional (4.18) and has no meaning.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from broker.core.errors import TooComplexQuery
from broker.core.lang.scanner import Scanner

ANY = "+"
_LEVEL = r"(?:[^\W\d_]\w*|\+)"
_SCOPE = re.compile(rf"/#|/?{_LEVEL}(?:/{_LEVEL})*(?:/#)?")
_MOST = 500  # scopes
_LONGEST = 100  # levels of one scope


@dataclass(frozen=True, slots=True)
class ScopePattern:
    """A scope whose levels may be `ANY`. `below`: it also matches all scopes that begin with these levels."""

    levels: tuple[str, ...]
    below: bool = False

    def __str__(self) -> str:
        return "".join(f"/{level}" for level in self.levels) + ("/#" if self.below else "")


@dataclass(frozen=True, slots=True)
class ScopeQuery:
    """Alternatives: an entity must match all patterns of one of them."""

    any_of: tuple[tuple[ScopePattern, ...], ...]

    def __str__(self) -> str:
        return "|".join(f"({';'.join(map(str, all_of))})" for all_of in self.any_of)


def matches(query: ScopeQuery, scopes: Iterable[str]) -> bool:
    """Whether the query selects an entity with these scopes."""
    scopes_ = [scope.strip("/").split("/") for scope in scopes]
    return any(
        all(any(_fits(pattern, scope) for scope in scopes_) for pattern in all_of) for all_of in query.any_of
    )


def _fits(pattern: ScopePattern, levels: list[str]) -> bool:
    count = len(pattern.levels)
    if len(levels) < count or (len(levels) > count and not pattern.below):
        return False
    return all(wanted in (ANY, level) for wanted, level in zip(pattern.levels, levels, strict=False))


def parse(text: str) -> ScopeQuery:
    """The query in a text. BadRequestData if it is not in the grammar, TooComplexQuery above 500 scopes."""
    if sum(map(text.count, ",;|")) >= _MOST:
        raise TooComplexQuery(f"scopeQ: expected at most {_MOST} scopes")
    scanner = Scanner("scopeQ", text)
    alternatives = [_all_of(scanner)]
    while scanner.takes("|") or scanner.takes(","):
        alternatives.append(_all_of(scanner))
    if not scanner.is_at_end():
        scanner.fail("|, a comma, ; or the end")
    return ScopeQuery(tuple(dict.fromkeys(alternatives)))


def _all_of(scanner: Scanner) -> tuple[ScopePattern, ...]:
    in_parentheses = scanner.takes("(")
    scopes = [_scope(scanner)]
    while scanner.takes(";"):
        scopes.append(_scope(scanner))
    if in_parentheses:
        scanner.need(")")
    return tuple(dict.fromkeys(scopes))


def _scope(scanner: Scanner) -> ScopePattern:
    match = scanner.take(_SCOPE)
    if match is None:
        scanner.fail("a scope, such as /Madrid/Gardens, /Madrid/+ or /Madrid/#")
    text = match[0]
    below = text.endswith("/#")
    levels = tuple(text.removesuffix("/#").strip("/").split("/")) if text != "/#" else ()
    if len(levels) > _LONGEST:
        raise TooComplexQuery(f"scopeQ: expected at most {_LONGEST} levels")
    return ScopePattern(levels, below)
