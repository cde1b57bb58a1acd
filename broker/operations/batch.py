"""Batch operations (clauses 5.6.7 to 5.6.10, 5.6.20). Each item succeeds or fails alone (5.5.11)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from broker.core import Json
from broker.core.entity.update import Rule
from broker.core.federation.operations import LADDERS
from broker.core.federation.origin import Origin
from broker.core.federation.write import Write
from broker.core.jsonld.context import Context
from broker.operations.distributed import sources_of
from broker.operations.distributed_batch import Outcome, ReadRule, Task, carried_out, outcome_here
from broker.ports.broker import Broker


@dataclass(frozen=True, slots=True)
class Item:
    """An item: its entity id ("" if that is unreadable), its document and @context, and the rule to apply.

    `rule`: the error of an item that is wrong. `doc`: None for a deletion.
    """

    entity_id: str
    rule: Rule | Exception
    context: Context
    doc: Json = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The items of a batch. `read` makes the rule of a document. `option`: update or noOverwrite, or none."""

    items: Sequence[Item]
    read: ReadRule
    option: str = ""


@dataclass(slots=True)
class BatchResult:
    """5.2.16: ids of the items of which a part succeeded, ids of the entities created among them.

    `errors`: (entity id, error, registration) of each part that failed; None for the part here.
    """

    success: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    errors: list[tuple[str, Exception, str | None]] = field(default_factory=list)


async def batch_create(broker: Broker, origin: Origin, batch: Batch) -> BatchResult:
    """5.6.7 Batch Entity Creation."""
    return await _batch(broker, origin, batch, "createBatch")


async def batch_upsert(broker: Broker, origin: Origin, batch: Batch) -> BatchResult:
    """5.6.8 Batch Entity Creation or Update (Upsert)."""
    return await _batch(broker, origin, batch, "upsertBatch")


async def batch_update(broker: Broker, origin: Origin, batch: Batch) -> BatchResult:
    """5.6.9 Batch Entity Update. NonexistentTenant if nothing was ever written for the tenant."""
    await broker.entities.known(origin.tenant)
    return await _batch(broker, origin, batch, "updateBatch")


async def batch_merge(broker: Broker, origin: Origin, batch: Batch) -> BatchResult:
    """5.6.20 Batch Entity Merge. NonexistentTenant if nothing was ever written for the tenant."""
    await broker.entities.known(origin.tenant)
    return await _batch(broker, origin, batch, "mergeBatch")


async def batch_delete(broker: Broker, origin: Origin, batch: Batch) -> BatchResult:
    """5.6.10 Batch Entity Delete. NonexistentTenant if nothing was ever written for the tenant."""
    await broker.entities.known(origin.tenant)
    return await _batch(broker, origin, batch, "deleteBatch")


async def _batch(broker: Broker, origin: Origin, batch: Batch, operation: str) -> BatchResult:
    """Applies the rules in order, here and at sources. An item that holds an error fails with that error."""
    if await sources_of(broker, origin) is None:
        changes = [
            (item.entity_id, item.rule) for item in batch.items if not isinstance(item.rule, Exception)
        ]
        return _result(batch.items, map(outcome_here, await _change(broker, origin, changes)))
    tasks = [
        Task(_write(item, operation, batch), item.rule)
        for item in batch.items
        if not isinstance(item.rule, Exception)
    ]
    await carried_out(broker, origin, tasks, batch.read, partial(_change, broker, origin))
    return _result(batch.items, (task.outcome() for task in tasks))


async def _change(broker: Broker, origin: Origin, changes: Sequence[tuple[str, Rule]]) -> Sequence[Any]:
    return await broker.entities.change_many(origin.tenant, changes) if changes else []


def _result(items: Sequence[Item], outcomes: Iterator[Outcome]) -> BatchResult:
    """The result of a batch; `outcomes`: those of the items that hold no error, in order."""
    result = BatchResult()
    for item in items:
        if isinstance(item.rule, Exception):
            result.errors.append((item.entity_id, item.rule, None))
            continue
        outcome = next(outcomes)
        result.errors += ((item.entity_id, error, registration) for error, registration in outcome.errors)
        if outcome.is_done:
            result.success.append(item.entity_id)
            if outcome.is_created:
                result.created.append(item.entity_id)
    return result


def _write(item: Item, operation: str, batch: Batch) -> Write:
    ladder = LADDERS.get(f"{operation} {batch.option}", LADDERS[operation])
    params = {"options": batch.option} if batch.option else {}
    return Write(operation, item.entity_id, item.context, item.doc, params, ladder=ladder)
