"""The syntax tree of an NGSI-LD query (clause 4.9). `q.parse` makes it; `show` makes it a text again.

Q        And(parts) | Or(parts) | Term(target, operator, value) | Exists(target, absent)
Target   the links to the entity that holds the target; in it the attribute path (IRIs), where an empty path
         means the entity itself; the trailing path in brackets; and the member, if the last name is one of
         MEMBERS instead of an attribute
value    Literal | Range | ValueList with == and !=, Literal with < <= > >=, RegExp with ~= and !~=
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

# Names that are not attributes but members of the attribute or entity before them.
TEMPORAL_MEMBERS = frozenset({"createdAt", "modifiedAt", "observedAt"})
MEMBERS = TEMPORAL_MEMBERS | {"unitCode", "datasetId", "objectType", "valueType"}
ENTITY_MEMBERS = frozenset({"createdAt", "modifiedAt"})
ANY_LANGUAGE = ("*",)

TEMPORAL = frozenset({"dateTime", "date", "time"})


@dataclass(frozen=True, slots=True)
class Link:
    """A step by the Relationship at `path` to linked entities of one of the `types` (empty: of any)."""

    path: tuple[str, ...]
    types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The target of a term: `path[trailing]`, or a member of the instances at the path."""

    path: tuple[str, ...]
    trailing: tuple[str, ...] = ()
    member: str | None = None
    links: tuple[Link, ...] = ()

    @property
    def attribute(self) -> str | None:
        """The IRI of the attribute with which the target begins; None for a member of the entity."""
        path = self.links[0].path if self.links else self.path
        return path[0] if path else None

    @property
    def linked(self) -> "Target":
        """The rest of the target, relative to the entities to which the first link leads."""
        return replace(self, links=self.links[1:])


@dataclass(frozen=True, slots=True)
class Literal:
    """A value. `kind`: number, boolean, text, or one of TEMPORAL, whose values are texts of `dates.plain`."""

    kind: str
    value: bool | float | str


@dataclass(frozen=True, slots=True)
class Range:
    """The values from `low` to `high`, both included; two literals of the same kind."""

    low: Literal
    high: Literal


@dataclass(frozen=True, slots=True)
class ValueList:
    """A list of values, any of which may match."""

    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class RegExp:
    """A regular expression as the client wrote it (`pattern.compile`)."""

    text: str


Value = Literal | Range | ValueList | RegExp


@dataclass(frozen=True, slots=True)
class Exists:
    """Holds if the target exists; with `absent`, if it does not."""

    target: Target
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Term:
    """Holds if the target exists and the comparison with the value is true."""

    target: Target
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class And:
    """Holds if all parts do: two or more, none of them an And."""

    parts: tuple["Q", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Holds if any part does: two or more, none of them an Or."""

    parts: tuple["Q", ...]


Q = And | Or | Term | Exists


def literals(value: Value) -> tuple[Literal, ...]:
    """The values of a literal or a list; empty for a range or a regular expression."""
    if isinstance(value, ValueList):
        return value.items
    return (value,) if isinstance(value, Literal) else ()


def targets(q: Q) -> Iterator[Target]:
    """Yields the target of each term of the query."""
    if isinstance(q, And | Or):
        for part in q.parts:
            yield from targets(part)
    else:
        yield q.target


def has_absence(q: Q) -> bool:
    """Whether any term of the query asks for the absence of its target."""
    if isinstance(q, And | Or):
        return any(map(has_absence, q.parts))
    return isinstance(q, Exists) and q.absent


def attributes(q: Q) -> frozenset[str]:
    """The IRIs of the attributes in the query; empty if it has only members of the entity."""
    return frozenset(target.attribute for target in targets(q) if target.attribute)


def linked_terms(q: Q | None) -> Iterator["Term | Exists"]:
    """Yields each term that follows links; `!p` is yielded as `p`, and the caller negates the result."""
    if isinstance(q, And | Or):
        for part in q.parts:
            yield from linked_terms(part)
    elif q is not None and q.target.links:
        yield replace(q, absent=False) if isinstance(q, Exists) else q


def depth(q: Q) -> int:
    """The greatest number of links that a term follows; 0: the query needs no linked entities."""
    return max(len(target.links) for target in targets(q))
