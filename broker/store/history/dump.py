"""Reads the whole history of a tenant in pieces, for exports of any size.

Each piece of a series is read in a snapshot of its own and begins where the last piece ended.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from broker.core import Instance
from broker.core.temporal import Evolution, TemporalQuery
from broker.store.history import windows
from broker.store.history.evolutions import FACTS, candidate_of, candidates, evolution, facts_of
from broker.store.history.first_instances import SeriesRequest, first
from broker.store.history.shown_instances import shown
from broker.store.history.windows import Pipeline, Selection, Series
from broker.store.wire import codec
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Tenant, Tenants

Document = dict[str, Any]
_PIECE = 5000  # instances
_NEVER = "0000-01-01T00:00:00"  # the `now` of the selection: expired instances are exported, too


@dataclass(frozen=True, slots=True)
class HistoryPart:
    """A piece of the history of one attribute (IRI): instances in order of time."""

    evolution: Evolution
    attribute: str
    instances: list[Instance]


@dataclass(frozen=True, slots=True)
class Dump:
    """An export of a tenant's history: what `query` selects, from `low` to before `high` (µs)."""

    tenants: Tenants
    tenant: str
    query: TemporalQuery
    low: int | None = None
    high: int | None = None

    async def entities(self) -> int:
        """The number of entities to export. NonexistentTenant if there is no such tenant."""
        with reported():
            handle = await self.tenants.get(self.tenant)
            return await handle.entities.count_documents(candidates(self.query))

    async def pieces(self) -> AsyncIterator[tuple[str, HistoryPart | None]]:
        """(entity id, piece) for each piece of history; (entity id, None) at the end of each entity."""
        with reported():
            handle = await self.tenants.get(self.tenant)
            async for document in handle.entities.find(candidates(self.query), {"_id": 1}, sort=[("_id", 1)]):
                async for piece in self._of_entity(handle, document["_id"]):
                    yield document["_id"], piece
                yield document["_id"], None

    async def _of_entity(self, tenant: Tenant, entity_id: str) -> AsyncIterator[HistoryPart]:
        document = await tenant.entities.find_one({"_id": entity_id}, FACTS)
        facts = None if document is None else facts_of(document)
        for series in candidate_of(facts, self.query, self._base).wanted if facts else ():
            async for piece in self._of_series(tenant, series):
                yield piece

    async def _of_series(self, tenant: Tenant, series: Series) -> AsyncIterator[HistoryPart]:
        start, last, most = self.low, (-(2**63), 0), _PIECE
        while True:
            facts, rows = await self._read(tenant, series, start, most)
            fresh = [row for row in rows if (row["_id"]["t"], row["_id"]["s"]) > last]
            if facts is not None and fresh:
                instances = [shown(row, is_stamped=True) for row in fresh]
                yield HistoryPart(evolution(facts), codec.name(series[1]), instances)
                start = fresh[-1]["_id"]["t"]
                last = (start, fresh[-1]["_id"]["s"])
            if len(rows) < most:
                return
            most = _PIECE if fresh else 2 * most  # one time has more instances than a piece can hold

    async def _read(
        self, tenant: Tenant, series: Series, start: int | None, most: int
    ) -> tuple[Document | None, list[Document]]:
        async with tenant.history.database.client.start_session(snapshot=True) as session:
            document = await tenant.entities.find_one({"_id": series[0]}, FACTS, session=session)
            facts = None if document is None else facts_of(document)
            if facts is None:
                return None, []
            selection = candidate_of(facts, self.query, self._base).wanted.get(series, self._base)

            async def run(pipeline: Pipeline, most: int) -> list[Document]:
                cursor = await tenant.history.aggregate(pipeline, session=session, batchSize=most)
                return await cursor.to_list()

            wanted = {series: SeriesRequest(replace(selection, low=start), most)}
            return facts, (await first(run, wanted)).get(series, [])

    @property
    def _base(self) -> Selection:
        return replace(windows.selection(self.query, _NEVER), low=self.low, high=self.high)
