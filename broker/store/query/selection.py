"""Exact filters of queries, also for conditions that MongoDB cannot evaluate in one filter.

Conditions on linked entities (`relationship{…}`, 4.9) are resolved first, from the last link to the first: a
query finds the ids of the linked entities that meet the condition, and the filter selects Relationships to
these ids. Geoqueries that bounding boxes cannot decide (`spatial`) are evaluated here on the geometries, in
threads, since that takes time; the filter contains the ids that match. So pages, counts and orders are those
of one plain filter. The number of entities and the time are limited.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from broker.core.errors import TooComplexQuery
from broker.core.lang.geo import GeoQuery
from broker.core.lang.match import is_placed
from broker.core.lang.terms import Exists, Term, linked_terms
from broker.core.query import Query
from broker.store.query.conditions import Filter, all_of, any_of
from broker.store.query.filters import Links, condition, link_filter, to_filter
from broker.store.wire import codec
from broker.store.wire.deadline import Deadline
from broker.store.wire.tenants import Collection, Tenant

if TYPE_CHECKING:
    from broker.store.query.spatial import SpatialFilters

log = logging.getLogger(__name__)
_TOGETHER = 200  # entities that are read and tested in one step


class Selections:
    """Makes filters of queries, and caches those that do not depend on data.

    `candidates`: the most entities that a filter may have to read; `timeout` in seconds. Methods raise
    TooComplexQuery if a query exceeds one of them.
    """

    def __init__(self, *, candidates: int, timeout: float) -> None:
        self._candidates = candidates
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(2, "closer-look")
        self._filters: WeakKeyDictionary[Query, Filter] = WeakKeyDictionary()

    async def filter(self, tenant: Tenant, query: Query) -> Filter:
        """The filter that selects the query's entities at present. Callers must not change it.

        TooComplexQuery if it would have to read too many entities, or takes too long.
        """
        if (known := self._filters.get(query)) is not None:
            return known
        terms = list(linked_terms(query.q))
        if not terms and query.geo is None:
            return self._filters.setdefault(query, to_filter(query))
        deadline = Deadline(self._timeout)
        links: Links = {term: await self._linking(tenant.entities, term, deadline) for term in terms}
        if query.geo is None:
            return to_filter(query, links)
        rest = to_filter(replace(query, geo=None), links)
        filters = await self._run(_spatial_filters, query.geo)
        placed = await self._placed(tenant.entities, query.geo, rest, filters, deadline)
        certain = any_of([filters.certain, {"_id": {"$in": placed}}]) if placed else filters.certain
        return all_of([rest, filters.candidates, certain])

    async def _linking(self, entities: Collection, term: Term | Exists, deadline: Deadline) -> Filter:
        """The filter of a term on linked entities; reads the ids of those that meet it."""
        link = term.target.links[0]
        inner = replace(term, target=term.target.linked)
        links: Links = {inner: await self._linking(entities, inner, deadline)} if inner.target.links else {}
        of_types: Filter = {"type": {"$in": list(link.types)} if link.types else {"$exists": True}}
        wanted = all_of([of_types, condition(inner, links)])
        return link_filter(link, await self._ids(entities, wanted, deadline))

    async def _ids(self, entities: Collection, wanted: Filter, deadline: Deadline) -> list[str]:
        """The ids of all entities that a filter selects. Reads them in one document, which costs less."""
        pipeline: list[dict[str, Any]] = [
            {"$match": wanted}, {"$limit": self._candidates + 1}, {"$project": {"_id": 1}},
            {"$group": {"_id": None, "ids": {"$push": "$_id"}}},
        ]  # fmt: skip
        cursor = await entities.aggregate(pipeline, maxTimeMS=deadline.left_ms())
        ids: list[str] = [entity_id for group in await cursor.to_list() for entity_id in group["ids"]]
        if len(ids) > self._candidates:
            raise TooComplexQuery(
                f"q: more than {self._candidates} linked entities; ask for less, or for a type"
            )
        return ids

    async def _placed(
        self, entities: Collection, geo: GeoQuery, rest: Filter, filters: "SpatialFilters", deadline: Deadline
    ) -> list[str]:
        """The ids of the entities that match a geoquery, of those that bounding boxes cannot decide."""
        wanted = all_of([rest, filters.candidates, filters.possible])
        attribute = f"attrs.{codec.key(geo.property)}"
        placed: list[str] = []
        looked_at = 0
        async with entities.find(
            wanted,
            {attribute: 1},
            limit=self._candidates + 1,
            batch_size=_TOGETHER,
            max_time_ms=deadline.left_ms(),
        ) as cursor:
            while documents := await cursor.to_list(_TOGETHER):
                looked_at += len(documents)
                if looked_at > self._candidates:
                    raise TooComplexQuery(
                        f"georel: more than {self._candidates} entities need a closer look; select fewer"
                    )
                placed += await self._run(_looked_at, geo, documents, deadline)
        return placed

    async def _run(self, work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _spatial_filters(geo: GeoQuery) -> "SpatialFilters":
    from broker.store.query.spatial import spatial_filters  # it takes Shapely (see `core.lang.geo`)

    return spatial_filters(geo)


def _looked_at(geo: GeoQuery, documents: Sequence[dict[str, Any]], deadline: Deadline) -> list[str]:
    """The ids of those that the geoquery selects."""
    placed = []
    for document in documents:
        deadline.left_ms()
        try:
            if is_placed(geo, codec.decode_attrs(document["attrs"])):
                placed.append(document["_id"])
        except Exception:  # it cannot be decoded: pages leave such a one out, too
            log.exception("the place of an entity cannot be read", extra={"entity": document["_id"]})
    return placed
