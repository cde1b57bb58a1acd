"""Operations that this broker carries out together with context sources (clauses 4.3.6, 5.6, 5.7.1).

Without sources that an operation concerns it costs a look-up more than an operation on this broker alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from broker.core import Entity, Json
from broker.core.entity import expiry
from broker.core.entity.update import Rule, UpdateResult
from broker.core.errors import NgsiLdError, TooComplexQuery
from broker.core.federation.distribution import WritePlan, plan_purge, plan_retrieve, plan_write
from broker.core.federation.matching import Spec, spec_of_entity, spec_of_query
from broker.core.federation.origin import Origin
from broker.core.federation.settle import Settled, of_update, settle
from broker.core.federation.source import Match
from broker.core.federation.step import Reply, asked_attrs
from broker.core.federation.versions import merged, version
from broker.core.federation.via import pseudonyms
from broker.core.federation.warnings import warnings_of
from broker.core.federation.write import Write, attributes
from broker.core.identity import alias
from broker.core.jsonld.context import Context
from broker.core.lang.types import TypeSelection
from broker.core.purge import Purge
from broker.ports.broker import Broker
from broker.ports.sources import Registry

log = logging.getLogger(__name__)

RuleOf = Callable[[Json], Rule]  # makes the rule of a document, or of what is left of it
Commit = Callable[[Rule], Awaitable[UpdateResult | None]]
Here = Callable[[], Awaitable[UpdateResult | None]]  # applies the part of a write that is for this broker
Result = TypeVar("Result")

_unfinished: set[asyncio.Future[Any]] = set()  # the event loop itself would not keep them


async def written(broker: Broker, origin: Origin, write: Write, rule_of: RuleOf, commit: Commit) -> Settled:
    """Carries out a write here and at the sources that it concerns.

    `rule_of` parses the whole document before anybody is asked; BadRequestData if it is wrong. Raises the
    error of the only part, if that fails.
    """
    rule = rule_of(write.doc)
    matches = await matches_of_write(broker, origin, write)
    if not matches:
        return of_update(await commit(rule))
    plan = plan_write(matches, write)
    _check_steps(plan, broker.limits.sources)
    if not plan.is_undivided:
        rule = rule_of(plan.left)
    return await to_its_end(_carry_out(broker, origin, plan, lambda: commit(rule)))


async def purged(broker: Broker, origin: Origin, purge: Purge, context: Context, here: Here) -> Settled:
    """Purges here, which `here` does, and at the sources that the purge concerns."""
    if (registry := await sources_of(broker, origin)) is None:
        return of_update(await here())
    matches = concerned(broker, origin, registry, spec_of_query(purge.query))
    plan = plan_purge(matches, purge, context, as_asked=broker.limits.purges_as_asked)
    _check_steps(plan, broker.limits.sources)
    if not plan.parts:
        return of_update(await here())
    return await to_its_end(_carry_out(broker, origin, plan, here))


def _check_steps(plan: WritePlan, most: int) -> None:
    """TooComplexQuery if a write concerns too many sources: before anything is written anywhere."""
    if len(plan.steps) > most:
        raise TooComplexQuery(f"the operation concerns {len(plan.steps)} context sources, of at most {most}")


async def _carry_out(broker: Broker, origin: Origin, plan: WritePlan, here: Here) -> Settled:
    """Neither the part here nor those at sources wait for each other, and none is undone (5.6.1.4)."""
    result, replies = await asyncio.gather(_here(plan, here), broker.sources.ask(origin, plan.steps))
    return settle(plan, result, replies)


async def _here(plan: WritePlan, here: Here) -> UpdateResult | NgsiLdError | None:
    if not plan.is_here:
        return None
    try:
        return await here()
    except NgsiLdError as error:
        return error


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of work that goes on if the client leaves: it may have begun at a source."""
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_finished)
    return await asyncio.shield(task)


def _finished(task: asyncio.Future[Any]) -> None:
    """Logs an unexpected fault here, since its client may have left; errors are for the client alone."""
    _unfinished.discard(task)
    fault = None if task.cancelled() else task.exception()
    if fault is not None and not isinstance(fault, NgsiLdError):
        log.error("a distributed write failed", exc_info=fault)


async def sources_of(broker: Broker, origin: Origin) -> Registry | None:
    """The sources that may be asked for a request; None if there are none, or none may be asked."""
    return None if origin.is_local else await broker.sources.of(origin.tenant)


def concerned(broker: Broker, origin: Origin, registry: Registry, spec: Spec) -> list[Match]:
    """The sources that a request concerns now, but for those that it came from."""
    return registry.concerned(spec, pseudonyms(origin.via), broker.clock.expiring())


def timed(broker: Broker, origin: Origin) -> Origin:
    """The origin with one deadline for all that its sources are asked, however often."""
    latest = asyncio.get_running_loop().time() + broker.limits.sources_deadline
    return replace(origin, deadline=latest if origin.deadline is None else min(origin.deadline, latest))


async def matches_of_write(broker: Broker, origin: Origin, write: Write) -> list[Match]:
    """The sources that a write concerns, of any mode.

    If it names no types, those that the entity has here count: what is a Building here is no Vehicle (5.12).
    """
    if (registry := await sources_of(broker, origin)) is None:
        return []
    attrs = attributes(write.members)
    matches = concerned(broker, origin, registry, Spec(write.types, (write.entity_id,), attrs=attrs))
    if write.types is not None or not any(match.types for match in matches):
        return matches
    entity = await broker.entities.get(origin.tenant, write.entity_id)
    if entity is None:
        return matches
    return concerned(broker, origin, registry, spec_of_entity(write.entity_id, entity["type"], attrs))


@dataclass(frozen=True, slots=True)
class Retrieved:
    """An entity as this broker and its sources know it; None if nobody has it. `warnings`: of the sources."""

    entity: Entity | None
    warnings: tuple[str, ...]


async def retrieved(
    broker: Broker,
    origin: Origin,
    entity_id: str,
    types: TypeSelection | None,
    attrs: frozenset[str],
    context: Context,
) -> Retrieved | None:
    """5.7.1 Retrieve Entity from here and all sources that it concerns; None if it concerns no source.

    `types`, `attrs` (IRIs): what is asked for; None or empty: any. Undecodable as `EntityStore.get`.
    """
    if (registry := await sources_of(broker, origin)) is None:
        return None
    matches = concerned(broker, origin, registry, Spec(types, (entity_id,), attrs=attrs))
    if not matches:
        return None
    entity = await broker.entities.get(origin.tenant, entity_id)
    if entity is not None and types is None:
        matches = concerned(broker, origin, registry, spec_of_entity(entity_id, entity["type"], attrs))
    replies = await broker.sources.ask(origin, plan_retrieve(matches, entity_id, attrs, context))
    now = broker.clock.expiring()
    found = merged(
        [*([version(entity)] if entity else ()), *_versions(replies, now, is_auxiliary=False)],
        [*_versions(replies, now, is_auxiliary=True)],
    )
    return Retrieved(found, tuple(warnings_of(replies, alias(broker.alias, origin.tenant))))


def _versions(replies: Sequence[Reply], now: str, *, is_auxiliary: bool) -> Iterator[Entity]:
    """The versions of the entity that sources sent, without what has expired or was not asked of them."""
    for reply in replies:
        if (reply.step.match.source.mode == "auxiliary") is is_auxiliary:
            for entity in reply.entities:
                if (living := expiry.alive(asked_attrs(reply.step, entity), now)) is not None:
                    yield version(living)
