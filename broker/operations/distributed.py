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
from broker.core.federation.matching import Spec, spec_of_query
from broker.core.federation.narrow import of_types
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
from broker.core.purge import Purge
from broker.ports.broker import Broker

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
    return await to_its_end(_carry_out(broker, origin, plan, lambda: commit(rule_of(plan.left))))


async def purged(broker: Broker, origin: Origin, purge: Purge, context: Context, here: Here) -> Settled:
    """Purges here, which `here` does, and at the sources that the purge concerns."""
    if origin.is_local or (registry := await broker.sources.of(origin.tenant)) is None:
        return of_update(await here())
    spec = spec_of_query(purge.query)
    matches = registry.concerned(spec, pseudonyms(origin.via), broker.clock.expiring())
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


async def matches_of_write(broker: Broker, origin: Origin, write: Write) -> list[Match]:
    """The sources that a write concerns, of any mode."""
    if origin.is_local or (registry := await broker.sources.of(origin.tenant)) is None:
        return []
    spec = Spec(write.types, (write.entity_id,), attrs=attributes(write.members))
    brokers, now = pseudonyms(origin.via), broker.clock.expiring()
    matches = registry.concerned(spec, brokers, now)
    if spec.types is None and any(match.types for match in matches):
        spec = _of_its_types(spec, await broker.entities.get(origin.tenant, write.entity_id))
        return registry.concerned(spec, brokers, now)
    return matches


def _of_its_types(spec: Spec, entity: Entity | None) -> Spec:
    """The spec with the types that the entity has here: what is a Building is no Vehicle elsewhere (5.12)."""
    if entity is None or spec.types is not None:
        return spec
    return replace(spec, types=of_types(entity["type"]))


@dataclass(frozen=True, slots=True)
class Retrieved:
    """An entity as this broker and its sources know it; None if nobody has it. `warnings`: of the sources."""

    entity: Entity | None
    warnings: tuple[str, ...]


async def retrieved(
    broker: Broker, origin: Origin, entity_id: str, spec: Spec, context: Context
) -> Retrieved | None:
    """5.7.1 Retrieve Entity from here and all sources that it concerns; None if it concerns no source.

    `spec`: the id, and the types and attributes asked for. Undecodable as `EntityStore.get`.
    """
    if origin.is_local or (registry := await broker.sources.of(origin.tenant)) is None:
        return None
    brokers, now = pseudonyms(origin.via), broker.clock.expiring()
    if not registry.concerned(spec, brokers, now):
        return None
    entity = await broker.entities.get(origin.tenant, entity_id)
    matches = registry.concerned(_of_its_types(spec, entity), brokers, now)
    replies = await broker.sources.ask(origin, plan_retrieve(matches, entity_id, spec.attrs, context))
    found = merged(
        [*([version(entity)] if entity else ()), *_versions(replies, entity_id, now, is_auxiliary=False)],
        [*_versions(replies, entity_id, now, is_auxiliary=True)],
    )
    return Retrieved(found, tuple(warnings_of(replies, alias(broker.alias, origin.tenant))))


def _versions(replies: Sequence[Reply], entity_id: str, now: str, *, is_auxiliary: bool) -> Iterator[Entity]:
    """The versions of an entity that sources sent, without what has expired or was not asked of them."""
    for reply in replies:
        if (reply.step.match.source.mode == "auxiliary") is not is_auxiliary:
            continue
        for entity in reply.entities:
            if entity["id"] == entity_id and (living := expiry.alive(asked_attrs(reply.step, entity), now)):
                yield version(living)
