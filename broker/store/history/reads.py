"""The history of entities, read: one entity's evolution, or those that a query finds, with bounded work.

The catalogue tells whose history there is and of which attributes; `windows` makes pipelines
of the rest. A query's answer, its pages and its count are of the entities with at least one instance in the
window (5.7.4.4). Nothing but a look at the history tells that, so candidates are taken from the catalogue in
the order of their ids, and those without an instance are left out: a page costs one short look for each
candidate before its end, a count one for each candidate.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from broker.clock import Clock
from broker.core import Instance, instant
from broker.core.entity.expiry import without_expired
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.page import fit, latest, times
from broker.store import codec
from broker.store.client import Session
from broker.store.deadline import Deadline
from broker.store.errors import reported
from broker.store.history import windows
from broker.store.history.aggregates import aggregate, parts
from broker.store.history.catalogue import (
    SHOWN,
    Candidate,
    candidate,
    candidates,
    direction,
    evolution,
    head,
)
from broker.store.history.judging import Judge, Reading
from broker.store.history.records import PLACES, SCOPE, instance_id
from broker.store.history.windows import Pipeline, Selection, Series
from broker.store.tenants import Tenant, Tenants

Document = dict[str, Any]

_TOGETHER = 100  # series, or candidates, in one pipeline: MongoDB's own limit is 1000, its best is far below
_BATCH = 500  # instances that are judged before others get a turn
_ANSWER = 20  # an answer may hold this many times the instances that one attribute may have in it
_MORE = 4  # times as many instances are read of an attribute that had too many at one time
_LEAST = 2  # instances of an attribute, however many attributes an answer has: else nobody gets on in time


class MongoTemporal:
    """See `ports.TemporalStore`. `page`: instances of one attribute in an answer; `timeout` in seconds."""

    def __init__(self, tenants: Tenants, *, page: int, timeout: float, clock: Clock | None = None) -> None:
        self._tenants = tenants
        self._clock = clock or Clock()
        self._page = page
        self._timeout = timeout

    async def evolution(self, tenant: str, entity_id: str, query: TemporalQuery) -> Evolution | None:
        """One entity's evolution; None if there never was one, or nothing of it that the query asks for."""
        async with self._reading(tenant, query) as reading:
            document = await reading.document(entity_id)
            if document is None:
                return None
            candidate = reading.candidate(document)
            [found] = await reading.evolutions([candidate])
            is_empty = not found.attrs and not found.aggregates
            if is_empty and query.is_selective and not await reading.judge.selected([candidate]):
                return None
            return found

    async def evolutions(self, tenant: str, query: TemporalQuery) -> list[Evolution]:
        """One page of the evolutions that have an instance in the window, in the order of their ids."""
        async with self._reading(tenant, query) as reading:
            return await reading.evolutions(await reading.page())

    async def count(self, tenant: str, query: TemporalQuery) -> int:
        """How many evolutions have an instance in the window."""
        async with self._reading(tenant, query) as reading:
            return sum([1 async for _ in reading.matching(_TOGETHER)])

    @asynccontextmanager
    async def _reading(self, tenant: str, query: TemporalQuery) -> AsyncIterator["_Reading"]:
        """All that an answer is made of is read as of one moment."""
        with reported():
            handle = await self._tenants.get(tenant)
            async with handle.history.database.client.start_session(snapshot=True) as session:
                now = self._clock.expiring()
                yield _Reading(handle, query, self._page, Deadline(self._timeout), session, now)


class _Reading:
    """One answer in the making, which has to be done by a deadline."""

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
        reads = Reading(self._run, self._stream, self._as_judged, self._modified)
        self.judge = Judge(reads, query, self._selection, self._now)

    async def document(self, entity_id: str) -> Document | None:
        """The facts of an entity's evolution, None if it has none."""
        found = await self.tenant.entities.find_one(
            {"_id": entity_id}, SHOWN, max_time_ms=self._deadline.left_ms(), session=self._session
        )
        return None if found is None else head(found)

    async def page(self) -> list[Candidate]:
        """The entities in the answer's page."""
        first, end = self._query.entities.offset, self._query.entities.offset + self._query.entities.limit
        page: list[Candidate] = []
        passed = 0
        async with aclosing(self.matching(min(end, _TOGETHER))) as matching:
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
                heads = (found for document in documents if (found := head(document)) is not None)
                for one in await self.judge.selected([self.candidate(found) for found in heads]):
                    yield one

    def candidate(self, document: Document) -> Candidate:
        """An entity of the catalogue with all that is wanted of it."""
        return candidate(document, self._query, self._selection.of_datasets(self._query.datasets))

    async def evolutions(self, many: Sequence[Candidate]) -> list[Evolution]:
        """The evolutions of entities in the catalogue, in the same order."""
        found = {one.id: evolution(one.document) for one in many}
        wanted = {
            series: selection
            for one in many
            for series, selection in one.wanted.items()
            if self._query.is_shown(codec.name(series[1]))
        }
        if self._query.aggregation is not None:
            await self._aggregate(found, wanted)
        else:
            await self._read(found, wanted)
            self._carry(found, many)
        if self._query.sys_attrs:
            for entity_id, time in (await self._modified(found)).items():
                found[entity_id].modified_at = time
        return list(found.values())

    async def _aggregate(self, found: dict[str, Evolution], wanted: dict[Series, Selection]) -> None:
        """Adds what the instances come to, but for those of scopes: what is aggregated are attributes."""
        selections = {series: one for series, one in wanted.items() if series[1] != SCOPE}
        for (entity, key), many in (await aggregate(self._run, self._query, selections)).items():
            found[entity].aggregates[codec.name(key)] = many

    async def _read(self, found: dict[str, Evolution], wanted: dict[Series, Selection]) -> None:
        """Adds the instances, of each attribute as many as fit."""
        most = max(_LEAST, min(self._page, self._page * _ANSWER // max(1, len(wanted))))
        for (entity, key), instances in (await self._first(wanted, most + 1)).items():
            iri = codec.name(key)
            kept, is_cut = fit(self._latest(instances), most, self._query)
            found[entity].attrs[iri] = kept
            found[entity].truncated |= {iri} if is_cut else set()

    async def _first(self, wanted: dict[Series, Selection], most: int) -> dict[Series, list[Instance]]:
        """The first instances of each series, up to `most`; with lastN those of its times are among them.

        Mostly there is one instance at a time. Where there are several, it takes more of them.
        """
        last_n, window = self._query.last_n, self._query.window
        limit = most if last_n is None else min(last_n + 1, most)
        rows = await self._rows(wanted, limit)
        while last_n is not None and limit < most:
            short = {
                one for one, many in rows.items() if len(many) == limit and times(many, window) <= last_n
            }
            if not short:
                break
            limit = min(_MORE * limit, most)
            rows |= await self._rows({one: wanted[one] for one in short}, limit)
        return rows

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

    async def _rows(self, wanted: dict[Series, Selection], limit: int) -> dict[Series, list[Instance]]:
        """The instances of each series that has any, up to `limit` of each."""
        rows: dict[Series, list[Instance]] = {}
        for many in parts(wanted.items(), _TOGETHER):
            for row in await self._run(windows.read(many, limit), limit * len(many)):
                key = row["_id"]
                rows.setdefault((key["e"], key["a"]), []).append(self._instance(row))
        return rows

    async def _run(self, pipeline: Pipeline, most: int) -> list[Document]:
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


def shown(row: Document, is_stamped: bool) -> Instance:
    """An instance of the history; the times of its write are only worked out where they are wanted."""
    key, one = row["_id"], codec.decode_instance(row["i"])
    one["instanceId"] = instance_id(row.get("o", key["t"]), row.get("f", key["s"]))
    if "deletedAt" not in one and (is_stamped or "observedAt" not in one):
        written = row["w"] if "w" in row else row.get("f", key["s"]) // PLACES
        one["createdAt"] = one["modifiedAt"] = instant.of_micros(written)
        if "m" in row:
            one["modifiedAt"] = instant.of_micros(row["m"])
    return one
