"""Notifications (clause 5.3.1), as they are put on the wire (6.3.8)."""

from dataclasses import dataclass

from broker.core import Entity, Json
from broker.core.entity.view import View, view
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from broker.core.subscription import Subscription

JSONLD_REL = "http://www.w3.org/ns/json-ld#context"


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification's JSON body, and the media type and Link that go with it."""

    body: dict[str, Json]
    content_type: str
    link: str | None


def notification(
    subscription: Subscription, entity: Entity, context: Context, notification_id: str, now: str
) -> Notification:
    """What the subscriber is told of an entity, at this instant."""
    params = subscription.body.notification
    shape = View(_FORMATS.get(params.format, params.format), params.sys_attrs, params.attributes or ())
    data = view(entity, context, shape)
    source = CORE_CONTEXT_URL if context.source is None else context.source
    # An inline @context has no URL that a Link could name, so it travels inside.
    inside = params.endpoint.accept == "application/ld+json" or not isinstance(source, str)
    if inside:
        data["@context"] = source
    body = {
        "id": notification_id,
        "type": "Notification",
        "subscriptionId": subscription.id,
        "notifiedAt": now + "Z",
        "data": [data],
    }
    if inside:
        return Notification(body, "application/ld+json", None)
    return Notification(
        body, "application/json", f'<{source}>; rel="{JSONLD_REL}"; type="application/ld+json"'
    )


_FORMATS = {"keyValues": "simplified"}
