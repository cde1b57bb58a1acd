"""One answer about the past in the making: entities found, what of them is wanted, and what that comes to."""

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
    SHOWN,
    Candidate,
    candidate,
    candidates,
    direction,
    evolution,
    facts_of,
)
from broker.store.history.first_instances import SeriesRequest, first
from broker.store.history.instances import shown
from broker.store.history.records import SCOPE
from broker.store.history.windows import Pipeline, Selection, Series
from broker.store.wire import codec
from broker.store.wire.client import Session
from broker.store.wire.deadline import Deadline
from broker.store.wire.tenants import Tenant

Document = dict[str, Any]

TOGETHER = 100  # candidates that are looked at together
_BATCH = 500  # instances that are judged before others get a turn
_ANSWER = 20  # an answer may hold this many times the instances that one attribute may have in it
_MORE = 4  # times as many instances are read of an attribute that had too many at one time
_LEAST = 2  # instances of an attribute, however many attributes an answer has: else nobody gets on in time


class EvolutionAnswer:
    """One answer in the making, which has to be done by a deadline. `page` as in `MongoTemporal`."""

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
        """The entities in the answer's page."""
        first, end = self._query.entities.offset, self._query.entities.offset + self._query.entities.limit
        page: list[Candidate] = []
        passed = 0
        async with aclosing(self.matching(min(end, TOGETHER))) as matching:
            async for one in matching:
                passed += 1
                if passed > first:
                    page.append(one)
                if passed == end:
                    break
        return page

    async def matching(self, together: int) -> AsyncGenerator[Candidate, None]:
        """The entities that the query selects, in the order of their ids."""
        cursor = self.tenant.entities.find(
            candidates(self._query),
            SHOWN,
            sort=[("_id", direction(self._query))],
            batch_size=together,
            max_time_ms=self._deadline.left_ms(),
            session=self._session,
        )
        async with cursor:
            while documents := await cursor.to_list(together):
                heads = (found for document in documents if (found := facts_of(document)) is not None)
                for one in await self.filter.selected([self.candidate(found) for found in heads]):
                    yield one

    def candidate(self, document: Document) -> Candidate:
        """An entity of the catalogue with all that is wanted of it."""
        return candidate(document, self._query, self._selection.of_datasets(self._query.datasets))

    def wanted(self, many: Iterable[Candidate]) -> dict[Series, SeriesRequest]:
        """The instances that the answer needs of entities in the catalogue; none if it aggregates them."""
        if self._query.aggregation is not None:
            return {}
        chosen = [(one, series, part) for one in many for series, part in self._chosen(one).items()]
        most, last_n = self._most(len(chosen)), self._query.last_n
        limit = (most if last_n is None else min(last_n, most)) + 1
        return {series: _wanted(one, series, part, limit) for one, series, part in chosen}

    async def evolutions(self, many: Sequence[Candidate]) -> list[Evolution]:
        """The evolutions of entities in the catalogue, in the same order."""
        wanted = self.wanted(many)
        return await self.put_together(many, wanted, await first(self.run, wanted))

    async def retrieved(
        self, one: Candidate, wanted: dict[Series, SeriesRequest], rows: dict[Series, list[Document]]
    ) -> Evolution | None:
        """The evolution of an entity; None if there is nothing of it that the query asks for."""
        [found] = await self.put_together([one], wanted, rows)
        is_empty = not found.attrs and not found.aggregates
        if is_empty and self._query.is_selective and not await self.filter.selected([one]):
            return None
        return found

    async def put_together(
        self,
        many: Sequence[Candidate],
        wanted: dict[Series, SeriesRequest],
        rows: dict[Series, list[Document]],
    ) -> list[Evolution]:
        """The same of what is wanted of them and was read: the first rows of each series."""
        found = {one.id: evolution(one.document) for one in many}
        if self._query.aggregation is not None:
            await self._aggregate(found, many)
        else:
            whole = await self._whole(wanted, rows)
            self._put(found, {one: whole[one] for one in wanted if one in whole}, len(wanted))
            self._carry(found, many)
        if self._query.sys_attrs:
            for entity_id, time in (await self._modified(found)).items():
                found[entity_id].modified_at = time
        return list(found.values())

    def _chosen(self, one: Candidate) -> dict[Series, Selection]:
        """What is selected of the series of an entity that are part of the answer."""
        return {s: part for s, part in one.wanted.items() if self._query.is_shown(codec.name(s[1]))}

    def _most(self, series: int) -> int:
        """How many instances of each of so many series the answer may hold."""
        return max(_LEAST, min(self._page, self._page * _ANSWER // max(1, series)))

    async def _aggregate(self, found: dict[str, Evolution], many: Iterable[Candidate]) -> None:
        """Adds what the instances come to, but for those of scopes: what is aggregated are attributes."""
        wanted = {s: part for one in many for s, part in self._chosen(one).items() if s[1] != SCOPE}
        for (entity, key), aggregates in (await aggregate(self.run, self._query, wanted)).items():
            found[entity].aggregates[codec.name(key)] = aggregates

    def _put(self, found: dict[str, Evolution], rows: dict[Series, list[Instance]], series: int) -> None:
        """Adds the instances, of each attribute as many as fit into an answer with so many series."""
        most = self._most(series)
        for (entity, key), instances in rows.items():
            iri = codec.name(key)
            kept, is_cut = fit(self._latest(instances), most, self._query)
            found[entity].attrs[iri] = kept
            found[entity].truncated |= {iri} if is_cut else set()

    async def _whole(
        self, wanted: dict[Series, SeriesRequest], rows: dict[Series, list[Document]]
    ) -> dict[Series, list[Instance]]:
        """The instances of these rows; with lastN, all those of its times are among them, or too many.

        Mostly there is one instance at a time. Where there are several, it takes more of them.
        """
        found = self._instances(rows)
        last_n, most, left = self._query.last_n, self._most(len(wanted)) + 1, wanted
        while last_n is not None and left:
            left = {
                series: one.up_to(min(_MORE * one.limit, most))
                for series, one in left.items()
                if len(found.get(series, ())) == one.limit < most
                and times(found[series], self._query.window) <= last_n
            }
            found |= self._instances(await first(self.run, left))
        return found

    def _instances(self, rows: dict[Series, list[Document]]) -> dict[Series, list[Instance]]:
        return {series: [self._instance(row) for row in many] for series, many in rows.items()}

    def _latest(self, instances: list[Instance]) -> list[Instance]:
        last_n = self._query.last_n
        return instances if last_n is None else latest(instances, last_n, self._query.window)

    def _carry(self, found: dict[str, Evolution], many: Sequence[Candidate]) -> None:
        """Adds the scopes that entities had when the window began, where scopes were asked for (C.5.16)."""
        for one in many:
            if one.scopes is not None and self._query.is_shown(codec.name(SCOPE)):
                of = found[one.id].attrs.setdefault(codec.name(SCOPE), [])
                of.insert(len(of) if self._query.is_backwards else 0, one.scopes)
                of[:] = self._latest(of)

    async def run(self, pipeline: Pipeline, most: int) -> list[Document]:
        """The result of a pipeline over the history, at most so many documents, in one round trip."""
        cursor = await self.tenant.history.aggregate(
            pipeline, session=self._session, maxTimeMS=self._deadline.left_ms(), batchSize=most + 1
        )
        return await cursor.to_list()

    async def _stream(self, pipeline: Pipeline) -> AsyncGenerator[Document, None]:
        """The result of a pipeline over the history, little by little."""
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
        """When each entity that still is there was last modified, which only the entity itself says."""
        those = {"_id": {"$in": list(ids)}, "type": {"$exists": True}}
        cursor = self.tenant.entities.find(
            those, {"modifiedAt": 1}, max_time_ms=self._deadline.left_ms(), session=self._session
        )
        return {entity["_id"]: entity["modifiedAt"] async for entity in cursor}


def _wanted(one: Candidate, series: Series, selection: Selection, limit: int) -> SeriesRequest:
    """`limit` instances of a series; what the entity's document holds is not read again."""
    if one.held is None or selection.by_write:
        return SeriesRequest(selection, limit)
    held = [each for each in one.held if each["a"] == series[1]]
    return SeriesRequest(replace(selection, held=False), limit, held)
