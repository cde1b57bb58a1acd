"""Selects the evolutions that meet the conditions of a temporal query (5.7.4.4).

For each term of the query, MongoDB searches the instances in the window of many entities in one round trip,
and returns only whether an entity has one that meets the term. Conditions that MongoDB cannot evaluate on an
instance (times of writes, geoqueries) are evaluated here on the instances; so are the times of scopes.
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

_TOGETHER = 100  # questions (see `windows.probe`) in one round trip
_TIMES = ("createdAt", "modifiedAt")
_FEW = 20  # instances of a series in the first read
_MOST_SCOPES = 1000  # the most changes of an entity's scopes


@dataclass(frozen=True, slots=True)
class Reader:
    """The functions with which the filter reads.

    `run`: the rows of a pipeline, up to a number; `stream`: its rows one by one; `instance`: the instance of
    a row; `modified`: the modifiedAt of entities by id.
    """

    run: Run
    stream: Callable[[Pipeline], AsyncGenerator[Document, None]]
    instance: Callable[[Document], Instance]
    modified: Callable[[Iterable[str]], Awaitable[dict[str, str]]]


class EvolutionFilter:
    """Filters candidates by the conditions of one query."""

    def __init__(self, reader: Reader, query: TemporalQuery, selection: Selection, now: str) -> None:
        self._reader = reader
        self._now = now
        self._q, self._geo, self._scope = query.entities.q, query.entities.geo, query.entities.scope
        self._window = query.window.bounds if query.window else (None, None)
        self._selection = selection

    async def selected(self, many: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that meet the conditions and have an instance in the selections of the query.

        TooComplexQuery if an entity has too many changes of scopes.
        """
        if self._q is not None:
            many = await self._by_q(many, self._q)
        if self._geo is not None:
            many = await self._by_place(many, self._geo)
        if self._scope is not None:
            many = await self._by_scope(many, self._scope)
        return await self._present(many)

    async def _present(self, many: Sequence[Candidate]) -> list[Candidate]:
        """The candidates with a selected instance. Checks the first series first: mostly that is enough."""
        series = [list(candidate.wanted.items()) for candidate in many]
        early = await self._answers([of_one[:1] for of_one in series])
        late = await self._answers([[] if n in early else of_one[1:] for n, of_one in enumerate(series)])
        return [candidate for n, candidate in enumerate(many) if n in early or n in late]

    async def _answers(self, questions: Sequence[Sequence[Selected]]) -> set[int]:
        """The indexes of the questions (lists of series with selections) that have a selected instance."""
        asked = [n for n, question in enumerate(questions) if question]
        answered = set()
        for part in parts(asked, _TOGETHER):
            rows = await self._reader.run(windows.probe(questions[n] for n in part), len(part))
            answered |= {part[row["_id"]] for row in rows}
        return answered

    async def _by_q(self, many: Sequence[Candidate], q: Q) -> list[Candidate]:
        """The candidates for which the `q` holds."""
        truths = [dict[Exists | Term, bool]() for _ in many]
        for term in dict.fromkeys(terms(q)):
            meeting = await self._truths(many, term)
            for n, truth in enumerate(truths):
                truth[term] = n in meeting
        pairs = zip(many, truths, strict=True)
        return [candidate for candidate, truth in pairs if holds(q, truth.__getitem__)]

    async def _truths(self, many: Sequence[Candidate], term: Exists | Term) -> set[int]:
        """The indexes of the candidates of which an instance in the window meets the term."""
        if not term.target.path:
            entities = await self._entities(many, term)
            return {n for n, entity in enumerate(entities) if matches(term, entity)}
        known = _known(many, codec.key(term.target.path[0]), self._selection)
        if term.target.member in _TIMES:  # they are not among the members of stored instances
            return await self._judged(known, lambda instance: meets(term, instance))
        asked = [(series, replace(base, term=term)) for series, base in known.values()]
        numbers = list(known)
        return {numbers[n] for n in await self._answers([[question] for question in asked])}

    async def _by_place(self, many: Sequence[Candidate], geo: GeoQuery) -> list[Candidate]:
        """The candidates of which an instance of the GeoProperty in the window meets the geoquery."""
        await asyncio.to_thread(load_geometries)
        known = _known(many, codec.key(geo.property), self._selection)
        placed = await self._judged(known, lambda instance: is_placed(geo, {geo.property: [instance]}))
        return [candidate for n, candidate in enumerate(many) if n in placed]

    async def _judged(self, asked: dict[int, Selected], holds: Callable[[Instance], bool]) -> set[int]:
        """The numbers of the selections that have an instance for which `holds` is true.

        Reads the first instances of all series together; then the rest of each series that needs it.
        """
        meeting = set[int]()
        for part in parts(asked.items(), _TOGETHER):
            number = {series: n for n, (series, _) in part}
            seen = Counter[int]()
            wanted = {series: SeriesRequest(selection, _FEW) for _, (series, selection) in part}
            for series, rows in (await first(self._reader.run, wanted)).items():
                n = number[series]
                seen[n] = len(rows)
                if any(holds(self._reader.instance(row)) for row in rows):
                    meeting.add(n)
            for n, (series, selection) in part:
                if n not in meeting and seen[n] == _FEW and await self._any(series, selection, holds):
                    meeting.add(n)
        return meeting

    async def _any(self, series: Series, selection: Selection, holds: Callable[[Instance], bool]) -> bool:
        """Whether `holds` is true for a selected instance of a series. Reads instances until it is."""
        rows = self._reader.stream(selection.stages(series))
        async with aclosing(rows):
            async for row in rows:
                if holds(self._reader.instance(row)):
                    return True
        return False

    async def _by_scope(self, many: Sequence[Candidate], query: ScopeQuery) -> list[Candidate]:
        """The candidates with matching scopes in the window, limited to those times (4.18, C.5.16)."""
        kept = []
        changes, low = await self._changes(many), self._window[0]
        for candidate in many:
            validities = valid(
                changes.get(candidate.id, ()), query, self._window, candidate.document.get("createdAt")
            )
            if validities:
                spans = [validity.span for validity in validities]
                candidate.wanted = {series: part.of_spans(spans) for series, part in candidate.wanted.items()}
                if low is not None and validities[0].since < low:
                    candidate.scopes = validities[0].scopes
                kept.append(candidate)
        return kept

    async def _changes(self, many: Sequence[Candidate]) -> dict[str, list[Change]]:
        """The changes of scopes, by entity, up to the end of the window; only the first if all are later."""
        ever = windows.selection(TemporalQuery(Query()), self._now)
        upto = ever.within(None, self._window[1])
        changes = await self._scopes(_known(many, SCOPE, upto), _MOST_SCOPES + 1)
        if any(len(of) > _MOST_SCOPES for of in changes.values()):
            raise TooComplexQuery(f"scopeQ: an entity changed its scopes more than {_MOST_SCOPES} times")
        later = [candidate for candidate in many if candidate.id not in changes]
        return changes | await self._scopes(_known(later, SCOPE, ever), 1)

    async def _scopes(self, asked: dict[int, Selected], most: int) -> dict[str, list[Change]]:
        """The first `most` selected changes of scopes, by entity."""
        wanted = {series: SeriesRequest(selection, most) for series, selection in asked.values()}
        rows = await first(self._reader.run, wanted)
        return {
            entity: [(row["_id"]["t"], self._reader.instance(row)) for row in many]
            for (entity, _), many in rows.items()
        }

    async def _entities(self, many: Sequence[Candidate], term: Exists | Term) -> list[Entity]:
        """The candidates as entities without attributes, with their createdAt and modifiedAt."""
        modified = {}
        if term.target.member == "modifiedAt":
            modified = await self._reader.modified(candidate.id for candidate in many)
        entities = []
        for candidate in many:
            created = candidate.document.get("createdAt", "")
            known = modified.get(candidate.id, candidate.document.get("modifiedAt", created))
            entities.append({"id": candidate.id, "createdAt": created, "modifiedAt": known, "attrs": {}})
        return entities


def _known(many: Sequence[Candidate], key: str, base: Selection) -> dict[int, Selected]:
    """The selection of the attribute with this key, for each candidate that ever had it, by its index."""
    return {
        n: ((candidate.id, key), candidate.selection(base, key))
        for n, candidate in enumerate(many)
        if candidate.series(key) is not None
    }
