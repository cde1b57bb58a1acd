"""The resources /subscriptions and /subscriptions/{subscriptionId} (clauses 6.10 and 6.11)."""

from uuid import uuid4

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.pages import page_links
from broker.core import Json
from broker.core import subscription as rules
from broker.core.jsonld.context import Context
from broker.core.subscription import Subscription
from broker.core.subscription_body import is_web_url
from broker.core.trigger import DEFAULT
from broker.operations import subscriptions as operations
from broker.ports.changes import Tally


async def create_subscription(call: Call) -> web.Response:
    """6.10.3.1 POST /subscriptions."""
    p.allow(call.params)
    doc, context = await call.query_body()
    subscription = rules.read(
        doc, context, f"urn:ngsi-ld:Subscription:{uuid4()}", call.broker.clock.present()
    )
    await operations.create_subscription(call.broker, call.tenant, subscription, call.root)
    return reply.created("subscriptions", subscription.id)


async def query_subscriptions(call: Call) -> web.Response:
    """6.10.3.2 GET /subscriptions."""
    call = call.of_list()
    p.allow(call.params, p.PAGE, ("options",))
    _ = call.accept
    sys_attrs = "sysAttrs" in p.options(call.params, ("sysAttrs",))
    context = await call.context()
    limit, offset, counted = p.read_page(call.params, call.broker.limits)
    page, count = await operations.query_subscriptions(
        call.broker, call.tenant, limit, offset, counted=counted
    )
    links = page_links(call, limit, offset, page.more)
    docs = [_shown(call, *item, context, sys_attrs=sys_attrs) for item in page.items]
    return reply.page(call, docs, context, count, links)


async def retrieve_subscription(call: Call) -> web.Response:
    """6.11.3.1 GET /subscriptions/{subscriptionId}."""
    p.allow(call.params, ("options",))
    _ = call.accept
    sys_attrs = "sysAttrs" in p.options(call.params, ("sysAttrs",))
    context = await call.context()
    subscription, tally = await operations.retrieve_subscription(
        call.broker, call.tenant, call.path_uri("subscriptionId")
    )
    return reply.document(call, _shown(call, subscription, tally, context, sys_attrs=sys_attrs), context)


async def update_subscription(call: Call) -> web.Response:
    """6.11.3.2 PATCH /subscriptions/{subscriptionId}."""
    p.allow(call.params)
    subscription_id = call.path_uri("subscriptionId")
    doc, context = await call.query_body()
    now = call.broker.clock.present()
    context_url = doc.get("jsonldContext")
    await operations.update_subscription(
        call.broker,
        call.tenant,
        subscription_id,
        lambda old: rules.updated(old, doc, context, now),
        context_url if is_web_url(context_url) else None,
    )
    return reply.nothing()


async def delete_subscription(call: Call) -> web.Response:
    """6.11.3.3 DELETE /subscriptions/{subscriptionId}."""
    p.allow(call.params)
    await operations.delete_subscription(call.broker, call.tenant, call.path_uri("subscriptionId"))
    return reply.nothing()


def _shown(
    call: Call, subscription: Subscription, tally: Tally, context: Context, *, sys_attrs: bool
) -> dict[str, Json]:
    shown = rules.shown_body(subscription, context)
    shown.setdefault("notificationTrigger", list(DEFAULT))
    shown["status"] = subscription.status(call.broker.clock.present())
    shown["notification"] |= _tally(tally)
    if sys_attrs:
        shown["createdAt"] = subscription.created_at + "Z"
        shown["modifiedAt"] = subscription.modified_at + "Z"
    return shown


def _tally(tally: Tally) -> dict[str, Json]:
    """5.2.14.2: the members that count notifications; none before the first one was sent."""
    if not tally.sent:
        return {}
    times = {
        "lastNotification": tally.last_notification,
        "lastSuccess": tally.last_success,
        "lastFailure": tally.last_failure,
    }
    has_failed = (tally.last_failure or "") > (tally.last_success or "")
    return {
        "status": "failed" if has_failed else "ok",
        "timesSent": tally.sent,
        "timesFailed": tally.failed,
        **{name: at + "Z" for name, at in times.items() if at},
    }
