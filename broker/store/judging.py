"""Which evolutions a query's conditions select (5.7.4.4).

Each term of the query is asked of the instances in the window, of many entities in one round trip: MongoDB
looks for the first that meets it, and only whether there is one comes back. What MongoDB can't tell of an
instance, the time of its write, is read and judged here.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from broker.core import Entity, Instance
from broker.core.lang.match import matches
from broker.core.lang.terms import Exists, Q, Term
from broker.core.temporal import TemporalQuery
from broker.core.temporal.judgement import holds, meets, terms
from broker.store import codec, windows
from broker.store.catalogue import Candidate
from broker.store.windows import Document, Pipeline, Selected, Selection, Series

_TOGETHER = 100  # questions in one round trip
_TIMES = ("createdAt", "modifiedAt")


@dataclass(frozen=True, slots=True)
class Reading:
    """How the judge reads: the rows of a pipeline (at most so many), rows one by one, instances of rows."""

    run: Callable[[Pipeline, int], Awaitable[list[Document]]]
    stream: Callable[[Pipeline], AsyncGenerator[Document, None]]
    instance: Callable[[Document], Instance]
    modified: Callable[[Iterable[str]], Awaitable[dict[str, str]]]


class Judge:
    """Judges candidates by the conditions of one query."""

    def __init__(self, reading: Reading, query: TemporalQuery, selection: Selection) -> None:
        self._reading = reading
        self._q = query.entities.q
        self._selection = selection

    async def selected(self, many: Sequence[Candidate]) -> list[Candidate]:
        """The candidates for which the conditions hold and that have an instance that is wanted."""
        if self._q is not None:
            many = await self._by_q(many, self._q)
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
        for start in range(0, len(asked), _TOGETHER):
            part = asked[start : start + _TOGETHER]
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
        key = codec.key(term.target.path[0])
        known = [
            (n, (one.id, key), one.selection(self._selection, key))
            for n, one in enumerate(many)
            if one.series(key)
        ]
        if term.target.member in _TIMES:  # they are not among the members of stored instances
            return {n for n, one, base in known if await self._meets(one, base, term)}
        found = await self._answers([[(one, replace(base, term=term))] for _, one, base in known])
        return {known[n][0] for n in found}

    async def _meets(self, series: Series, selection: Selection, term: Exists | Term) -> bool:
        """Whether any instance in the window meets a term: reads them until one does."""
        rows = self._reading.stream(selection.stages(series))
        async with aclosing(rows):
            async for row in rows:
                if meets(term, self._reading.instance(row)):
                    return True
        return False

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
