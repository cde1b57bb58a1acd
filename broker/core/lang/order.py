"""4.23 The NGSI-LD Entity Ordering Language.

OrderingTerm = target [";" direction] *("," OrderingTerm)
direction    = "asc" / "desc" / "dist-asc" / "dist-desc"       ; asc unless it is named
target       = name *("." name) ["[" member *("." member) "]"]

The names are those of an attribute and its sub-attributes; the last name may be a member of these, and a
single name may be a member of the entity. Of several instances the default one counts, else the first. Values
compare by type first, in the order of TYPES. With dist-asc and dist-desc, values without a distance come
last, in that order.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from broker.core import Json
from broker.core.entity import geometry
from broker.core.entity.kinds import GEOMETRIES
from broker.core.errors import BadRequestData, TooComplexQuery
from broker.core.lang.collation import Collation
from broker.core.lang.scanner import Scanner
from broker.core.lang.terms import MEMBERS, Target
from broker.core.uri import is_uri

TYPES = ("number", "string", "object", "array", "boolean", "time", "date", "dateTime", "null", "absent")
ENTITY_MEMBERS = frozenset({"id", "type", "scope", "createdAt", "modifiedAt", "expiresAt"})
INSTANCE_MEMBERS = MEMBERS | {"expiresAt"}

_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*:"
_TERM = r"[^\W\d_]\w*"
_NAME = re.compile(
    rf"<(?P<iri>{_SCHEME}[^<>\s]+)>|(?P<url>{_SCHEME}//[^\s=!<>~;|()\[\]{{}},\"]+)|{_TERM}(?::{_TERM})?"
)
_MEMBER = re.compile(r"[^\s.\[\]]+")
_DIRECTION = re.compile(r"(dist-)?(asc|desc)(?![\w-])")
_MOST, _LONGEST = 10, 10
_POSITIONS = 1000


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One term of an order. `distance`: it compares distances, not values."""

    target: Target
    descending: bool = False
    distance: bool = False


@dataclass(frozen=True, slots=True)
class Ordering:
    """An order of entities: by each term in turn, then by their ids.

    `reference`: the GeoJSON geometry from which distances are measured. Without a `collation`, texts compare
    by code point.
    """

    terms: tuple[OrderTerm, ...]
    reference: Json = None
    collation: Collation | None = None


def parse(text: str, expand: Callable[[str], str]) -> tuple[OrderTerm, ...]:
    """The terms in a text. BadRequestData outside the grammar, TooComplexQuery above ten terms."""
    scanner = Scanner("orderBy", text)
    terms = [_term(scanner, expand)]
    while scanner.takes(","):
        if len(terms) == _MOST:
            raise TooComplexQuery(f"orderBy: expected at most {_MOST} terms")
        terms.append(_term(scanner, expand))
    if not scanner.is_at_end():
        scanner.fail("a comma, ; or the end")
    return tuple(terms)


def reference(kind: str, coordinates: str) -> Json:
    """The geometry of this type, with coordinates as JSON, from which distances are measured.

    BadRequestData if it is not valid, TooComplexQuery above 1000 positions.
    """
    if kind not in GEOMETRIES:
        raise BadRequestData(f"orderGeometry: expected one of {', '.join(sorted(GEOMETRIES))}")
    try:
        value = {"type": kind, "coordinates": orjson.loads(coordinates)}
    except orjson.JSONDecodeError as error:
        raise BadRequestData("orderFrom: expected coordinates as a JSON array") from error
    geometry.check(value, "orderFrom")
    if geometry.bounds(value) is None:
        raise BadRequestData("orderFrom: expected longitudes from -180 to 180 and latitudes from -90 to 90")
    if sum(1 for _ in geometry.positions(value)) > _POSITIONS:
        raise TooComplexQuery(f"orderFrom: expected at most {_POSITIONS} positions")
    return value


def _term(scanner: Scanner, expand: Callable[[str], str]) -> OrderTerm:
    target = _target(scanner, expand)
    if not scanner.takes(";"):
        return OrderTerm(target)
    if (match := scanner.take(_DIRECTION)) is None:
        scanner.fail("asc, desc, dist-asc or dist-desc")
    if match[1] and (not target.path or target.member or target.trailing):
        scanner.fail("an attribute before dist-asc and dist-desc")
    return OrderTerm(target, match[2] == "desc", bool(match[1]))


def _target(scanner: Scanner, expand: Callable[[str], str]) -> Target:
    *above, last = _path(scanner, _name, "names in a path")
    iris = tuple(name[1:-1] if name.startswith("<") else expand(name) for name in above)
    if last in (INSTANCE_MEMBERS if above else ENTITY_MEMBERS):
        return Target(iris, member=last)
    if last in ENTITY_MEMBERS | INSTANCE_MEMBERS:
        scanner.fail(f"an attribute ({last} is no member there)")
    path = (*iris, last[1:-1] if last.startswith("<") else expand(last))
    return Target(path, _trailing(scanner) if scanner.takes("[") else ())


def _path(scanner: Scanner, step: Callable[[Scanner], str], what: str) -> list[str]:
    """Steps with dots between. The limit stops a text of a million steps early."""
    steps = [step(scanner)]
    while scanner.takes("."):
        if len(steps) == _LONGEST:
            raise TooComplexQuery(f"orderBy: expected at most {_LONGEST} {what}")
        steps.append(step(scanner))
    return steps


def _name(scanner: Scanner) -> str:
    at = scanner.at
    if (match := scanner.take(_NAME)) is None:
        scanner.fail("the name of an attribute, or of a member of entities")
    if (iri := match["iri"] or match["url"]) and not is_uri(iri):
        scanner.fail("an IRI without signs that no IRI has", at)
    return match[0]


def _member(scanner: Scanner) -> str:
    if (match := scanner.take(_MEMBER)) is None:
        scanner.fail("the name of a member")
    return match[0]


def _trailing(scanner: Scanner) -> tuple[str, ...]:
    members = _path(scanner, _member, "members in brackets")
    scanner.need("]")
    return tuple(members)
