"""Builds the answer to a temporal query: selects entities, reads their instances, makes evolutions."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from broker.core import Instance
from broker.core.entity.expiry import without_expired
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.page import fit, latest, times
from broker.store.history import windows
from broker.store.history.aggregates import aggregate
from broker.store.history.evolution_filter import EvolutionFilter, Reader
from broker.store.history.evolutions import (
    FACTS,
    Candidate,
    candidate_of,
    candidates,
    direction,
    evolution,
    facts_of,
)
from broker.store.history.first_instances import SeriesRequest, first
from broker.store.history.records import SCOPE
from broker.store.history.shown_instances import shown
from broker.store.history.windows import Pipeline, Selection, Series
from broker.store.wire import codec
from broker.store.wire.client import Session
from broker.store.wire.deadline import Deadline
from broker.store.wire.tenants import Tenant

Document = dict[str, Any]

TOGETHER = 100  # candidates that are filtered together
_BATCH = 500  # instances in one batch of a stream
_ANSWER = 20  # the most instances in an answer, as a multiple of the most of one attribute
_MORE = 4  # factor of the limit for another read of an attribute with several instances at one time
_LEAST = 2  # instances of an attribute in any answer; with fewer, a client could not page on in time


class EvolutionAnswer:
    """An answer to a query, with a deadline. `page`: the most instances of one attribute in it.

    Methods raise TooComplexQuery after the deadline.
    """

    def __init__(
        self,
        tenant: Tenant,
        query: TemporalQuery,
        page: int,
        deadline: Deadline,
        session: Session,
        now: str,
    ) -> None:
        self.tenant = tenant
        self._query = query
        self._now = now
        self._selection: Selection = windows.selection(query, self._now)
        self._page = page
        self._deadline = deadline
        self._session = session
        reads = Reader(self.run, self._stream, self._as_judged, self._modified)
        self.filter = EvolutionFilter(reads, query, self._selection, self._now)

    async def page(self) -> list[Candidate]:
        """The candidates on the page of the query."""
        first, end = self._query.entities.offset, self._query.entities.offset + self._query.entities.limit
        page: list[Candidate] = []
        passed = 0
        async with aclosing(self.matching(min(end, TOGETHER))) as matching:
            async for candidate in matching:
                passed += 1
                if passed > first:
                    page.append(candidate)
                if passed == end:
                    break
        return page

    async def matching(self, together: int) -> AsyncGenerator[Candidate, None]:
        """The candidates that meet the query, ordered by id; filters `together` of them at a time."""
        cursor = self.tenant.entities.find(
            candidates(self._query),
            FACTS,
            sort=[("_id", direction(self._query))],
            batch_size=together,
            max_time_ms=self._deadline.left_ms(),
            session=self._session,
        )
        async with cursor:
            while documents := await cursor.to_list(together):
                heads = (facts for document in documents if (facts := facts_of(document)) is not None)
                for candidate in await self.filter.selected([self.candidate(facts) for facts in heads]):
                    yield candidate

    def candidate(self, document: Document) -> Candidate:
        """The candidate with these facts, and the selections of the query."""
        return candidate_of(document, self._query, self._selection.of_datasets(self._query.datasets))

    def wanted(self, many: Iterable[Candidate]) -> dict[Series, SeriesRequest]:
        """The requests for the instances that the answer shows of candidates; {} if it aggregates."""
        if self._query.aggregation is not None:
            return {}
        chosen = [
            (candidate, series, part)
            for candidate in many
            for series, part in self._chosen(candidate).items()
        ]
        most, last_n = self._most(len(chosen)), self._query.last_n
        limit = (most if last_n is None else min(last_n, most)) + 1
        return {series: _wanted(candidate, series, part, limit) for candidate, series, part in chosen}

    async def evolutions(self, many: Sequence[Candidate]) -> list[Evolution]:
        """The evolutions of candidates, in the same order."""
        wanted = self.wanted(many)
        return await self.put_together(many, wanted, await first(self.run, wanted))

    async def retrieved(
        self, candidate: Candidate, wanted: dict[Series, SeriesRequest], rows: dict[Series, list[Document]]
    ) -> Evolution | None:
        """The evolution of a candidate from its rows; None if nothing in it matches the query."""
        [evolution] = await self.put_together([candidate], wanted, rows)
        is_empty = not evolution.attrs and not evolution.aggregates
        if is_empty and self._query.is_selective and not await self.filter.selected([candidate]):
            return None
        return evolution

    async def put_together(
        self,
        many: Sequence[Candidate],
        wanted: dict[Series, SeriesRequest],
        rows: dict[Series, list[Document]],
    ) -> list[Evolution]:
        """The evolutions of candidates, from their requests and the rows that were read for these."""
        evolutions = {candidate.id: evolution(candidate.document) for candidate in many}
        if self._query.aggregation is not None:
            await self._aggregate(evolutions, many)
        else:
            whole = await self._whole(wanted, rows)
            self._put(
                evolutions, {series: whole[series] for series in wanted if series in whole}, len(wanted)
            )
            self._carry(evolutions, many)
        if self._query.sys_attrs:
            for entity_id, time in (await self._modified(evolutions)).items():
                evolutions[entity_id].modified_at = time
        return list(evolutions.values())

    def _chosen(self, candidate: Candidate) -> dict[Series, Selection]:
        """The selections of those series of a candidate that the answer shows."""
        return {s: part for s, part in candidate.wanted.items() if self._query.is_shown(codec.name(s[1]))}

    def _most(self, series: int) -> int:
        """The most instances of each series in an answer with this number of series."""
        return max(_LEAST, min(self._page, self._page * _ANSWER // max(1, series)))

    async def _aggregate(self, evolutions: dict[str, Evolution], many: Iterable[Candidate]) -> None:
        """Adds the aggregates of attributes to evolutions. Scopes are not aggregated."""
        wanted = {
            s: part for candidate in many for s, part in self._chosen(candidate).items() if s[1] != SCOPE
        }
        for (entity, key), aggregates in (await aggregate(self.run, self._query, wanted)).items():
            evolutions[entity].aggregates[codec.name(key)] = aggregates

    def _put(self, evolutions: dict[str, Evolution], rows: dict[Series, list[Instance]], series: int) -> None:
        """Adds instances to evolutions: of each attribute as many as fit in an answer with so many series."""
        most = self._most(series)
        for (entity, key), instances in rows.items():
            iri = codec.name(key)
            kept, is_cut = fit(self._latest(instances), most, self._query)
            evolutions[entity].attrs[iri] = kept
            evolutions[entity].truncated |= {iri} if is_cut else set()

    async def _whole(
        self, wanted: dict[Series, SeriesRequest], rows: dict[Series, list[Document]]
    ) -> dict[Series, list[Instance]]:
        """The instances of rows. With lastN, reads more of a series if needed to have its last n times.

        Mostly there is one instance at each time. If there are several, n instances do not cover n times.
        """
        instances = self._instances(rows)
        last_n, most, left = self._query.last_n, self._most(len(wanted)) + 1, wanted
        while last_n is not None and left:
            left = {
                series: request.up_to(min(_MORE * request.limit, most))
                for series, request in left.items()
                if len(instances.get(series, ())) == request.limit < most
                and times(instances[series], self._query.window) <= last_n
            }
            instances |= self._instances(await first(self.run, left))
        return instances

    def _instances(self, rows: dict[Series, list[Document]]) -> dict[Series, list[Instance]]:
        return {series: [self._instance(row) for row in many] for series, many in rows.items()}

    def _latest(self, instances: list[Instance]) -> list[Instance]:
        last_n = self._query.last_n
        return instances if last_n is None else latest(instances, last_n, self._query.window)

    def _carry(self, evolutions: dict[str, Evolution], many: Sequence[Candidate]) -> None:
        """Adds the scopes at the beginning of the window to evolutions that show scopes (C.5.16)."""
        for candidate in many:
            if candidate.scopes is not None and self._query.is_shown(codec.name(SCOPE)):
                instances = evolutions[candidate.id].attrs.setdefault(codec.name(SCOPE), [])
                instances.insert(len(instances) if self._query.is_backwards else 0, candidate.scopes)
                instances[:] = self._latest(instances)

    async def run(self, pipeline: Pipeline, most: int) -> list[Document]:
        """The results of a pipeline over `history`, at most `most` documents, in one round trip."""
        cursor = await self.tenant.history.aggregate(
            pipeline, session=self._session, maxTimeMS=self._deadline.left_ms(), batchSize=most + 1
        )
        return await cursor.to_list()

    async def _stream(self, pipeline: Pipeline) -> AsyncGenerator[Document, None]:
        """The results of a pipeline over `history`, one by one, read in batches."""
        async with await self.tenant.history.aggregate(
            pipeline, session=self._session, maxTimeMS=self._deadline.left_ms(), batchSize=_BATCH
        ) as cursor:
            while rows := await cursor.to_list(_BATCH):
                self._deadline.left_ms()
                for row in rows:
                    yield row

    def _instance(self, row: Document) -> Instance:
        return without_expired(shown(row, self._query.is_stamped), self._now)

    def _as_judged(self, row: Document) -> Instance:
        return without_expired(shown(row, is_stamped=True), self._now)

    async def _modified(self, ids: Iterable[str]) -> dict[str, str]:
        """The modifiedAt of the entities that still exist, by id; only their state has it."""
        existing = {"_id": {"$in": list(ids)}, "type": {"$exists": True}}
        cursor = self.tenant.entities.find(
            existing, {"modifiedAt": 1}, max_time_ms=self._deadline.left_ms(), session=self._session
        )
        return {entity["_id"]: entity["modifiedAt"] async for entity in cursor}


def _wanted(candidate: Candidate, series: Series, selection: Selection, limit: int) -> SeriesRequest:
    """The request for `limit` instances of a series, with those in the document if they were read."""
    if candidate.held is None or selection.by_write:
        return SeriesRequest(selection, limit)
    held = [item for item in candidate.held if item["a"] == series[1]]
    return SeriesRequest(replace(selection, held=False), limit, held)
