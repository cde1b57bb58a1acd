"""Random entities and queries over the same few names and values, so that they often meet.

All come from a `random.Random`: one that Hypothesis holds, where it shall shrink, or a seeded one,
where a test wants thousands.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from broker.core import Attributes, Entity, Instance, Json
from broker.core.jsonld.core_context import DEFAULT_VOCAB, NGSI_LD
from broker.core.lang import geo, scope
from broker.core.lang.geo import GeoQuery
from broker.core.lang.literals import as_instant
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import (
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
from broker.core.lang.types import TypeSelection
from broker.core.query import Query

NAMES = (DEFAULT_VOCAB + "a", NGSI_LD + "location", "https://ex.org/p.q$r%2E")
TYPES = ("urn:t:A", "urn:t:B", "urn:t:C")
MEMBERS = ("m", "en", "0", "$d", "%", "@value")
LANGUAGES = ("en", "fr", "$d")

NUMBERS = (0, 1, -1, 1.5, 1.0, 2**53 + 1, 2.0**53, 2**63 - 1, 2**63, 2.0**63, 2**70, -(2**70), 1e300, 10**33)
FRACTIONS = ("", ".0", ".5", ".50", ".500000", ".49", ".499999", ".51", ".05", ".9", ".999999", ".000001")
URIS = ("urn:x:1", "urn:x:2", NAMES[0])
TEXTS = (
    *URIS,
    "",
    "a",
    "b",
    "ab",
    "a\nb",
    "a\n",
    "é",
    "\uffff",
    "\U0001d4b3",
    "$a",
    "true",
    "1",
    "\x00",
    "\x0b",
)
LOOKALIKES = (
    "2026-07-01T12:00:00",
    "2026-07-01T12:00:00.1234567Z",
    "2026-07-01T24:00:00Z",
    "2026-13-01",
    "12:00Z",
)
PATTERNS = (
    "a",
    "^a",
    "b$",
    "^a.b$",
    "",
    r"\s",
    r"\S",
    "[^a]",
    "(?i)É",
    r"^\pL+$",
    "x:[12]",
    r"\v",
    r"^[\s]*$",
    "^2",
)


def date(r: Random) -> str:
    return r.choice(("2026-06-30", "2026-07-01", "2026-07-02"))


def clock(r: Random) -> str:
    return f"12:00:{r.choice(('00', '01'))}{r.choice(FRACTIONS)}"


def instant(r: Random) -> str:
    return f"2026-07-0{r.choice('12')}T{clock(r)}"


def moment(r: Random) -> str:
    """A date, time or date-time, as clients write it."""
    text = r.choice((date, clock, instant, instant))(r)
    if ":" in text:
        text += "Z"
    return text.replace(".", ",") if r.random() < 0.2 else text


def text(r: Random) -> str:
    return moment(r) if r.random() < 0.4 else r.choice(r.choice((TEXTS, TEXTS, LOOKALIKES)))


def uri(r: Random) -> str:
    return r.choice(URIS)


def scalar(r: Random) -> Json:
    return r.choice((text, text, lambda r: r.choice(NUMBERS), lambda r: r.random() < 0.5))(r)


def _object(r: Random) -> Json:
    return {r.choice(MEMBERS): any_json(r) for _ in range(r.randint(0, 3))}


def _array(r: Random) -> Json:
    return [any_json(r) for _ in range(r.randint(0, 3))]


def _typed(r: Random) -> Json:
    return {"@type": "DateTime", "@value": moment(r)}


def any_json(r: Random) -> Json:
    return r.choice((scalar, scalar, scalar, _typed, _object, _array, lambda _: None))(r)


def _one_or_many(one: Callable[[Random], str], least: int = 0) -> Callable[[Random], Json]:
    return lambda r: [one(r) for _ in range(r.randint(least, 3))] if r.random() < 0.4 else one(r)


def _languages(r: Random) -> Json:
    return {language: _one_or_many(text)(r) for language in LANGUAGES if r.random() < 0.5}


def _position(r: Random) -> Json:
    """Mostly on a small grid, so that lines meet and points lie on them; now and then far off, or high up."""
    if r.random() < 0.1:
        return [r.choice((-180, -179.5, 0, 180)), r.choice((-90, -89.5, 0, 60, 90))]
    return [r.choice((0, 1, 1.5, 2, 3, 4)), r.choice((0, 1, 2, 2.5, 3)), *([7] if r.random() < 0.1 else [])]


def _ring(r: Random) -> Json:
    """A box, a triangle, or something that crosses itself or is nothing but a line."""
    x, y, size = r.choice((0, 1, 2)), r.choice((0, 1)), r.choice((0.5, 1, 2))
    box = [[x, y], [x + size, y], [x + size, y + size], [x, y + size]]
    bowtie, tangle = [box[0], box[2], box[1], box[3]], [_position(r) for _ in "1234"]
    corners = r.choice((box, box, box[:3], bowtie, [box[0], *box], tangle))
    return [*corners, corners[0]]


def _polygon(r: Random) -> Json:
    hole = [[1.2, 1.2], [1.8, 1.2], [1.5, 1.8], [1.2, 1.2]]
    return [[[0, 0], [4, 0], [4, 3], [0, 3], [0, 0]], hole] if r.random() < 0.2 else [_ring(r)]


def _many(one: Callable[[Random], Json], least: int = 1) -> Callable[[Random], Json]:
    return lambda r: [one(r) for _ in range(r.randint(least, 3))]


_GEOMETRIES: dict[str, Callable[[Random], Json]] = {
    "Point": _position,
    "MultiPoint": _many(_position),
    "LineString": _many(_position, 2),
    "MultiLineString": _many(_many(_position, 2)),
    "Polygon": _polygon,
    "MultiPolygon": _many(_polygon),
}


def geometry(r: Random) -> Json:
    """A geometry as clients send it; a few are nowhere on Earth."""
    kind = r.choice(("Point", "Point", *_GEOMETRIES))
    if r.random() < 0.03:
        return {"type": "Point", "coordinates": [r.choice((181, 1e300, 10**30, 0)), -91]}
    return {"type": kind, "coordinates": _GEOMETRIES[kind](r)}


RELATIONS = ("within", "contains", "overlaps", "intersects", "equals", "disjoint")


def geo_query(r: Random) -> GeoQuery:
    """A geoquery, mostly on the attribute that is mostly a GeoProperty."""
    kind = r.choice(("Point", "Polygon", *_GEOMETRIES))
    near = f"near;{r.choice(('max', 'min'))}Distance=={r.choice((1, 50_000, 112_000, 1e6, 2.1e7))}"
    members = {
        "georel": r.choice((near, near, *RELATIONS)),
        "geometry": kind,
        "coordinates": _GEOMETRIES[kind](r),
        "geoproperty": r.choice((NAMES[1], NAMES[1], NAMES[2])),
    }
    return geo.parse(members, str)


SCOPES = ("/A", "A", "/A/B", "A/B/C", "/A/B/D", "/B", "/AB", "/A/É_1")


def scope_query(r: Random) -> ScopeQuery:
    texts = ("/A", "/A/#", "/#", "/+", "/+/B", "/A/+/C", "/A/B/#", "/+/+/#", "/B", "/A/É_1")
    groups = (r.choices(texts, k=r.choice((1, 1, 2))) for _ in range(r.randint(1, 2)))
    return scope.parse("|".join(f"({';'.join(group)})" for group in groups))


_VALUES: tuple[tuple[str, str, Callable[[Random], Json]], ...] = (
    ("Property", "value", scalar),
    ("Property", "value", scalar),
    ("Property", "value", _array),
    ("Property", "value", _object),
    ("Property", "value", _typed),
    ("GeoProperty", "value", lambda r: geometry(r)),
    ("GeoProperty", "value", lambda r: geometry(r)),
    ("Relationship", "object", _one_or_many(uri, 1)),
    ("LanguageProperty", "languageMap", _languages),
    ("LanguageProperty", "languageMap", _languages),
    ("VocabProperty", "vocab", _one_or_many(uri, 1)),
    ("JsonProperty", "json", lambda r: r.choice((_object, _array))(r)),
    ("ListProperty", "valueList", _array),
    ("ListRelationship", "objectList", lambda r: [uri(r) for _ in range(r.randint(0, 3))]),
)
_OPTIONAL: dict[str, Callable[[Random], Json]] = {
    "observedAt": instant,
    "datasetId": uri,
    "unitCode": text,
    "objectType": _one_or_many(uri, 1),
}


def instance(r: Random, depth: int = 1) -> Instance:
    type_, member, value = r.choice(_VALUES)
    found = {"type": type_, member: value(r)}
    found |= {name: instant(r) for name in ("createdAt", "modifiedAt") if r.random() < 0.5}
    found |= {name: make(r) for name, make in _OPTIONAL.items() if r.random() < 0.5}
    if depth and r.random() < 0.4:
        found["attrs"] = attributes(r, depth - 1)
    return found


def attributes(r: Random, depth: int = 1) -> Attributes:
    return {
        name: [instance(r, depth) for _ in range(r.choice((1, 1, 2)))] for name in NAMES if r.random() < 0.7
    }


def entity(r: Random, number: int = 0) -> Entity:
    return {
        "id": f"urn:e:{number}",
        "type": r.sample(TYPES, r.randint(1, 2)),
        "createdAt": instant(r),
        "modifiedAt": instant(r),
        **({"scope": r.sample(SCOPES, r.randint(1, 3))} if r.random() < 0.7 else {}),
        "attrs": attributes(r),
    }


def target(r: Random) -> Target:
    path = tuple(r.choices(NAMES, k=r.choice((1, 1, 1, 2))))
    match r.randint(0, 9):
        case 0 | 1 | 2:
            return Target(path, tuple(r.choices(MEMBERS, k=r.choice((1, 1, 2)))))
        case 3:
            return Target(path, ("*",))
        case 4 | 5:
            return Target(
                path,
                member=r.choice(
                    ("observedAt", "createdAt", "modifiedAt", "unitCode", "datasetId", "objectType")
                ),
            )
        case 6:
            return Target((), member=r.choice(("createdAt", "modifiedAt")))
    return Target(path)


_COMPARABLES: dict[str, Callable[[Random], Any]] = {
    "number": lambda r: r.choice(NUMBERS),
    "text": text,
    "dateTime": instant,
    "date": date,
    "time": clock,
}


def comparable(r: Random, kind: str | None = None) -> Literal:
    kind = kind or r.choice(("number", "text", "dateTime", *_COMPARABLES))
    return Literal(kind, _COMPARABLES[kind](r))


def literal(r: Random) -> Literal:
    return Literal("boolean", r.random() < 0.5) if r.random() < 0.1 else comparable(r)


def _equality(r: Random) -> Value:
    match r.randint(0, 4):
        case 0:
            return ValueList(tuple(literal(r) for _ in range(r.randint(2, 3))))
        case 1:
            low = comparable(r)
            return Range(low, comparable(r, low.kind))
    return literal(r)


def term(r: Random) -> Q:
    looked_at = target(r)
    match r.randint(0, 9):
        case 0 | 1 | 2 | 3:
            return Term(looked_at, r.choice(("==", "!=")), _as_parsed(looked_at, _equality(r)))
        case 4 | 5 | 6:
            return Term(looked_at, r.choice((">", ">=", "<", "<=")), _as_parsed(looked_at, comparable(r)))
        case 7 | 8:
            return Term(looked_at, r.choice(("~=", "!~=")), RegExp(r.choice(PATTERNS)))
    return Exists(looked_at, r.random() < 0.5)


def _as_parsed(looked_at: Target, value: Value) -> Value:
    """The value as the parser makes it: for members that hold instants, no date-time stays text."""
    if looked_at.member not in TEMPORAL_MEMBERS:
        return value
    match value:
        case Literal():
            return as_instant(value)
        case ValueList(items):
            return ValueList(tuple(map(as_instant, items)))
        case Range(low, high) if as_instant(low).kind == as_instant(high).kind:
            return Range(as_instant(low), as_instant(high))
    return Literal("number", 0)


def query(r: Random, depth: int = 2, outer: type[Q] | None = None) -> Q:
    """A tree as the parser makes it: no And in an And, no Or in an Or."""
    kinds: list[type[And] | type[Or]] = [kind for kind in (And, Or) if kind is not outer]
    if not depth or r.random() < 0.5:
        return term(r)
    kind = r.choice(kinds)
    return kind(tuple(query(r, depth - 1, kind) for _ in range(r.randint(2, 3))))


def _selection(r: Random) -> TypeSelection:
    return TypeSelection(
        tuple(tuple(r.sample(TYPES, r.choice((0, 1, 1, 2)))) for _ in range(r.randint(1, 3)))
    )


def full_query(r: Random) -> Query:
    return Query(
        types=_selection(r) if r.random() < 0.7 else None,
        ids=tuple(f"urn:e:{r.randint(0, 9)}" for _ in range(r.choice((0, 0, 3)))),
        id_pattern=r.choice((None, None, "^urn:e", "1$")),
        attrs=tuple(r.sample((*NAMES, NGSI_LD + "createdAt"), r.choice((0, 1, 2)))),
        q=query(r) if r.random() < 0.3 else None,
        scope=scope_query(r) if r.random() < 0.3 else None,
    )


def linked(r: Random, tree: Q) -> Q:
    """A query some of whose terms look at linked entities."""
    if isinstance(tree, And | Or):
        return type(tree)(tuple(linked(r, part) for part in tree.parts))
    links = tuple(
        Link(tuple(r.choices(NAMES, k=r.choice((1, 1, 2)))), tuple(r.sample(TYPES, r.choice((0, 0, 1, 2)))))
        for _ in range(r.choice((0, 1, 1, 2)))
    )
    return replace(tree, target=replace(tree.target, links=links))
