"""Notifications (clause 5.3.1): their bodies, and the headers that go with them (6.3.8)."""

import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from broker.core import Attributes, Entity, Json
from broker.core.change import ATTRIBUTE_DELETED, ENTITY_DELETED
from broker.core.entity.downgrade import conformant
from broker.core.entity.geojson import feature
from broker.core.entity.linked_entities import Inlined, Join
from broker.core.entity.view import View, view
from broker.core.jsonld.context import Context
from broker.core.jsonld.core_context import CORE_CONTEXT_URL, NGSI_LD
from broker.core.lang import natural
from broker.core.lang.projection import of_attrs
from broker.core.notified_entity import NotifiedParts, entity_for_subscriber
from broker.core.sharing import shared
from broker.core.subscription import Subscription, projected
from broker.core.trigger import mask

LEAST_TIMEOUT, LONGEST_TIMEOUT = 0.01, 60.0  # seconds; bounds of an endpoint's timeout
JSONLD_REL = "http://www.w3.org/ns/json-ld#context"


@dataclass(frozen=True, slots=True)
class Rendering:
    """The `data` of a notification, its media type, and its Link header; None without one."""

    data: Json
    content_type: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The part of a subscription that delivery needs. It is small, since very many may be in memory."""

    id: str
    uri: str
    accept: str
    timeout: float | None
    cooldown: float | None
    headers: tuple[tuple[str, str], ...]
    notifier: tuple[tuple[str, str], ...]
    view: View
    join: Join | None
    parts: NotifiedParts
    context: Json
    is_paused: bool


def subscriber(subscription: Subscription) -> Subscriber:
    """The subscriber of a subscription; `timeout` and `cooldown` in seconds."""
    body = subscription.body
    params = body.notification
    endpoint = params.endpoint
    return Subscriber(
        subscription.id,
        endpoint.uri,
        sys.intern(endpoint.accept or JSON),
        _seconds(endpoint.timeout),
        endpoint.cooldown / 1000 if endpoint.cooldown else None,
        tuple((pair.key, pair.value) for pair in endpoint.receiver_info or ()),
        tuple((pair.key, pair.value) for pair in endpoint.notifier_info or ()),
        shared(_view(subscription)),
        shared(Join(params.join, params.join_level or 1) if params.join in ("flat", "inline") else None),
        shared(_notified_parts(subscription)),
        body.jsonld_context or subscription.context,
        body.is_active is False,
    )


def _seconds(timeout: float | None) -> float | None:
    """The timeout of an endpoint (ms) in seconds, within our bounds: the broker may override it (5.2.15)."""
    return None if timeout is None else min(max(timeout / 1000, LEAST_TIMEOUT), LONGEST_TIMEOUT)


def _view(subscription: Subscription) -> View:
    body, names = subscription.body, subscription.names
    params = body.notification
    pick, omit = (
        projected(member, getattr(params, member), names.get(f"notification.{member}", {}).__getitem__)
        for member in ("pick", "omit")
    )
    return View(
        _FORMATS[params.format],
        bool(params.sys_attrs),
        of_attrs(tuple(params.attributes)) if params.attributes else pick,
        omit,
        natural.parse(body.lang) if body.lang is not None else (),
        frozenset(body.dataset_id) if body.dataset_id is not None else None,
        version=conformant(body.ngsild_conformance) if body.ngsild_conformance is not None else None,
    )


def _notified_parts(subscription: Subscription) -> NotifiedParts:
    body = subscription.body
    shows, events = bool(body.notification.show_changes), mask(body.notification_trigger)
    if events & ENTITY_DELETED or not events & ATTRIBUTE_DELETED:
        return NotifiedParts(shows)
    return NotifiedParts(shows, frozenset(body.watched_attributes) if body.watched_attributes else None)


@dataclass(frozen=True, slots=True)
class Content:
    """What a notification is made of, before it is adapted to a subscriber.

    `previous`: by entity id, the instances before the change, where a subscriber asks for them. `linked`: the
    linked entities, each with its view.
    """

    entities: Sequence[Entity]
    previous: Mapping[str, Attributes | None] = field(default_factory=dict)
    linked: Sequence[tuple[Entity, View]] = ()


def notification(to: Subscriber, data: Json, notification_id: str, now: str) -> dict[str, Json]:
    """The body of a notification sent at the instant `now`, with this `data`."""
    return {
        "id": notification_id,
        "type": "Notification",
        "subscriptionId": to.id,
        "notifiedAt": now + "Z",
        "data": data,
    }


def audience(to: Subscriber) -> Hashable:
    """A key. Subscribers of equal keys get the same `Rendering` of the same content in the same @context."""
    return to.accept, _wants_link(to), to.view, to.parts, to.join


def rendering(to: Subscriber, content: Content, context: Context) -> Rendering:
    """The content as this subscriber gets it, in the names of `context`."""
    source = CORE_CONTEXT_URL if context.source is None else context.source
    # An inline @context has no URL that a Link could name, so it goes into the body.
    is_linked = isinstance(source, str) and _wants_link(to)
    pairs = _data(to, content, context)
    data: Json = [doc for _, doc in pairs]
    media = to.accept
    if media == GEO_JSON:
        features = [feature(entity, shown, _LOCATION, to.view) for entity, shown in pairs]
        data = {"type": "FeatureCollection", "features": features}
        if not is_linked:
            data["@context"] = source
    elif not is_linked:
        media = LD_JSON
        for doc in data:
            doc["@context"] = source
    link = f'<{source}>; rel="{JSONLD_REL}"; type="application/ld+json"' if is_linked else None
    return Rendering(data, media, link)


def _wants_link(to: Subscriber) -> bool:
    """6.3.8: with JSON the @context is in a Link; with JSON-LD, and GeoJSON by default, in the body."""
    if to.accept == GEO_JSON:
        return any(k.lower() == "prefer" and v.replace(" ", "") == "body=json" for k, v in to.headers)
    return to.accept == JSON


def _data(to: Subscriber, content: Content, context: Context) -> list[tuple[Entity, dict[str, Json]]]:
    """Pairs of an entity and its JSON. With a flat join, the linked entities come after the others."""
    join = to.join if content.linked else None
    inlined = None
    if join and join.kind == "inline":
        inlined = Inlined({entity["id"]: entity for entity, _ in content.linked}, join, context)
    pairs = [
        (entity, _shown(to, entity, content.previous.get(entity["id"]), context, inlined))
        for entity in content.entities
    ]
    beside = content.linked if join and join.kind == "flat" else ()
    return pairs + [(entity, view(entity, context, its_view)) for entity, its_view in beside]


def _shown(
    to: Subscriber, entity: Entity, previous: Attributes | None, context: Context, inlined: Inlined | None
) -> dict[str, Json]:
    new = entity_for_subscriber(entity, previous, to.parts, to.view, context)
    shown = view(new, context, to.view) if inlined is None else inlined.show(new, to.view)
    if "deletedAt" in entity:
        shown["deletedAt"] = entity["deletedAt"] + "Z"
    return shown


JSON, LD_JSON, GEO_JSON = "application/json", "application/ld+json", "application/geo+json"
_LOCATION = NGSI_LD + "location"
_FORMATS = {
    None: "normalized",
    "normalized": "normalized",
    "concise": "concise",
    "simplified": "simplified",
    "keyValues": "simplified",
}
