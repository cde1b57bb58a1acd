"""Conditions on linked entities (clause 4.9): subscriptions that a change triggers only if they hold."""

import logging

from broker.core.linked import Known, judged
from broker.ports.entities import Undecodable
from broker.store.wire import codec, commands
from broker.store.wire.tenants import Tenant
from broker.store.writes.plan import Plan

log = logging.getLogger(__name__)


async def drop_unmet(tenant: Tenant, plan: Plan, now: str) -> None:
    """Removes subscriptions whose conditions do not hold from the entries of a plan.

    Linked entities that the group changes are judged in their new state, others in their stored state. Each
    round reads the linked entities that the conditions met in the round before. Parts of entities that have
    expired at `now` do not count.
    """
    known: Known = {draft.id: draft.entity for draft in plan.drafts.values()}
    unmet, unknown = _judged(plan, known)
    while unknown:
        known |= await _read(tenant, unknown, now)
        unmet, unknown = _judged(plan, known)
    for number in unmet:
        condition = plan.conditions[number]
        condition.entry.subscriptions.discard(condition.triggered.subscription)
    for draft in plan.drafts.values():
        draft.entries = [entry for entry in draft.entries if entry.subscriptions]
        draft.throttled = [
            (entry, due) for entry, due in draft.throttled if due.subscription in entry.subscriptions
        ]


def _judged(plan: Plan, known: Known) -> tuple[list[int], set[str]]:
    """(unmet, unknown): the indexes of conditions that do not hold, and ids of entities to be read first."""
    unmet, unknown = [], set[str]()
    for number, condition in enumerate(plan.conditions):
        assert condition.triggered.condition is not None, "a Condition is made for a condition"
        holds, missing = judged(condition.triggered.condition, condition.entity, known)
        unknown |= missing
        if not holds:
            unmet.append(number)
    return unmet, unknown


async def _read(tenant: Tenant, ids: set[str], now: str) -> Known:
    entities: Known = dict.fromkeys(ids)
    wanted = {"_id": {"$in": list(ids)}, "type": {"$exists": True}}
    for document in await commands.find(tenant.entities, wanted, projection=codec.UNREAD):
        entity_id = document["_id"]
        try:
            entities[entity_id] = codec.decode_alive(document, now)
        except Undecodable:
            log.exception("a condition takes a linked entity for missing", extra={"entity": entity_id})
    return entities
