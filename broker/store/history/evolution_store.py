"""Temporal queries: the evolution of one entity, or a page of evolutions, with bounded work.

The facts of evolutions (`evolutions`) select candidates; `windows` makes pipelines that read their instances.
Answers, pages and counts have the entities with at least one instance in the window (5.7.4.4). Only the
history tells which these are, so candidates are checked in the order of their ids. A page costs one short
check for each candidate up to its end, a count one for each candidate.

Requests for a few instances of one entity (for example the last 100 of an attribute) that arrive at about the
same time are read together, in one snapshot.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from broker.clock import Clock
from broker.core.errors import Unavailable
from broker.core.temporal import Evolution, TemporalQuery
from broker.store.history.evolution_answer import TOGETHER, EvolutionAnswer
from broker.store.history.evolutions import FACTS_AND_HISTORY, facts_of
from broker.store.history.first_instances import first
from broker.store.wire.client import Session
from broker.store.wire.coalesced_reads import Reads
from broker.store.wire.deadline import Deadline
from broker.store.wire.errors import reported
from broker.store.wire.tenants import Tenant, Tenants

Document = dict[str, Any]

_BATCH = 8  # entities read together; more would make each request wait longer for the others
_SHORT = 1000  # instances, of all attributes, of a request that may be read together with others


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A request for the evolution of one entity."""

    entity_id: str
    query: TemporalQuery


class MongoTemporal:
    """See `ports.TemporalStore`. `page`: instances of one attribute in an answer; `timeout` in seconds."""

    def __init__(self, tenants: Tenants, *, page: int, timeout: float, clock: Clock | None = None) -> None:
        self._tenants = tenants
        self._clock = clock or Clock()
        self._page = page
        self._timeout = timeout
        self._reads: dict[str, Reads[_Asked, Evolution]] = {}

    async def evolution(self, tenant: str, entity_id: str, query: TemporalQuery) -> Evolution | None:
        """The evolution of an entity; None if it has none, or nothing in it matches the query."""
        asked = _Asked(entity_id, query)
        with reported():
            handle = await self._tenants.get(tenant)
            if not _is_short(query):
                return (await self._retrieve(handle, [asked])).get(asked)
            if handle.name not in self._reads:
                self._reads[handle.name] = Reads(partial(self._retrieve_each, handle), _BATCH)
            return await self._reads[handle.name].get(asked)

    async def evolutions(self, tenant: str, query: TemporalQuery) -> list[Evolution]:
        """A page of the evolutions that match the query, ordered by entity id."""
        async with self._snapshot(tenant) as (handle, session):
            answer = self._answer(handle, query, session)
            return await answer.evolutions(await answer.page())

    async def count(self, tenant: str, query: TemporalQuery) -> int:
        """The number of evolutions that match the query."""
        async with self._snapshot(tenant) as (handle, session):
            return sum([1 async for _ in self._answer(handle, query, session).matching(TOGETHER)])

    @asynccontextmanager
    async def _snapshot(self, tenant: str) -> AsyncIterator[tuple[Tenant, Session]]:
        with reported():
            handle = await self._tenants.get(tenant)
            async with _moment(handle) as session:
                yield handle, session

    def _answer(self, tenant: Tenant, query: TemporalQuery, session: Session) -> EvolutionAnswer:
        deadline, now = Deadline(self._timeout), self._clock.expiring()
        return EvolutionAnswer(tenant, query, self._page, deadline, session, now)

    async def _retrieve_each(
        self, tenant: Tenant, asked: list[_Asked]
    ) -> dict[_Asked, Evolution | Exception]:
        """The evolutions of requests, or their errors. If a joint read fails, reads each request alone."""
        try:
            with reported():
                return {**await self._retrieve(tenant, asked)}
        except Unavailable:
            raise
        except Exception as error:
            if len(asked) == 1:
                return {asked[0]: error}
        evolutions: dict[_Asked, Evolution | Exception] = {}
        for request in asked:
            evolutions |= await self._retrieve_each(tenant, [request])
        return evolutions

    async def _retrieve(self, tenant: Tenant, asked: Sequence[_Asked]) -> dict[_Asked, Evolution]:
        """The evolutions of requests, read in one snapshot; requests without a result are left out."""
        evolutions: dict[_Asked, Evolution] = {}
        left = list(asked)
        async with _moment(tenant) as session:
            while left:  # one request for each entity at a time: rows do not say to which request they belong
                now = {request.entity_id: request for request in reversed(left)}
                left = [request for request in left if request is not now[request.entity_id]]
                heads = await _heads(tenant, list(now), session, Deadline(self._timeout))
                there = [
                    (request, heads[request.entity_id])
                    for request in now.values()
                    if request.entity_id in heads
                ]
                evolutions |= await _together(
                    {
                        request: (self._answer(tenant, request.query, session), facts)
                        for request, facts in there
                    }
                )
        return evolutions


@asynccontextmanager
async def _moment(tenant: Tenant) -> AsyncIterator[Session]:
    """A session whose reads all see one snapshot."""
    async with tenant.history.database.client.start_session(snapshot=True) as session:
        yield session


async def _heads(tenant: Tenant, ids: list[str], session: Session, deadline: Deadline) -> dict[str, Document]:
    """The facts of the evolutions that there are of these entities, by id."""
    cursor = tenant.entities.find(
        {"_id": {"$in": ids}}, FACTS_AND_HISTORY, max_time_ms=deadline.left_ms(), session=session
    )
    heads = (facts_of(document) for document in await cursor.to_list())
    return {facts["_id"]: facts for facts in heads if facts is not None}


async def _together(asked: dict[_Asked, tuple[EvolutionAnswer, Document]]) -> dict[_Asked, Evolution]:
    """The evolutions of requests for different entities, each with its answer and facts; one joint read."""
    if not asked:
        return {}
    candidates = {request: answer.candidate(facts) for request, (answer, facts) in asked.items()}
    wanted = {request: answer.wanted([candidates[request]]) for request, (answer, _) in asked.items()}
    [run, *_] = [answer.run for answer, _ in asked.values()]
    rows = await first(
        run, {series: part for requests in wanted.values() for series, part in requests.items()}
    )
    evolutions: dict[_Asked, Evolution] = {}
    for request, (answer, _) in asked.items():
        mine = {series: rows[series] for series in wanted[request] if series in rows}
        evolution = await answer.retrieved(candidates[request], wanted[request], mine)
        if evolution is not None:
            evolutions[request] = evolution
    return evolutions


def _is_short(query: TemporalQuery) -> bool:
    """Whether a query reads so little that it may be read with others: few instances, ordered by key."""
    if query.last_n is None or query.aggregation is not None or query.datasets:
        return False
    is_by_keys = query.window is None or query.window.timeproperty == "observedAt"
    return is_by_keys and 0 < len(query.entities.attrs) * query.last_n <= _SHORT
