"""/eridanus/v1/subscriptions/{subscriptionId}: dead letters and explanations (an extension)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.pages import page_links
from broker.core import Json
from broker.core.errors import BadRequestData
from broker.core.uri import is_uri
from broker.operations import deliveries as operations
from broker.ports.subscriptions import DeadLetter


async def query_deliveries(call: Call) -> web.Response:
    """GET …/deliveries: the dead letters."""
    p.allow(call.params, p.PAGE)
    limit, offset, counted = p.read_page(call.params, call.broker.limits)
    page, count = await operations.query_deliveries(
        call.broker, call.tenant, _subscription(call), limit, offset, counted=counted
    )
    links = page_links(call, limit, offset, page.more)
    return reply.plain_page([_shown(letter) for letter in page.items], count, links)


async def replay_deliveries(call: Call) -> web.Response:
    """POST …/deliveries/replay and …/deliveries/{deliveryId}/replay: sends dead letters again."""
    p.allow(call.params)
    count = await operations.replay_deliveries(call.broker, call.tenant, _subscription(call), _delivery(call))
    return reply.plain(200, {"replayed": count})


async def delete_deliveries(call: Call) -> web.Response:
    """DELETE …/deliveries and …/deliveries/{deliveryId}: deletes dead letters."""
    p.allow(call.params)
    await operations.delete_deliveries(call.broker, call.tenant, _subscription(call), _delivery(call))
    return reply.nothing()


async def explain_subscription(call: Call) -> web.Response:
    """GET …/explain: whether an entity would notify, and if not, which member stops it.

    BadRequestData if `entity` is no URI.
    """
    p.allow(call.params, ("entity",))
    subscription_id, entity_id = _subscription(call), call.params.get("entity")
    if not is_uri(entity_id):
        raise BadRequestData("entity: expected the URI of an entity")
    stopped = await operations.explain_subscription(call.broker, call.tenant, subscription_id, str(entity_id))
    about = {} if stopped is None else {"stoppedBy": stopped}
    doc = {"subscriptionId": subscription_id, "entityId": entity_id, "fires": stopped is None, **about}
    return reply.plain(200, doc)


def _subscription(call: Call) -> str:
    return call.path_uri("subscriptionId")


def _delivery(call: Call) -> str | None:
    return call.path[1] if len(call.path) > 1 else None


def _shown(dead_letter: DeadLetter) -> dict[str, Json]:
    about = {} if dead_letter.entity is None else {"entityId": dead_letter.entity}
    return {
        "id": dead_letter.id,
        **about,
        "changedAt": dead_letter.changed_at + "Z",
        "givenUpAt": dead_letter.given_up_at + "Z",
        "reason": dead_letter.reason,
    }
