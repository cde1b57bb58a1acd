"""Sort keys of entities as aggregation expressions: {r: rank of the value's type, v: value} (4.23.2)."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from broker.core import Json
from broker.core.entity.geometry import EARTH_RADIUS
from broker.core.lang.dates import FORMS
from broker.core.lang.order import TYPES, OrderTerm
from broker.core.lang.terms import Target
from broker.store.wire.codec import key, value_key

Expression = Any

_REMOVED = "$$REMOVE"
_RANK = {name: rank for rank, name in enumerate(TYPES)}
_INSTANTS = frozenset({"createdAt", "modifiedAt", "observedAt", "expiresAt"})
_MOMENTS = ("time", "date", "dateTime")
_VALUES = ("value", "object", "languageMap", "vocab", "json", "valueList", "objectList")


def sort_key(term: OrderTerm, reference: Json, distances: Mapping[str, float]) -> Expression:
    """The expression for the sort key of an order term. A distance has rank 0, other values rank above it.

    `distances`: by entity id, the distances (m) that MongoDB cannot compute: those not between two points.
    """
    target = term.target
    if not target.path:
        return _entity_key(target.member or "")
    if term.distance:
        return _of_instance(
            target.path, "$", 0, lambda instance: _distance_key(instance, target, reference, distances)
        )
    return _of_instance(target.path, "$", 0, lambda instance: _value_key(instance, target, 0))


def _entity_key(member: str) -> Expression:
    if member in _INSTANTS:
        return _instant_key(f"${member}")
    return _typed("$_id" if member == "id" else _one_or_all(f"${member}"), 0)


def _one_or_all(items: str) -> Expression:
    """The item of an array with one item, else the array; missing if the array is."""
    several = {"$gt": [{"$size": {"$ifNull": [items, []]}}, 1]}
    return _if(several, items, {"$arrayElemAt": [items, 0]})


def _of_instance(
    path: tuple[str, ...], above: str, depth: int, inner: Callable[[str], Expression]
) -> Expression:
    """`inner` applied to the instance at a path: of each name the default instance, else the first."""
    instances = f"{above}attrs.{key(path[0])}"
    is_default = {"$eq": [{"$type": "$$any.datasetId"}, "missing"]}
    defaults = {"$filter": {"input": instances, "as": "any", "cond": is_default}}
    rarely = {"$ifNull": [{"$first": defaults}, "$$any"]}  # nearly always the first is the default one
    chosen = _let("any", {"$arrayElemAt": [instances, 0]}, _if(is_default, "$$any", rarely))
    name = f"i{depth}"
    below = _of_instance(path[1:], f"$${name}.", depth + 1, inner) if path[1:] else inner(f"$${name}")
    return _let(name, chosen, below)


def _value_key(instance: str, target: Target, shift: int) -> Expression:
    member = target.member
    if member in _INSTANTS:
        return _instant_key(_time(instance, member))
    if member:
        return _typed(f"{instance}.{member}", shift)
    value: Expression = {"$ifNull": [f"{instance}.{name}" for name in _VALUES]}
    for name in target.trailing:
        inside = {"$getField": {"field": {"$literal": value_key(name)}, "input": "$$outer"}}
        value = _let("outer", value, _if(_is("$$outer", "object"), inside, _REMOVED))
    return _typed(value, shift)


def _time(instance: str, member: str) -> Expression:
    """A time of an instance; if it has none, that of its entity (`core.entity.instances`)."""
    own = {"createdAt": ("createdAt",), "modifiedAt": ("modifiedAt", "createdAt")}.get(member)
    if own is None:
        return f"{instance}.{member}"
    inherited = {"$ifNull": [*(f"{instance}.{name}" for name in own), "$createdAt"]}
    return _if(_is(instance, "object"), inherited, _REMOVED)


def _instant_key(value: Expression) -> Expression:
    known = _key("dateTime", 0, _without_zeros("$$value"))
    return _let("value", value, _if(_is("$$value", "string"), known, _key("absent", 0)))


def _typed(value: Expression, shift: int) -> Expression:
    """The sort key of a value by its type; `shift` is added to the rank."""
    kinds = [("string", "string"), ("object", "object"), ("array", "array"), ("bool", "boolean")]
    cases = [
        ({"$isNumber": "$$value"}, "number", "$$value"),
        (_of_form("$$value", "^(?![0-9]{2})"), "string", "$$value"),  # most texts: no moment for sure
        *((_of_form("$$text", f"^(?:{FORMS[kind]})\\z"), kind, _plain("$$text")) for kind in _MOMENTS),
        *((_is("$$value", bson), kind, "$$value") for bson, kind in kinds),
        (_is("$$value", "null"), "null", _REMOVED),
    ]
    branches = [{"case": case, "then": _key(kind, shift, shown)} for case, kind, shown in cases]
    switch = {"$switch": {"branches": branches, "default": _key("absent", shift)}}
    text = _if(_is("$$value", "object"), "$$value.@value", "$$value")  # a JSON-LD typed value
    return _let("value", value, _let("text", text, switch))


def _of_form(text: Expression, form: str) -> Expression:
    return {"$and": [_is(text, "string"), {"$regexMatch": {"input": text, "regex": form}}]}


def _key(kind: str, shift: int, value: Expression = _REMOVED) -> Expression:
    return {"r": {"$literal": _RANK[kind] + shift}, "v": value}


def _plain(text: str) -> Expression:
    """A date, time or date-time in a form whose order as text is the order in time."""
    bare = {"$rtrim": {"input": text, "chars": "Z"}}
    return _let(
        "bare", {"$replaceOne": {"input": bare, "find": ",", "replacement": "."}}, _without_zeros("$$bare")
    )


def _without_zeros(text: str) -> Expression:
    """A time without trailing zeros of its fraction; without the fraction if it is zero."""
    trimmed = {"$rtrim": {"input": {"$rtrim": {"input": text, "chars": "0"}}, "chars": "."}}
    return _if({"$gte": [{"$indexOfBytes": [text, "."]}, 0]}, trimmed, text)


def _distance_key(
    instance: str, target: Target, reference: Json, distances: Mapping[str, float]
) -> Expression:
    """The sort key by distance: computed by MongoDB between points, else from `distances`, else by value."""
    otherwise = _value_key(instance, target, 1)
    if distances:
        at = {"$indexOfArray": [{"$literal": [*distances]}, "$_id"]}
        metres = {"$arrayElemAt": [{"$literal": [*distances.values()]}, "$$at"]}
        known = _if({"$gte": ["$$at", 0]}, {"r": {"$literal": 0}, "v": metres}, otherwise)
        otherwise = _let("at", at, known)
    if reference["type"] != "Point":
        return otherwise
    place = f"{instance}.value.coordinates"
    lon, lat = {"$arrayElemAt": [place, 0]}, {"$arrayElemAt": [place, 1]}
    is_point = {
        "$and": [
            {"$eq": [f"{instance}.type", "GeoProperty"]},
            {"$eq": [f"{instance}.value.type", "Point"]},
            {"$lte": [{"$abs": lon}, 180]},
            {"$lte": [{"$abs": lat}, 90]},
        ]
    }
    metres = _haversine(lon, lat, reference["coordinates"])
    return _if(is_point, {"r": {"$literal": 0}, "v": metres}, otherwise)


def _haversine(lon: Expression, lat: Expression, origin: list[float]) -> Expression:
    lon0, lat0 = math.radians(origin[0]), math.radians(origin[1])
    east = _half_sine({"$subtract": [{"$degreesToRadians": lon}, lon0]})
    north = _half_sine({"$subtract": [{"$degreesToRadians": lat}, lat0]})
    shrunk = {"$multiply": [math.cos(lat0), {"$cos": {"$degreesToRadians": lat}}, east, east]}
    part = {"$add": [{"$multiply": [north, north]}, shrunk]}
    return {"$multiply": [2 * EARTH_RADIUS, {"$asin": {"$min": [1, {"$sqrt": {"$max": [0, part]}}]}}]}


def _half_sine(angle: Expression) -> Expression:
    return {"$sin": {"$divide": [angle, 2]}}


def _let(name: str, value: Expression, inner: Expression) -> Expression:
    return {"$let": {"vars": {name: value}, "in": inner}}


def _if(condition: Expression, then: Expression, otherwise: Expression) -> Expression:
    return {"$cond": [condition, then, otherwise]}


def _is(value: Expression, kind: str) -> Expression:
    return {"$eq": [{"$type": value}, kind]}
