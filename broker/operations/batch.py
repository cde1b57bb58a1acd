"""Batch operations (clauses 5.6.7 to 5.6.10, 5.6.20). Each item succeeds or fails alone (5.5.11)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.core.entity.update import Rule, UpdateResult
from broker.core.errors import AlreadyExists
from broker.ports.broker import Broker

# (entity id, or "" if it is unreadable; the rule to apply, or the error of an unreadable item)
Item = tuple[str, Rule | Exception]


@dataclass(slots=True)
class BatchResult:
    """5.2.16: ids of the items that succeeded, ids of those created among them, (id, error) of failures."""

    success: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    errors: list[tuple[str, Exception]] = field(default_factory=list)


async def batch_create(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """5.6.7 Batch Entity Creation."""
    return await _batch(broker, tenant, items)


async def batch_upsert(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """5.6.8 Batch Entity Creation or Update (Upsert)."""
    return await _batch(broker, tenant, items)


async def batch_update(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """5.6.9 Batch Entity Update. NonexistentTenant if nothing was ever written for the tenant."""
    await broker.entities.known(tenant)
    return await _batch(broker, tenant, items)


async def batch_merge(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """5.6.20 Batch Entity Merge. NonexistentTenant if nothing was ever written for the tenant."""
    await broker.entities.known(tenant)
    return await _batch(broker, tenant, items)


async def batch_delete(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """5.6.10 Batch Entity Delete. NonexistentTenant if nothing was ever written for the tenant."""
    await broker.entities.known(tenant)
    return await _batch(broker, tenant, items)


async def _batch(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """Applies the rules in order. An item that holds an error fails with that error."""
    changes = [(entity_id, rule) for entity_id, rule in items if not isinstance(rule, Exception)]
    answers = iter(await broker.entities.change_many(tenant, changes) if changes else [])
    result = BatchResult()
    for entity_id, rule in items:
        answer = rule if isinstance(rule, Exception) else next(answers)
        if isinstance(answer, UpdateResult) and answer.not_updated:
            names = ", ".join(name for name, _ in answer.not_updated)
            answer = AlreadyExists(f"{names}: there already, and noOverwrite was asked for")
        if isinstance(answer, Exception):
            result.errors.append((entity_id, answer))
        else:
            result.success.append(entity_id)
            if answer is not False:
                result.created.append(entity_id)
    return result
