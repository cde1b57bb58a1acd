"""5.7.2 Query Entities over this broker and the context sources that the query concerns.

Sources and this broker are read side by side, in rounds, until the ids of one page are final.
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from broker.core import Entity
from broker.core.entity import expiry
from broker.core.errors import BadRequestData, TooManyResults
from broker.core.federation.distribution import plan_query
from broker.core.federation.matching import Spec, spec_of_query
from broker.core.federation.origin import Origin
from broker.core.federation.source_stream import Stream, fence
from broker.core.federation.step import Reply, Step, asked_attrs
from broker.core.federation.versions import merged, version
from broker.core.federation.warnings import warnings_of
from broker.core.identity import alias
from broker.core.jsonld.context import Context
from broker.core.lang import pattern, types
from broker.core.query import Query
from broker.core.split_query import meets, without_conditions
from broker.operations.distributed import concerned, sources_of, timed
from broker.ports.broker import Broker
from broker.ports.entities import Page, Undecodable

_ANY: frozenset[str] = frozenset()
_MOST_AT_ONCE = 1000  # entities of a page, of a source or of this broker
_MOST = 100_000  # entities that one query may read


@dataclass(frozen=True, slots=True)
class Queried:
    """A page of merged entities, the full count if it is asked for, and warnings of sources."""

    page: Page[Entity]
    count: int | None
    warnings: tuple[str, ...]


async def queried(broker: Broker, origin: Origin, query: Query, context: Context) -> Queried | None:
    """A page of entities from here and from all sources that the query concerns; None if it concerns none.

    BadRequestData if an order is asked for, since no source is ordered by it. TooManyResults if the sources
    have more than 100,000 entities that had to be read.
    """
    if (registry := await sources_of(broker, origin)) is None:
        return None
    if query.types is not None and query.types.is_anything:  # `*` selects what is here (4.17)
        return None
    sent = without_conditions(query) if query.is_split else query
    steps = plan_query(concerned(broker, origin, registry, _spec(query)), sent, context)
    if not steps:
        return None
    if query.order is not None:
        raise BadRequestData("orderBy: expected only where no context source is concerned, or local=true")
    streams = [Stream(step) for step in steps]
    return await _Gathering(broker, timed(broker, origin), query, sent, streams).page()


def _spec(query: Query) -> Spec:
    """What a query concerns. A part that meets none of the conditions may be of an entity that does."""
    spec = spec_of_query(query)
    if not query.is_split:
        return spec
    return replace(spec, geo=None, scope=None, attrs=spec.attrs if query.attrs or query.picked else _ANY)


@dataclass(slots=True)
class _Found:
    """The versions of one entity."""

    known: list[Entity] = field(default_factory=list)
    auxiliary: list[Entity] = field(default_factory=list)
    is_here: bool = False
    is_partial: bool = False  # whether a source was asked for some of its attributes only


class _Gathering:
    """The entities of a query as they are found, here and at sources. `sent`: what each of them is asked."""

    def __init__(
        self, broker: Broker, origin: Origin, query: Query, sent: Query, streams: list[Stream]
    ) -> None:
        self._broker, self._origin, self._query, self._sent = broker, origin, query, sent
        self._streams = streams
        self._selected: dict[str, bool] = {}  # of split entities, once all parts are found
        self._found: dict[str, _Found] = {}
        self._start = "" if query.count else query.after or ""  # a count is of all pages
        self._is_here_complete = False
        self._last_here = self._start
        self._warnings: list[str] = []

    async def page(self) -> Queried:
        """Reads until the page is final."""
        query = self._query
        begin = 0 if query.after else query.offset  # a cursor wins: the offset only numbers the page
        end = begin + query.limit
        ids = await self._ids(end + 1)
        chosen = ids[begin:end]
        await self._complete(chosen)
        more = len(ids) > end
        page = Page([*map(self._merged, chosen)], more, chosen[-1] if more and chosen else None)
        count = sum(map(self._is_selected, self._found)) if query.count else None  # then, all is read
        return Queried(page, count, tuple(self._warnings))

    async def _ids(self, wanted: int) -> list[str]:
        """The ids of this page and those behind it that are final: as many as are wanted, or all."""
        begin = self._query.after or ""
        while True:
            await self._round(min(wanted, _MOST_AT_ONCE))
            last = self._fence()
            final = (one for one in self._found if one > begin and (last is None or one <= last))
            ids = sorted(filter(self._is_selected, final))
            if last is None or (len(ids) >= wanted and not self._query.count):
                return ids
            if len(self._found) > _MOST:
                raise TooManyResults(f"query: context sources have more than {_MOST} entities for it")

    def _fence(self) -> str | None:
        """The greatest id up to which all is known, here and at the sources; None if all is."""
        lasts = [] if self._is_here_complete else [self._last_here]
        if (elsewhere := fence(self._streams)) is not None:
            lasts.append(elsewhere)
        return min(lasts, default=None)

    async def _round(self, limit: int) -> None:
        """Reads one page more of everything that is not complete."""
        numbers = [n for n, stream in enumerate(self._streams) if not stream.is_complete]
        steps = [self._streams[n].next_step(limit, self._start) for n in numbers]
        _, replies = await asyncio.gather(
            self._more_here(limit), self._broker.sources.ask(self._origin, steps)
        )
        for n, reply in zip(numbers, replies, strict=True):
            self._streams[n] = self._streams[n].taken(reply)
            self._take(reply)
        self._warnings += warnings_of(replies, alias(self._broker.alias, self._origin.tenant))

    async def _more_here(self, limit: int) -> None:
        if self._is_here_complete:
            return
        query = replace(self._sent, limit=limit, offset=0, count=False, after=self._last_here or None)
        page = await self._broker.entities.find(self._origin.tenant, query)
        for entity in page.items:
            found = self._found.setdefault(entity["id"], _Found())
            found.known.append(version(entity))
            found.is_here = True
        self._last_here = page.after or max([self._last_here, *(entity["id"] for entity in page.items)])
        self._is_here_complete = not page.more

    def _take(self, reply: Reply) -> None:
        source = reply.step.match.source
        for entity in _asked(reply, self._broker.clock.expiring()):
            found = self._found.setdefault(entity["id"], _Found())
            versions = found.auxiliary if source.mode == "auxiliary" else found.known
            versions.append(version(entity))
            found.is_partial |= reply.step.match.attrs is not None

    async def _complete(self, ids: Iterable[str]) -> None:
        """Adds what is here of entities of which sources sent a part, though the query did not select it."""
        missing = [one for one in ids if self._found[one].is_partial and not self._found[one].is_here]
        for entity in await asyncio.gather(*map(self._get, missing)):
            if entity is not None:
                self._found[entity["id"]].known.append(version(entity))

    async def _get(self, entity_id: str) -> Entity | None:
        try:
            return await self._broker.entities.get(self._origin.tenant, entity_id)
        except Undecodable:
            return None

    def _is_selected(self, entity_id: str) -> bool:
        """Whether an entity meets the conditions that no source and nobody here was asked."""
        if not self._query.is_split:
            return True
        if entity_id not in self._selected:
            self._selected[entity_id] = meets(self._query, self._merged(entity_id))
        return self._selected[entity_id]

    def _merged(self, entity_id: str) -> Entity:
        found = self._found[entity_id]
        entity = merged(found.known, found.auxiliary)
        assert entity is not None, "it was found in at least one version"
        return entity


def _asked(reply: Reply, now: str) -> Iterator[Entity]:
    """The entities of a reply that its source was asked for, without what has expired."""
    for entity in reply.entities:
        if _is_asked(reply.step, entity) and (living := expiry.alive(entity, now)) is not None:
            yield asked_attrs(reply.step, living)


def _is_asked(step: Step, entity: Entity) -> bool:
    query = step.query
    assert query is not None
    if query.id_pattern is not None and not pattern.compile(query.id_pattern).search(entity["id"]):
        return False
    return query.types is None or types.matches(query.types, entity["type"])
