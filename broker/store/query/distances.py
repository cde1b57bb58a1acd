"""Distances for orders (clause 4.23) that MongoDB cannot compute: those that are not between two points.

They are computed before the query, in a thread, and the sort key contains them by entity id. The number of
such entities and the time are limited.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from broker.core import Instance, Json
from broker.core.entity.geometry import is_geometry
from broker.core.errors import TooComplexQuery
from broker.core.lang.order import Ordering, OrderTerm
from broker.store.query.conditions import Filter, all_of
from broker.store.wire.codec import key
from broker.store.wire.deadline import Deadline
from broker.store.wire.tenants import Collection

# For each order term by distance: metres by entity id.
Distances = Mapping[OrderTerm, Mapping[str, float]]

_MOST = 2000
_TOGETHER = 200  # entities that are read and measured in one step


async def distances(entities: Collection, ordering: Ordering, wanted: Filter, seconds: float) -> Distances:
    """The distances, not between two points, of the entities that `wanted` selects.

    TooComplexQuery if there are too many, or if it takes more than `seconds`.
    """
    deadline = Deadline(seconds, "orderBy: the distances took longer than this broker allows")
    terms = [term for term in ordering.terms if term.distance]
    return {term: await _of(entities, term, ordering.reference, wanted, deadline) for term in terms}


async def _of(
    entities: Collection, term: OrderTerm, reference: Json, wanted: Filter, deadline: Deadline
) -> dict[str, float]:
    path = ".".join(f"attrs.{key(iri)}" for iri in term.target.path)
    is_measured: Filter = {"type": "GeoProperty"}
    if reference["type"] == "Point":
        is_measured["value.type"] = {"$ne": "Point"}
    selected = all_of([wanted, {path: {"$elemMatch": is_measured}}])
    metres: dict[str, float] = {}
    looked_at = 0
    options: dict[str, Any] = {"limit": _MOST + 1, "batch_size": _TOGETHER, "max_time_ms": deadline.left_ms()}
    async with entities.find(selected, {f"attrs.{key(term.target.path[0])}": 1}, **options) as cursor:
        while documents := await cursor.to_list(_TOGETHER):
            looked_at += len(documents)
            if looked_at > _MOST:
                raise TooComplexQuery(f"orderBy: more than {_MOST} distances that are not between two points")
            deadline.left_ms()
            metres |= await asyncio.to_thread(_measured, documents, term.target.path, reference)
    return metres


def _measured(
    documents: Sequence[Mapping[str, Any]], path: tuple[str, ...], reference: Json
) -> dict[str, float]:
    from broker.core.lang import geometries  # here, since it takes Shapely (see `core.lang.geo`)

    origin = geometries.prepared(geometries.geometry(reference))
    metres = {}
    for document in documents:
        instance = _instance(document, path)
        if instance is None or instance["type"] != "GeoProperty" or not is_geometry(instance["value"]):
            continue
        if (geometry := geometries.geometry(instance["value"])) is not None:
            metres[document["_id"]] = geometries.distance(origin, geometry)
    return metres


def _instance(holder: Mapping[str, Any], path: tuple[str, ...]) -> Instance | None:
    """The instance at a path that orders use: of each name the default one, else the first (as in `rank`)."""
    for iri in path:
        instances = holder.get("attrs", {}).get(key(iri))
        if not instances:
            return None
        holder = next((instance for instance in instances if "datasetId" not in instance), instances[0])
    return dict(holder)
