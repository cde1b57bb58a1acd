"""Dead letters of subscriptions, and why an entity does not notify (an extension of the specification)."""

from broker.core import Entity
from broker.core.errors import ResourceNotFound
from broker.core.explain import stopped_by
from broker.core.lang.terms import Q
from broker.core.linked import Known, judged
from broker.core.trigger import trigger
from broker.operations.subscriptions import retrieve_subscription
from broker.ports.broker import Broker
from broker.ports.entities import Page
from broker.ports.subscriptions import DeadLetter


async def query_deliveries(
    broker: Broker, tenant: str, subscription_id: str, limit: int, offset: int, *, counted: bool
) -> tuple[Page[DeadLetter], int | None]:
    """Dead letters of a subscription: (one page, the full count if `counted`).

    ResourceNotFound if there is no such subscription.
    """
    await retrieve_subscription(broker, tenant, subscription_id)
    count = await broker.dead_letters.count(tenant, subscription_id) if counted else None
    letters = await broker.dead_letters.find(tenant, subscription_id, limit + 1, offset) if limit else []
    return Page(letters[:limit], len(letters) > limit), count


async def replay_deliveries(broker: Broker, tenant: str, subscription_id: str, letter_id: str | None) -> int:
    """Sends one dead letter again, or all (None); returns their number. ResourceNotFound if there is none."""
    await retrieve_subscription(broker, tenant, subscription_id)
    return _checked(await broker.dead_letters.replay(tenant, subscription_id, letter_id), letter_id)


async def delete_deliveries(broker: Broker, tenant: str, subscription_id: str, letter_id: str | None) -> int:
    """Deletes one dead letter, or all (None); returns their number. ResourceNotFound if there is none."""
    await retrieve_subscription(broker, tenant, subscription_id)
    return _checked(await broker.dead_letters.delete(tenant, subscription_id, letter_id), letter_id)


async def explain_subscription(
    broker: Broker, tenant: str, subscription_id: str, entity_id: str
) -> str | None:
    """The member of a subscription because of which an entity does not notify; None if it would notify.

    ResourceNotFound if there is no such subscription or entity.
    """
    subscription, _ = await retrieve_subscription(broker, tenant, subscription_id)
    entity = await broker.entities.get(tenant, entity_id)
    if entity is None:
        raise ResourceNotFound(f"there is no entity {entity_id}")
    last = await broker.subscriptions.last_due(tenant, subscription_id)
    holds = await _holds(broker, tenant, trigger(subscription).condition, entity)
    now, server = broker.clock.present(), broker.clock.server()
    return stopped_by(subscription, entity, last, now, server, holds=holds)


async def _holds(broker: Broker, tenant: str, condition: Q | None, entity: Entity) -> bool:
    """Whether a condition on linked entities holds for the stored state."""
    known: Known = {}
    holds, unknown = (True, set[str]()) if condition is None else judged(condition, entity, known)
    while condition is not None and unknown:
        for linked_id in unknown:
            known[linked_id] = await broker.entities.get(tenant, linked_id)
        holds, unknown = judged(condition, entity, known)
    return holds


def _checked(count: int, letter_id: str | None) -> int:
    if letter_id is not None and not count:
        raise ResourceNotFound(f"there is no undelivered notification {letter_id}")
    return count
