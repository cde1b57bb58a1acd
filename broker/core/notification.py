"""Notifications (clause 5.3.1), as they are put on the wire (6.3.8)."""

import sys
from dataclasses import dataclass
from functools import lru_cache

from broker.core import Attributes, Entity, Json
from broker.core.change import ATTRIBUTE_DELETED
from broker.core.entity.view import View, view
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL
from broker.core.lang.projection import of_attrs
from broker.core.news import Interest, news
from broker.core.subscription import Subscription
from broker.core.trigger import mask

JSONLD_REL = "http://www.w3.org/ns/json-ld#context"


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification's JSON body, and the media type and Link that go with it."""

    body: dict[str, Json]
    content_type: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """What delivery has to know of a subscription, and no more: there may be very many in memory."""

    id: str
    uri: str
    accept: str
    timeout: float | None
    cooldown: float | None
    headers: tuple[tuple[str, str], ...]
    notifier: tuple[tuple[str, str], ...]
    shape: View
    interest: Interest
    context: Json
    is_throttled: bool
    is_paused: bool


def subscriber(subscription: Subscription) -> Subscriber:
    """The subscriber of a subscription; `timeout` and `cooldown` in seconds."""
    body = subscription.body
    params = body.notification
    endpoint = params.endpoint
    is_told = mask(body.notification_trigger) & ATTRIBUTE_DELETED
    watched = tuple(body.watched_attributes or ()) if is_told else ("",)
    return Subscriber(
        subscription.id,
        endpoint.uri,
        sys.intern(endpoint.accept or "application/json"),
        endpoint.timeout / 1000 if endpoint.timeout else None,
        endpoint.cooldown / 1000 if endpoint.cooldown else None,
        tuple((pair.key, pair.value) for pair in endpoint.receiver_info or ()),
        tuple((pair.key, pair.value) for pair in endpoint.notifier_info or ()),
        _shape(_FORMATS[params.format], bool(params.sys_attrs), tuple(params.attributes or ())),
        _interest(bool(params.show_changes), watched),
        body.jsonld_context or subscription.context,
        body.throttling is not None,
        body.is_active is False,
    )


@lru_cache(1000)
def _shape(form: str, sys_attrs: bool, attrs: tuple[str, ...]) -> View:
    return View(form, sys_attrs, of_attrs(attrs))


@lru_cache(1000)
def _interest(before: bool, watched: tuple[str, ...]) -> Interest:
    """Shared among subscribers; `watched`: "" for nothing, empty for everything."""
    return Interest(before, None if not watched else frozenset(one for one in watched if one))


def notification(
    to: Subscriber,
    entity: Entity,
    previous: Attributes | None,
    context: Context,
    notification_id: str,
    now: str,
) -> Notification:
    """What the subscriber is told of an entity at this instant; `previous`: see `ports.Entry`."""
    data = view(news(entity, previous, to.interest, to.shape, context), context, to.shape)
    if "deletedAt" in entity:
        data["deletedAt"] = entity["deletedAt"] + "Z"
    source = CORE_CONTEXT_URL if context.source is None else context.source
    # An inline @context has no URL that a Link could name, so it travels inside.
    inside = to.accept == "application/ld+json" or not isinstance(source, str)
    if inside:
        data["@context"] = source
    body = {
        "id": notification_id,
        "type": "Notification",
        "subscriptionId": to.id,
        "notifiedAt": now + "Z",
        "data": [data],
    }
    if inside:
        return Notification(body, "application/ld+json", None)
    return Notification(
        body, "application/json", f'<{source}>; rel="{JSONLD_REL}"; type="application/ld+json"'
    )


_FORMATS = {
    None: "normalized",
    "normalized": "normalized",
    "concise": "concise",
    "simplified": "simplified",
    "keyValues": "simplified",
}
