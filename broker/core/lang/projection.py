"""4.21 The NGSI-LD Attribute Projection Language: which members of entities `pick` keeps and `omit` removes.

ProjectionTerm   = name [LinkedEntityTerm] *(("|" / ",") ProjectionTerm)
LinkedEntityTerm = "{" ProjectionTerm "}"
name             = a term, prefix:term or IRI of an attribute; or a member of every entity (MEMBERS)

Names in braces are members of the entities that the relationship links to. If a name occurs twice, both terms
are united; a name without braces means the whole member.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from broker.core.errors import TooComplexQuery
from broker.core.lang.scanner import Scanner

MEMBERS = frozenset({"id", "type", "scope", "createdAt", "modifiedAt", "expiresAt", "deletedAt"})

_NAME = re.compile(r"[^\s,|;{}()\[\]\"]+")
_MOST = 500
_DEEPEST = 10  # nested braces: no join goes deeper


@dataclass(frozen=True, slots=True)
class Projection:
    """Members of an entity: some of MEMBERS, and attributes by IRI.

    Beside the IRI is the projection of the linked entities; None means the whole attribute.
    """

    members: frozenset[str] = frozenset()
    attrs: tuple[tuple[str, "Projection | None"], ...] = ()
    _inside: dict[str, "Projection | None"] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inside", dict(self.attrs))

    def __contains__(self, name: str) -> bool:
        return name in self._inside or name in self.members

    def of(self, iri: str) -> "Projection | None":
        """The projection of the entities that a relationship links to; None without one."""
        return self._inside.get(iri)

    def is_whole(self, name: str) -> bool:
        """Whether the member is named as a whole."""
        return name in self.members or (name in self._inside and self._inside[name] is None)

    @property
    def names(self) -> frozenset[str]:
        """The IRIs of the named attributes."""
        return frozenset(self._inside)

    @property
    def depth(self) -> int:
        """The number of links to the farthest member that is named."""
        return max((1 + inner.depth for inner in self._inside.values() if inner is not None), default=0)

    def overlaps(self, other: "Projection") -> bool:
        """Whether both name a member as a whole."""
        return any(self.is_whole(name) and other.is_whole(name) for name in self.members | self.names)


def of_attrs(iris: tuple[str, ...]) -> Projection | None:
    """The projection that the deprecated parameter `attrs` means; None without attributes."""
    return Projection(MEMBERS, tuple((iri, None) for iri in iris)) if iris else None


def parse(what: str, text: str, name: Callable[[str], str]) -> Projection:
    """The projection in the text of the parameter `what`. `name` gives the IRI of an attribute's name.

    BadRequestData if the text is not in the grammar, TooComplexQuery above 500 names.
    """
    if sum(map(text.count, ",|{")) >= _MOST:
        raise TooComplexQuery(f"{what}: expected at most {_MOST} names")
    scanner = Scanner(what, text)
    projection = _term(scanner, name, 0)
    if not scanner.is_at_end():
        scanner.fail("a comma, |, { or the end")
    return projection


def _term(scanner: Scanner, name: Callable[[str], str], depth: int) -> Projection:
    if depth > _DEEPEST:
        scanner.fail(f"at most {_DEEPEST} braces inside each other")
    members: set[str] = set()
    attrs: dict[str, Projection | None] = {}
    while True:
        match = scanner.take(_NAME)
        if match is None:
            scanner.fail("the name of a member")
        if match[0] in MEMBERS:
            members.add(match[0])
        else:
            iri = name(match[0])
            inside = _inside(scanner, name, depth)
            attrs[iri] = _union(attrs[iri], inside) if iri in attrs else inside
        if not (scanner.takes(",") or scanner.takes("|")):
            return Projection(frozenset(members), tuple(attrs.items()))


def _inside(scanner: Scanner, name: Callable[[str], str], depth: int) -> Projection | None:
    if not scanner.takes("{"):
        return None
    projection = _term(scanner, name, depth + 1)
    scanner.need("}")
    return projection


def _union(first: Projection | None, second: Projection | None) -> Projection | None:
    if first is None or second is None:
        return None
    attrs = dict(first.attrs)
    for iri, inside in second.attrs:
        attrs[iri] = _union(attrs[iri], inside) if iri in attrs else inside
    return Projection(first.members | second.members, tuple(attrs.items()))
