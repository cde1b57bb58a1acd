"""Operations on subscriptions (clauses 5.8.1 to 5.8.5)."""

from collections.abc import Callable
from dataclasses import replace

from broker.core.errors import ResourceNotFound
from broker.core.subscription import Subscription
from broker.ports.broker import Broker
from broker.ports.changes import Tally


async def create_subscription(broker: Broker, tenant: str, subscription: Subscription, root: str) -> None:
    """5.8.1 Create Subscription. Every write sent after this returned knows of it.

    An @context that has no URL gets one, below `root`, the broker's own URL.
    """
    named = subscription.body.jsonld_context
    if named is not None:
        await broker.contexts.resolve(named, tenant)
    else:
        named = await broker.context_storage.url(tenant, subscription.context, root)
    body = subscription.body.model_copy(update={"jsonld_context": named})
    await broker.subscriptions.create(tenant, replace(subscription, body=body))


async def update_subscription(
    broker: Broker,
    tenant: str,
    subscription_id: str,
    change: Callable[[Subscription], Subscription],
    jsonld_context: str | None = None,
) -> None:
    """5.8.2 Update Subscription. `jsonld_context` is the one that the change sets, if it does."""
    await broker.contexts.resolve(jsonld_context, tenant)
    await broker.subscriptions.replace(tenant, subscription_id, change)


async def retrieve_subscription(
    broker: Broker, tenant: str, subscription_id: str
) -> tuple[Subscription, Tally]:
    """5.8.3 Retrieve Subscription, with what became of its notifications."""
    await broker.tallied(tenant, subscription_id)
    found = await broker.subscriptions.get(tenant, subscription_id)
    if found is None:
        raise ResourceNotFound(f"there is no subscription {subscription_id}")
    return found


async def query_subscriptions(
    broker: Broker, tenant: str, limit: int, offset: int, *, counted: bool
) -> tuple[list[tuple[Subscription, Tally]], int | None, bool]:
    """5.8.4 Query Subscriptions: one page, the full count if asked for, and whether there is more."""
    count = await broker.subscriptions.count(tenant) if counted else None
    found = await broker.subscriptions.find(tenant, limit + 1, offset) if limit else []
    return found[:limit], count, len(found) > limit


async def delete_subscription(broker: Broker, tenant: str, subscription_id: str) -> None:
    """5.8.5 Delete Subscription."""
    await broker.subscriptions.delete(tenant, subscription_id)
