"""Plans of distributed operations: what is left for this broker, and what each source is asked.

What an exclusive registration covers goes to its source alone. What redirects cover of the rest goes to each
of them, and what is left then is applied here and sent to inclusive sources (4.3.6.2, 4.3.6.3, 5.6.1.4 to
5.6.6.4, 5.6.17.4 to 5.6.19.4).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from broker.core import Json
from broker.core.federation.narrow import narrowed, wanted_attrs
from broker.core.federation.source import Match
from broker.core.federation.step import Step
from broker.core.federation.write import Write
from broker.core.jsonld.context import Context
from broker.core.lang.types import any_of
from broker.core.purge import Purge
from broker.core.query import Query

# Always applied here, too, and wherever a part of the entity is (5.6.6.4, 5.6.10.4).
_EVERYWHERE = ("deleteEntity", "deleteBatch")


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a write that one source covers. `attrs`: its attributes (IRIs), and scope or expiresAt.

    `step` is None if the source does not support the operation: then the part fails with Conflict.
    """

    match: Match
    attrs: tuple[str, ...]
    step: Step | None

    @property
    def is_proxied(self) -> bool:
        """Whether its data is at the source, and not here."""
        return self.match.source.is_proxied


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The parts of a write. `is_here`: whether something is applied here, namely the document `left`.

    `attrs`: its attributes (IRIs), and scope or expiresAt.
    """

    parts: tuple[Part, ...]
    is_here: bool
    left: Json
    attrs: tuple[str, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of all parts that have one, in order."""
        return tuple(part.step for part in self.parts if part.step is not None)

    @property
    def has_proxied(self) -> bool:
        """Whether the data of a part is at its source, and not here."""
        return any(part.is_proxied for part in self.parts)

    @property
    def is_undivided(self) -> bool:
        """Whether what is applied here is the whole document, or there is none."""
        return self.left is None or not self.has_proxied


def plan_write(matches: Sequence[Match], write: Write) -> WritePlan:
    """The plan of a write. `matches`: all sources that it concerns, of any mode."""
    members = write.members
    is_whole = not members  # a deletion, or an entity without attributes: whoever has the entity gets it
    exclusive, left = _parts(write, _of(matches, "exclusive"), members, is_whole=is_whole)
    redirected, rest = _parts(write, _of(matches, "redirect"), left, is_whole=is_whole)
    included, _ = _parts(write, _of(matches, "inclusive"), rest, is_whole=is_whole)
    proxied = exclusive + redirected
    is_here = bool(rest) or not proxied or write.operation in _EVERYWHERE
    parts = (*proxied, *(part for part in included if part.step is not None))
    return WritePlan(parts, is_here, write.part(rest), tuple(rest.values()))


def _of(matches: Iterable[Match], mode: str) -> list[Match]:
    return [match for match in matches if match.source.mode == mode]


def _parts(
    write: Write, matches: Sequence[Match], members: Mapping[str, str], *, is_whole: bool
) -> tuple[list[Part], dict[str, str]]:
    """The parts of sources of one mode, and the members that none of them covers."""
    covered = [(match, _covered(match, members)) for match in matches]
    parts = [
        _part(write, match, mine) for match, mine in covered if mine or (is_whole and _has_all(write, match))
    ]
    taken = {name for _, mine in covered for name in mine}
    return parts, {name: iri for name, iri in members.items() if name not in taken}


def _has_all(write: Write, match: Match) -> bool:
    """Whether a write of a whole entity goes to a source: a deletion does even if it has only attributes."""
    return match.attrs is None or write.operation in _EVERYWHERE


def _covered(match: Match, members: Mapping[str, str]) -> dict[str, str]:
    attrs = match.attrs
    return {name: iri for name, iri in members.items() if attrs is None or iri in attrs}


def _part(write: Write, match: Match, members: Mapping[str, str]) -> Part:
    step = None
    if (operation := match.first_of(write.ladder or (write.operation,))) is not None:
        step = Step(
            match,
            operation,
            write.context,
            write.entity_id,
            write.attr,
            write.part(members),
            write.params,
        )
    return Part(match, tuple(members.values()), step)


# Operations by which an entity is read at a source; the first one that it supports is used (4.20).
_READS = ("retrieveEntity", "queryEntity", "queryBatch")


def plan_retrieve(
    matches: Iterable[Match], entity_id: str, attrs: frozenset[str], context: Context
) -> tuple[Step, ...]:
    """The steps that read one entity, each narrowed to what is registered (4.3.6.1).

    `attrs`: the attributes (IRIs) that are wanted; none for all.
    """
    steps = []
    for match in matches:
        if (read := match.first_of(_READS)) is not None:
            steps.append(_read(match, read, entity_id, wanted_attrs(match, attrs), context))
    return tuple(steps)


def _read(match: Match, operation: str, entity_id: str, attrs: tuple[str, ...], context: Context) -> Step:
    if operation == "retrieveEntity":
        return Step(match, operation, context, entity_id, query=Query(attrs=attrs))
    types = any_of(match.types) if match.types else None
    query = Query(types, (entity_id,), attrs=attrs, limit=1)
    return Step(match, operation, context, query=query)


def plan_purge(
    matches: Iterable[Match], purge: Purge, context: Context, *, as_asked: bool = False
) -> WritePlan:
    """The plan of a purge (5.6.21.4), which is always carried out here, too.

    `as_asked`: sources are sent the purge as wide as it came, though less is registered.
    """
    make = _purge_as_asked if as_asked else _purge
    parts = [Part(match, (), make(match, purge, context)) for match in matches if _loses(match, purge)]
    shown = (part for part in parts if part.step is not None or part.is_proxied)
    return WritePlan(tuple(shown), is_here=True, left=None, attrs=())


def _loses(match: Match, purge: Purge) -> bool:
    """Whether a source has something that the purge deletes; auxiliary sources are never written to."""
    attrs = match.attrs
    return match.source.mode != "auxiliary" and (attrs is None or any(map(purge.deletes, attrs)))


def _purge(match: Match, purge: Purge, context: Context) -> Step | None:
    """The step of a purge; where only attributes are registered, only these are deleted."""
    if (attrs := match.attrs) is not None:
        purge = replace(purge, drop=frozenset(filter(purge.deletes, attrs)), keep=None)
    query = replace(narrowed(purge.query, match), attrs=purge.query.attrs)  # a condition, and no projection
    return _purge_as_asked(match, replace(purge, query=query), context)


def _purge_as_asked(match: Match, purge: Purge, context: Context) -> Step | None:
    if match.first_of(("purgeEntity",)) is None:
        return None
    listed = {"drop": purge.drop, "keep": purge.keep}
    params = {
        name: ",".join(sorted(map(context.compact, iris)))
        for name, iris in listed.items()
        if iris is not None
    }
    return Step(match, "purgeEntity", context, params=params, query=purge.query)


_QUERIES = ("queryEntity", "queryBatch")


def plan_query(matches: Iterable[Match], query: Query, context: Context) -> tuple[Step, ...]:
    """The steps of a query, each narrowed to what is registered (4.3.6.1); `query.limit` is that of each."""
    steps = []
    for match in matches:
        if (read := match.first_of(_QUERIES)) is not None:
            steps.append(Step(match, read, context, query=narrowed(query, match)))
    return tuple(steps)
