"""Conditions on linked entities (clause 4.9), by which it hangs whether a change is due to a subscription."""

import logging

from pymongo.asynchronous.client_session import AsyncClientSession

from broker.core.linked import Known, judged
from broker.ports.entities import Undecodable
from broker.store import codec, commands
from broker.store.plan import Plan
from broker.store.tenants import Tenant

log = logging.getLogger(__name__)


async def drop_unmet(session: AsyncClientSession, tenant: Tenant, plan: Plan, now: str) -> None:
    """Leaves out of what is due what has a condition that does not hold for entities in the transaction.

    Each round reads all that the conditions came upon in the one before.
    """
    known: Known = {}
    unmet, unknown = _judged(plan, known)
    while unknown:
        known |= await _read(session, tenant, unknown, now)
        unmet, unknown = _judged(plan, known)
    for number in unmet:
        entry, due, _ = plan.conditions[number]
        entry.due.discard(due.subscription)
    plan.dues = [(entry, due) for entry, due in plan.dues if due.subscription in entry.due]


def _judged(plan: Plan, known: Known) -> tuple[list[int], set[str]]:
    """Which conditions do not hold, and which entities have to be known to tell."""
    unmet, unknown = [], set[str]()
    for number, (_, due, entity) in enumerate(plan.conditions):
        assert due.condition is not None, "it is here for its condition"
        holds, missing = judged(due.condition, entity, known)
        unknown |= missing
        if not holds:
            unmet.append(number)
    return unmet, unknown


async def _read(session: AsyncClientSession, tenant: Tenant, ids: set[str], now: str) -> Known:
    found: Known = dict.fromkeys(ids)
    for document in await commands.find(tenant.entities, {"_id": {"$in": list(ids)}}, session):
        entity_id = document["_id"]
        try:
            found[entity_id] = codec.decode_alive(document, now)
        except Undecodable:
            log.exception("a condition takes a linked entity for missing", extra={"entity": entity_id})
    return found
