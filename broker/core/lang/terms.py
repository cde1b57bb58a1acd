"""The syntax tree of an NGSI-LD query (clause 4.9), which `q.parse` makes. `show` gives the text back.

Q        And(parts) | Or(parts) | Term(target, operator, value) | Exists(target, absent)
Target   the attribute path (IRIs), the trailing path in brackets, and the member when the last name
         is one of MEMBERS rather than an attribute; an empty path is the entity itself; and, before all
         that, the links to follow to the entity that is looked at
value    Literal | Range | ValueList with == and !=, Literal with < <= > >=, RegExp with ~= and !~=
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

# Names that are not attributes but members of what the path before them leads to.
TEMPORAL_MEMBERS = frozenset({"createdAt", "modifiedAt", "observedAt"})
MEMBERS = TEMPORAL_MEMBERS | {"unitCode", "datasetId", "objectType", "valueType"}
ENTITY_MEMBERS = frozenset({"createdAt", "modifiedAt"})
ANY_LANGUAGE = ("*",)

ORDERING = frozenset({">", ">=", "<", "<="})
TEMPORAL = frozenset({"dateTime", "date", "time"})


@dataclass(frozen=True, slots=True)
class Link:
    """A step to linked entities: by the Relationship at the path; to those of any of the types, if any."""

    path: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What a term looks at: `path[trailing]`, or a member of the instances at the path."""

    path: tuple[str, ...]
    trailing: tuple[str, ...] = ()
    member: str | None = None
    links: tuple[Link, ...] = ()

    @property
    def attribute(self) -> str | None:
        """The IRI of the entity's own attribute that the target begins with, if it does with one."""
        path = self.links[0].path if self.links else self.path
        return path[0] if path else None

    @property
    def linked(self) -> "Target":
        """The target as seen from the entities that the first link leads to."""
        return replace(self, links=self.links[1:])


@dataclass(frozen=True, slots=True)
class Literal:
    """A value. `kind` is number, boolean, text, or one of TEMPORAL, whose value is `moments.plain` text."""

    kind: str
    value: bool | float | str


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; two literals of one kind."""

    low: Literal
    high: Literal


@dataclass(frozen=True, slots=True)
class ValueList:
    """Any of these."""

    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class RegExp:
    """A regular expression, as it was written (`pattern.compile`)."""

    text: str


Value = Literal | Range | ValueList | RegExp


@dataclass(frozen=True, slots=True)
class Exists:
    """The target is there; or, with `absent`, it is not."""

    target: Target
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """The target is there and compares with the value."""

    target: Target
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class And:
    """All parts, at least two, none of them an And."""

    parts: tuple["Q", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the parts, at least two, none of them an Or."""

    parts: tuple["Q", ...]


Q = And | Or | Term | Exists


def literals(value: Value) -> tuple[Literal, ...]:
    """The single values that == compares with: of a literal or a list; none of a range or a pattern."""
    if isinstance(value, ValueList):
        return value.items
    return (value,) if isinstance(value, Literal) else ()


def targets(q: Q) -> Iterator[Target]:
    """Every target that the query looks at."""
    if isinstance(q, And | Or):
        for part in q.parts:
            yield from targets(part)
    else:
        yield q.target


def has_absence(q: Q) -> bool:
    """Whether the condition asks somewhere that something is not there."""
    if isinstance(q, And | Or):
        return any(map(has_absence, q.parts))
    return isinstance(q, Exists) and q.absent


def attributes(q: Q) -> frozenset[str]:
    """The IRIs of the attributes that the query looks at; none when it asks for system members alone."""
    return frozenset(target.attribute for target in targets(q) if target.attribute)


def linked_terms(q: Q | None) -> Iterator["Term | Exists"]:
    """Every term that looks at linked entities; one that asks for absence as the one that it denies."""
    if isinstance(q, And | Or):
        for part in q.parts:
            yield from linked_terms(part)
    elif q is not None and q.target.links:
        yield replace(q, absent=False) if isinstance(q, Exists) else q


def depth(q: Q) -> int:
    """How many links from an entity the farthest one is that the query looks at; 0: at none but itself."""
    return max(len(target.links) for target in targets(q))
