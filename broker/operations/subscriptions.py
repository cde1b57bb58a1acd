"""Operations on subscriptions (clauses 5.8.1 to 5.8.5)."""

from collections.abc import Callable
from dataclasses import replace

from broker.core.errors import ResourceNotFound
from broker.core.subscription import Subscription
from broker.ports.broker import Broker
from broker.ports.changes import Tally
from broker.ports.entities import Page


async def create_subscription(broker: Broker, tenant: str, subscription: Subscription, root: str) -> None:
    """5.8.1 Create Subscription. Every write that is sent after this returned can trigger it.

    Without a jsonldContext, the @context of the request is used; if it has no URL it is stored under one
    below `root`, the broker's own URL. AlreadyExists if the id is taken; LdContextNotAvailable or
    BadRequestData if its jsonldContext cannot be used.
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
    """5.8.2 Update Subscription. `jsonld_context`: the URL that the change sets, if it sets one.

    ResourceNotFound if there is no such subscription; LdContextNotAvailable or BadRequestData if the
    jsonldContext cannot be used.
    """
    await broker.contexts.resolve(jsonld_context, tenant)
    await broker.subscriptions.replace(tenant, subscription_id, change)


async def retrieve_subscription(
    broker: Broker, tenant: str, subscription_id: str
) -> tuple[Subscription, Tally]:
    """5.8.3 Retrieve Subscription: (subscription, tally of its notifications). ResourceNotFound if none."""
    await broker.tallied(tenant, subscription_id)
    stored = await broker.subscriptions.get(tenant, subscription_id)
    if stored is None:
        raise ResourceNotFound(f"there is no subscription {subscription_id}")
    return stored


async def query_subscriptions(
    broker: Broker, tenant: str, limit: int, offset: int, *, counted: bool
) -> tuple[Page[tuple[Subscription, Tally]], int | None]:
    """5.8.4 Query Subscriptions: (one page, the full count if `counted`)."""
    count = await broker.subscriptions.count(tenant) if counted else None
    subscriptions = await broker.subscriptions.find(tenant, limit + 1, offset) if limit else []
    return Page(subscriptions[:limit], len(subscriptions) > limit), count


async def delete_subscription(broker: Broker, tenant: str, subscription_id: str) -> None:
    """5.8.5 Delete Subscription. ResourceNotFound if there is none."""
    await broker.subscriptions.delete(tenant, subscription_id)
