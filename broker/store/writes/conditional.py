"""Conditions on linked entities (clause 4.9), by which it hangs whether a change is due to a subscription."""

import logging

from broker.core.linked import Known, judged
from broker.ports.entities import Undecodable
from broker.store.wire import codec, commands
from broker.store.wire.tenants import Tenant
from broker.store.writes.plan import Plan

log = logging.getLogger(__name__)


async def drop_unmet(tenant: Tenant, plan: Plan, now: str) -> None:
    """Leaves out of what is due what has a condition that does not hold for the entities as they will be.

    Those that the group changes count as it leaves them; others as they are just before it is written. Each
    round reads all that the conditions came upon in the one before. `now` tells what has expired.
    """
    known: Known = {draft.id: draft.entity for draft in plan.drafts.values()}
    unmet, unknown = _judged(plan, known)
    while unknown:
        known |= await _read(tenant, unknown, now)
        unmet, unknown = _judged(plan, known)
    for number in unmet:
        condition = plan.conditions[number]
        condition.entry.subscriptions.discard(condition.due.subscription)
    for draft in plan.drafts.values():
        draft.entries = [entry for entry in draft.entries if entry.subscriptions]
        draft.throttled = [
            (entry, due) for entry, due in draft.throttled if due.subscription in entry.subscriptions
        ]


def _judged(plan: Plan, known: Known) -> tuple[list[int], set[str]]:
    """The numbers of the conditions that do not hold, and the ids of entities that have to be known first."""
    unmet, unknown = [], set[str]()
    for number, condition in enumerate(plan.conditions):
        assert condition.due.condition is not None, "it is here for its condition"
        holds, missing = judged(condition.due.condition, condition.entity, known)
        unknown |= missing
        if not holds:
            unmet.append(number)
    return unmet, unknown


async def _read(tenant: Tenant, ids: set[str], now: str) -> Known:
    found: Known = dict.fromkeys(ids)
    wanted = {"_id": {"$in": list(ids)}, "type": {"$exists": True}}
    for document in await commands.find(tenant.entities, wanted, projection=codec.UNREAD):
        entity_id = document["_id"]
        try:
            found[entity_id] = codec.decode_alive(document, now)
        except Undecodable:
            log.exception("a condition takes a linked entity for missing", extra={"entity": entity_id})
    return found
