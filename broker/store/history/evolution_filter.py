"""Which evolutions a query's conditions select (5.7.4.4).

Each term of the query is asked of the instances in the window, of many entities in one round trip: MongoDB
looks for the first that meets it, and only whether there is one comes back. What MongoDB can't tell of an
instance, the time of its write and where it is, is read and judged here, and so are the times of scopes.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from broker.core import Entity, Instance
from broker.core.errors import TooComplexQuery
from broker.core.lang.geo import GeoQuery, load_geometries
from broker.core.lang.match import is_placed, matches
from broker.core.lang.scope import ScopeQuery
from broker.core.lang.terms import Exists, Q, Term
from broker.core.query import Query
from broker.core.temporal import TemporalQuery
from broker.core.temporal.judgement import holds, meets, terms
from broker.core.temporal.validity import Change, valid
from broker.store.history import windows
from broker.store.history.aggregates import parts
from broker.store.history.evolutions import Candidate
from broker.store.history.first_instances import Run, SeriesRequest, first
from broker.store.history.records import SCOPE
from broker.store.history.windows import Document, Pipeline, Selected, Selection, Series
from broker.store.wire import codec

_TOGETHER = 100  # questions in one round trip
_TIMES = ("createdAt", "modifiedAt")
_FEW = 20  # instances that are judged at first
_MOST_SCOPES = 1000  # changes of an entity's scopes that are looked at


@dataclass(frozen=True, slots=True)
class Reader:
    """How the judge reads: the rows of a pipeline (at most so many), rows one by one, instances of rows."""

    run: Run
    stream: Callable[[Pipeline], AsyncGenerator[Document, None]]
    instance: Callable[[Document], Instance]
    modified: Callable[[Iterable[str]], Awaitable[dict[str, str]]]


class EvolutionFilter:
    """Judges candidates by the conditions of one query."""

    def __init__(self, reading: Reader, query: TemporalQuery, selection: Selection, now: str) -> None:
        self._reading = reading
        self._now = now
        self._q, self._geo, self._scope = query.entities.q, query.entities.geo, query.entities.scope
        self._window = query.window.bounds if query.window else (None, None)
        self._selection = selection

    async def selected(self, many: Sequence[Candidate]) -> list[Candidate]:
        """The candidates for which the conditions hold and that have an instance that is wanted."""
        if self._q is not None:
            many = await self._by_q(many, self._q)
        if self._geo is not None:
            many = await self._by_place(many, self._geo)
        if self._scope is not None:
            many = await self._by_scope(many, self._scope)
        return await self._present(many)

    async def _present(self, many: Sequence[Candidate]) -> list[Candidate]:
        """Those with an instance that is selected: most often, their first attribute tells."""
        series = [list(one.wanted.items()) for one in many]
        early = await self._answers([one[:1] for one in series])
        late = await self._answers([[] if n in early else one[1:] for n, one in enumerate(series)])
        return [one for n, one in enumerate(many) if n in early or n in late]

    async def _answers(self, questions: Sequence[Sequence[Selected]]) -> set[int]:
        """Which of these selections have an instance, by number."""
        asked = [n for n, question in enumerate(questions) if question]
        found = set()
        for part in parts(asked, _TOGETHER):
            rows = await self._reading.run(windows.probe(questions[n] for n in part), len(part))
            found |= {part[row["_id"]] for row in rows}
        return found

    async def _by_q(self, many: Sequence[Candidate], q: Q) -> list[Candidate]:
        """Those for which the query holds."""
        truths = [dict[Exists | Term, bool]() for _ in many]
        for term in dict.fromkeys(terms(q)):
            found = await self._truths(many, term)
            for n, truth in enumerate(truths):
                truth[term] = n in found
        return [one for one, truth in zip(many, truths, strict=True) if holds(q, truth.__getitem__)]

    async def _truths(self, many: Sequence[Candidate], term: Exists | Term) -> set[int]:
        """Of which of these any instance in the window meets the term, by number."""
        if not term.target.path:
            entities = await self._entities(many, term)
            return {n for n, entity in enumerate(entities) if matches(term, entity)}
        known = _known(many, codec.key(term.target.path[0]), self._selection)
        if term.target.member in _TIMES:  # they are not among the members of stored instances
            return await self._judged(known, lambda one: meets(term, one))
        asked = [(series, replace(base, term=term)) for series, base in known.values()]
        numbers = list(known)
        return {numbers[n] for n in await self._answers([[one] for one in asked])}

    async def _by_place(self, many: Sequence[Candidate], geo: GeoQuery) -> list[Candidate]:
        """Those of which an instance of the GeoProperty in the window is where the geoquery wants it."""
        await asyncio.to_thread(load_geometries)
        known = _known(many, codec.key(geo.property), self._selection)
        found = await self._judged(known, lambda one: is_placed(geo, {geo.property: [one]}))
        return [one for n, one in enumerate(many) if n in found]

    async def _judged(self, asked: dict[int, Selected], holds: Callable[[Instance], bool]) -> set[int]:
        """Of which of these selections something holds for an instance, by number.

        A few instances of each are read together; only where none of those will do, one series after another.
        """
        found = set[int]()
        for part in parts(asked.items(), _TOGETHER):
            number = {series: n for n, (series, _) in part}
            seen = Counter[int]()
            wanted = {series: SeriesRequest(selection, _FEW) for _, (series, selection) in part}
            for series, rows in (await first(self._reading.run, wanted)).items():
                n = number[series]
                seen[n] = len(rows)
                if any(holds(self._reading.instance(row)) for row in rows):
                    found.add(n)
            for n, (series, selection) in part:
                if n not in found and seen[n] == _FEW and await self._any(series, selection, holds):
                    found.add(n)
        return found

    async def _any(self, series: Series, selection: Selection, holds: Callable[[Instance], bool]) -> bool:
        """Whether something holds for any instance that is selected: reads them until it does."""
        rows = self._reading.stream(selection.stages(series))
        async with aclosing(rows):
            async for row in rows:
                if holds(self._reading.instance(row)):
                    return True
        return False

    async def _by_scope(self, many: Sequence[Candidate], query: ScopeQuery) -> list[Candidate]:
        """Those that had matching scopes in the window, with what is of those times (4.18, C.5.16)."""
        kept = []
        changes, low = await self._changes(many), self._window[0]
        for one in many:
            found = valid(changes.get(one.id, ()), query, self._window, one.document.get("createdAt"))
            if found:
                spans = [each.span for each in found]
                one.wanted = {series: part.of_spans(spans) for series, part in one.wanted.items()}
                if low is not None and found[0].since < low:
                    one.scopes = found[0].scopes
                kept.append(one)
        return kept

    async def _changes(self, many: Sequence[Candidate]) -> dict[str, list[Change]]:
        """The changes of entities' scopes up to the end of the window; the first one if all came later."""
        ever = windows.selection(TemporalQuery(Query()), self._now)
        upto = ever.within(None, self._window[1])
        changes = await self._scopes(_known(many, SCOPE, upto), _MOST_SCOPES + 1)
        if any(len(of) > _MOST_SCOPES for of in changes.values()):
            raise TooComplexQuery(f"scopeQ: an entity changed its scopes more than {_MOST_SCOPES} times")
        later = [one for one in many if one.id not in changes]
        return changes | await self._scopes(_known(later, SCOPE, ever), 1)

    async def _scopes(self, asked: dict[int, Selected], most: int) -> dict[str, list[Change]]:
        """The first so many changes of scopes, by entity, of those that are selected."""
        wanted = {series: SeriesRequest(selection, most) for series, selection in asked.values()}
        rows = await first(self._reading.run, wanted)
        return {
            entity: [(row["_id"]["t"], self._reading.instance(row)) for row in many]
            for (entity, _), many in rows.items()
        }

    async def _entities(self, many: Sequence[Candidate], term: Exists | Term) -> list[Entity]:
        """The candidates as entities, with their own times."""
        modified = {}
        if term.target.member == "modifiedAt":
            modified = await self._reading.modified(one.id for one in many)
        found = []
        for one in many:
            created = one.document.get("createdAt", "")
            known = modified.get(one.id, one.document.get("modifiedAt", created))
            found.append({"id": one.id, "createdAt": created, "modifiedAt": known, "attrs": {}})
        return found


def _known(many: Sequence[Candidate], key: str, base: Selection) -> dict[int, Selected]:
    """A selection of the attribute of this key, for each candidate that ever had it, by number."""
    return {
        n: ((one.id, key), one.selection(base, key))
        for n, one in enumerate(many)
        if one.series(key) is not None
    }
