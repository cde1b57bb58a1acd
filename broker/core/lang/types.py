"""4.17 The NGSI-LD Entity Type Selection Language.

EntityTypes  = element *(("|" / ",") element)      ; any of these
element      = "(" EntityType *(";" EntityType) ")" / "(" EntityTypes ")" / EntityType
EntityType   = a term, prefix:term, or URI without the signs above; or "*", any type

Alternatives in parentheses are not in the clause, but the ETSI suite uses them.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from broker.core.errors import TooComplexQuery
from broker.core.lang.scanner import Scanner
from broker.core.uri import is_name

TYPE = re.compile(r"[^\s,;|()]+")
_MOST = 500

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TypeSelection:
    """Alternatives: an entity must have all types (IRIs) of one of them.

    An alternative without types is `*`: it selects every entity.
    """

    any_of: tuple[tuple[str, ...], ...]

    @property
    def is_anything(self) -> bool:
        """Whether it selects entities of every type."""
        return () in self.any_of

    @property
    def names(self) -> frozenset[str]:
        """The named types (IRIs)."""
        return frozenset(name for names in self.any_of for name in names)

    def __str__(self) -> str:
        return "|".join(map(_text, self.any_of))


def any_of(types: Iterable[str]) -> TypeSelection:
    """The selection of entities that have any of these types (IRIs)."""
    return TypeSelection(tuple((name,) for name in types))


def matches(selection: TypeSelection, types: Iterable[str]) -> bool:
    """Whether the selection selects an entity with these types."""
    type_set = frozenset(types)
    return any(type_set.issuperset(names) for names in selection.any_of)


def parse(text: str, expand: Callable[[str], str]) -> TypeSelection:
    """The selection in a text. BadRequestData outside the grammar, TooComplexQuery above 500 types."""
    if sum(map(text.count, ",;|")) >= _MOST:
        raise TooComplexQuery(f"type: expected at most {_MOST} types")
    scanner = Scanner("type", text)
    elements = _alternatives(scanner, expand)
    if not scanner.is_at_end():
        scanner.fail("|, a comma or the end (types joined by ; stand in parentheses)")
    return TypeSelection(tuple(dict.fromkeys(elements)))


def _alternatives(scanner: Scanner, expand: Callable[[str], str], *, inner: bool = False) -> list[Names]:
    elements = _element(scanner, expand, inner=inner)
    while scanner.takes("|") or scanner.takes(","):
        elements += _element(scanner, expand, inner=inner)
    return elements


def _element(scanner: Scanner, expand: Callable[[str], str], *, inner: bool) -> list[Names]:
    if inner or not scanner.takes("("):
        return [() if scanner.takes("*") else (_type(scanner, expand),)]
    elements = _alternatives(scanner, expand, inner=True)
    while len(elements) == 1 and elements[0] and scanner.takes(";"):
        elements = [(*elements[0], _type(scanner, expand))]
    scanner.need(")")
    return [tuple(dict.fromkeys(names)) for names in elements]


def _type(scanner: Scanner, expand: Callable[[str], str]) -> str:
    at = scanner.at
    match = scanner.take(TYPE)
    if match is None or not is_name(match[0]):
        scanner.fail("the name of an entity type", at)
    return expand(match[0])


def _text(names: Names) -> str:
    return f"({';'.join(names)})" if len(names) > 1 else "".join(names) or "*"
