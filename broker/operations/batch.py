"""Batch operations (clauses 5.6.7, 5.6.8, 5.6.10): every item has an outcome of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.core import Entity
from broker.core.entity import update
from broker.core.entity.update import Rule
from broker.ports import Broker

Item = tuple[
    str, Entity | Exception
]  # an id as far as it could be read, and the entity or what is wrong with it


@dataclass(slots=True)
class BatchResult:
    """5.2.16: ids that succeeded, of these the ones created, and (id, error) of those that failed."""

    success: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    errors: list[tuple[str, Exception]] = field(default_factory=list)


async def batch_create(broker: Broker, tenant: str, items: Sequence[Item]) -> BatchResult:
    """5.6.7 Batch Entity Creation."""
    return await _batch(
        broker, tenant, [(one, e if isinstance(e, Exception) else update.create(e)) for one, e in items]
    )


async def batch_upsert(
    broker: Broker, tenant: str, items: Sequence[Item], *, only_update: bool
) -> BatchResult:
    """5.6.8 Batch Entity Creation or Update (Upsert): existing ones are replaced, or updated."""
    rules = [
        (one, e if isinstance(e, Exception) else update.upsert(e, update=only_update)) for one, e in items
    ]
    return await _batch(broker, tenant, rules)


async def batch_delete(
    broker: Broker, tenant: str, ids: Sequence[tuple[str, Exception | None]]
) -> BatchResult:
    """5.6.10 Batch Entity Delete."""
    await broker.entities.known(tenant)
    return await _batch(broker, tenant, [(one, wrong or update.delete(one)) for one, wrong in ids])


async def _batch(broker: Broker, tenant: str, rules: Sequence[tuple[str, Rule | Exception]]) -> BatchResult:
    """Applies the rules in order; those that are errors already fail without it."""
    changes = [(one, rule) for one, rule in rules if not isinstance(rule, Exception)]
    answers = iter(await broker.entities.change_many(tenant, changes) if changes else [])
    result = BatchResult()
    for one, rule in rules:
        answer = rule if isinstance(rule, Exception) else next(answers)
        if isinstance(answer, Exception):
            result.errors.append((one, answer))
        else:
            result.success.append(one)
            if answer is not False:
                result.created.append(one)
    return result
