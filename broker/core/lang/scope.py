"""4.19 The NGSI-LD Scope Query Language.

ScopesQ  = and *(("|" / ",") and)                  ; any of these
and      = "(" and ")" / ScopeQ *(";" ScopeQ)      ; all of these
ScopeQ   = ["/"] level *("/" level) ["/#"] / "/#"  ; "/#": the scope itself and all below it
level    = letter *(letter / number / "_") / "+"   ; "+": any one level

The clause wants parentheses around what ";" joins; the ETSI suite leaves them out, and nothing else could
be meant. A Scope may lack its first "/" (4.18), and then is the same as with it.
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
_LONGEST = 100  # levels of one


@dataclass(frozen=True, slots=True)
class ScopePattern:
    """A scope, whose levels may be `ANY`; with `below`, any scope that begins with these levels."""

    levels: tuple[str, ...]
    below: bool = False

    def __str__(self) -> str:
        return "".join(f"/{level}" for level in self.levels) + ("/#" if self.below else "")


@dataclass(frozen=True, slots=True)
class ScopeQuery:
    """Any of some alternatives, of each of which an entity must match all patterns."""

    any_of: tuple[tuple[ScopePattern, ...], ...]

    def __str__(self) -> str:
        return "|".join(f"({';'.join(map(str, all_of))})" for all_of in self.any_of)


def matches(query: ScopeQuery, scopes: Iterable[str]) -> bool:
    """Whether an entity of these scopes is selected."""
    had = [scope.strip("/").split("/") for scope in scopes]
    return any(all(any(_fits(one, scope) for scope in had) for one in all_of) for all_of in query.any_of)


def _fits(wanted: ScopePattern, levels: list[str]) -> bool:
    count = len(wanted.levels)
    if len(levels) < count or (len(levels) > count and not wanted.below):
        return False
    return all(one in (ANY, level) for one, level in zip(wanted.levels, levels, strict=False))


def parse(text: str) -> ScopeQuery:
    """The query in a text. Raises BadRequestData outside the grammar, TooComplexQuery over 500 scopes."""
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
    found = scanner.take(_SCOPE)
    if found is None:
        scanner.fail("a scope, such as /Madrid/Gardens, /Madrid/+ or /Madrid/#")
    text = found[0]
    below = text.endswith("/#")
    levels = tuple(text.removesuffix("/#").strip("/").split("/")) if text != "/#" else ()
    if len(levels) > _LONGEST:
        raise TooComplexQuery(f"scopeQ: expected at most {_LONGEST} levels")
    return ScopePattern(levels, below)
