"""Subscriptions (clause 5.2.12): how they are read, updated, shown and compiled.

Names are expanded when the subscription is read, so that no later change of an @context can alter it. Members
that are texts of a query language stay as text; `Subscription.names` keeps the IRIs of the names in them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from broker.core import Json, instant
from broker.core.entity.parse import attribute_name
from broker.core.errors import BadRequestData
from broker.core.jsonld.context import Context
from broker.core.lang import geo, natural, projection, scope
from broker.core.lang import q as q_language
from broker.core.lang.geo import GeoQuery
from broker.core.lang.projection import Projection
from broker.core.lang.show import show
from broker.core.lang.terms import Q
from broker.core.selector import EntitySelector, selector
from broker.core.subscription_body import NotificationParams, SubscriptionBody, encoded, read_body
from broker.core.subscription_limits import check, check_selectors
from broker.core.uri import NULL

_NAMES = re.compile(r"[^\s(),;|]+")
_BEGINS_IRI = re.compile("<[A-Za-z]")  # in q
_MEMBERS = re.compile(r"[^\s,|;{}()\[\]\"]+")


Names = dict[str, dict[str, str]]  # member of the subscription -> name in its text -> IRI


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the broker stores it.

    Names in `body` are IRIs, except in texts of a query language: their IRIs are in `names`.
    """

    id: str
    body: SubscriptionBody
    context: Json
    created_at: str
    modified_at: str
    names: Names = field(default_factory=dict)

    @property
    def throttling(self) -> int:
        """5.2.12: the shortest time (µs) between two notifications; 0 without throttling."""
        return round((self.body.throttling or 0) * 1_000_000)

    def status(self, now: str) -> str:
        """5.2.12: the status at the instant `now`: active, paused or expired."""
        if self.body.expires_at and instant.ceiling(self.body.expires_at[:-1].replace(",", ".")) <= now:
            return "expired"
        return "paused" if self.body.is_active is False else "active"


def read(doc: Json, context: Context, new_id: str, now: str) -> Subscription:
    """A new subscription from the JSON that a client sent (5.8.1).

    It gets `new_id` if the client names no id. BadRequestData if the JSON is no valid subscription.
    """
    body = _sent_body(doc)
    subscription = _expanded(Subscription(body.id or new_id, body, context.source, now, now), context, {})
    _refuse_past(subscription, now)
    return subscription


def _sent_body(doc: Json) -> SubscriptionBody:
    if isinstance(doc, dict):
        check_selectors(doc)
    body = read_body(doc)
    check(body)
    return body


def _refuse_past(subscription: Subscription, now: str) -> None:
    if subscription.status(now) == "expired":
        raise BadRequestData("expiresAt: expected an instant in the future")


def updated(old: Subscription, fragment: Json, context: Context, now: str) -> Subscription:
    """The subscription after an update (5.8.2): members of the fragment replace its own, nulls remove.

    BadRequestData if the fragment or the updated subscription is not valid.
    """
    if not isinstance(fragment, dict) or not fragment:
        raise BadRequestData("subscription: expected a JSON object with at least one member")
    if fragment.get("id", old.id) != old.id:
        raise BadRequestData("id: cannot be changed")
    before = old.body.model_dump(by_alias=True, exclude_none=True)
    merged = {**before, **fragment, "type": fragment.get("type", "Subscription"), "id": old.id}
    if _is_revived(old, fragment, now):
        merged["isActive"] = True
    kept = {member: names for member, names in old.names.items() if member.partition(".")[0] not in fragment}
    read = Subscription(old.id, _sent_body(_without_nulls(merged)), old.context, old.created_at, now)
    new = _expanded(read, context, kept)
    if "expiresAt" in fragment:
        _refuse_past(new, now)
    return new


def _is_revived(old: Subscription, fragment: dict[str, Json], now: str) -> bool:
    """5.8.2.4: whether a new expiresAt reactivates an expired subscription, even if it was paused before."""
    return "expiresAt" in fragment and "isActive" not in fragment and old.status(now) == "expired"


def _without_nulls(doc: dict[str, Json]) -> dict[str, Json]:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in doc.items()
        if value is not None and value != NULL
    }


def shown_body(subscription: Subscription, context: Context) -> dict[str, Json]:
    """The body as JSON in the names of an @context. `read` with that @context gives the same subscription."""
    compact = context.compact
    shown: dict[str, Json] = subscription.body.model_dump(by_alias=True, exclude_none=True)
    shown["id"] = subscription.id
    for member in ("q", "csf"):
        if member in shown:
            shown[member] = _shown_query(subscription, member, shown[member], compact)
    names = subscription.names.get("entities", {})
    for entities in shown.get("entities", ()):
        entities["type"] = _NAMES.sub(lambda m: compact(names.get(m[0], m[0])), entities["type"])
    if "geoproperty" in shown.get("geoQ", {}):
        shown["geoQ"]["geoproperty"] = compact(subscription.names["geoQ"][shown["geoQ"]["geoproperty"]])
    for member in {"expandValues", "jsonKeys"} & shown.keys():
        shown[member] = _projected(shown[member], _values_names(subscription.names, member), compact)
    for member in ("pick", "omit"):
        if member in shown["notification"]:
            names = subscription.names[f"notification.{member}"]
            texts = shown["notification"][member]
            shown["notification"][member] = [_projected(text, names, compact) for text in texts]
    if "watchedAttributes" in shown:
        shown["watchedAttributes"] = [compact(name) for name in shown["watchedAttributes"]]
    if "attributes" in shown["notification"]:
        shown["notification"]["attributes"] = [compact(name) for name in shown["notification"]["attributes"]]
    return shown


def _shown_query(subscription: Subscription, member: str, text: str, compact: Callable[[str], str]) -> str:
    """The query in this member: as the client sent it, if `compact` gives the same names."""
    names = subscription.names[member]
    if not _BEGINS_IRI.search(text) and all(compact(iri) == name for name, iri in names.items()):
        return text
    values = _expanded_values(subscription.body, subscription.names) if member == "q" else set()
    tree = q_language.parse(unquote(text), names.__getitem__, values, what=member)
    return encoded(show(tree, compact, values))


def _projected(text: str, names: dict[str, str], compact: Callable[[str], str]) -> str:
    return _MEMBERS.sub(lambda m: compact(names[m[0]]) if m[0] in names else m[0], text)


class _Expander:
    """Expands the names in each member and keeps the IRIs in `names`. Names in `known` keep their IRIs."""

    def __init__(self, context: Context, known: Names) -> None:
        self._context = context
        self._known = known
        self.names: Names = {}

    def of(self, member: str) -> Callable[[str], str]:
        """A function that expands the names in this member and keeps their IRIs."""
        known, names = self._known.get(member, {}), self.names.setdefault(member, {})

        def expand(name: str) -> str:
            names[name] = known.get(name) or self._context.expand(name)
            return names[name]

        return expand


def _expanded(read: Subscription, context: Context, known: Names) -> Subscription:
    expander, body = _Expander(context, known), read.body
    _check_queries(body, expander)
    if body.geo_q is not None:
        geo.parse(body.geo_q.model_dump(exclude_none=True), expander.of("geoQ"))
    if body.scope_q is not None:
        scope.parse(body.scope_q)
    for entity_selector in body.entities or ():
        selector(entity_selector, expander.of("entities"))
    if body.lang is not None:
        natural.parse(body.lang)
    _check_projections(body.notification, expander, context)
    changes: dict[str, Any] = {"id": read.id}
    if body.watched_attributes:
        changes["watched_attributes"] = [context.expand(name) for name in body.watched_attributes]
    if body.notification.attributes:
        expanded = [context.expand(name) for name in body.notification.attributes]
        changes["notification"] = body.notification.model_copy(update={"attributes": expanded})
    return replace(read, body=body.model_copy(update=changes), names=expander.names)


def _check_queries(body: SubscriptionBody, expander: _Expander) -> None:
    for member, text in (("expandValues", body.expand_values), ("jsonKeys", body.json_keys)):
        for name in _listed(text):
            expander.of(member)(name)
    if body.q is not None:
        q_language.parse(unquote(body.q), expander.of("q"), _expanded_values(body, expander.names))
    if body.csf is not None:
        q_language.parse(unquote(body.csf), expander.of("csf"), what="csf")


def compiled_q(subscription: Subscription) -> Q | None:
    """The compiled condition `q`; None without one."""
    body, names = subscription.body, subscription.names
    if body.q is None:
        return None
    return q_language.parse(unquote(body.q), names["q"].__getitem__, _expanded_values(body, names))


def _expanded_values(body: SubscriptionBody, names: Names) -> set[str]:
    """The attributes (IRIs) whose values in `q` are expanded: those of expandValues except jsonKeys."""
    listed, json_keys = (
        {_values_names(names, member)[name] for name in _listed(text)}
        for member, text in (("expandValues", body.expand_values), ("jsonKeys", body.json_keys))
    )
    return listed - json_keys


def _listed(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",")]


def _values_names(names: Names, member: str) -> dict[str, str]:
    """The names in expandValues or jsonKeys. Older subscriptions keep both under expandValues."""
    return names[member] if member in names else names["expandValues"]


def compiled_geo_q(subscription: Subscription) -> GeoQuery | None:
    """The compiled condition `geoQ`; None without one."""
    geo_q = subscription.body.geo_q
    if geo_q is None:
        return None
    return geo.parse(geo_q.model_dump(exclude_none=True), subscription.names["geoQ"].__getitem__)


def _check_projections(params: NotificationParams, expander: _Expander, context: Context) -> None:
    def name(member: str) -> Callable[[str], str]:
        expand = expander.of(f"notification.{member}")
        return lambda text: expand(text) if attribute_name(text, context) else ""

    pick, omit = (projected(member, getattr(params, member), name(member)) for member in ("pick", "omit"))
    if pick and omit and pick.overlaps(omit):
        raise BadRequestData("notification: expected no member in both pick and omit")
    has_join = params.join in ("flat", "inline")
    depth = max((projection.depth for projection in (pick, omit) if projection is not None), default=0)
    if depth > ((params.join_level or 1) if has_join else 0):
        raise BadRequestData("notification: braces need join, and a joinLevel of at least their depth")


def projected(member: str, texts: list[str] | None, name: Callable[[str], str]) -> Projection | None:
    """The projection (4.21) that a `pick` or `omit` of a subscription means. `name` expands a name."""
    return None if texts is None else projection.parse(member, ",".join(texts), name)


def selected_types(subscription: Subscription, selector: EntitySelector) -> set[str | None]:
    """The types (IRIs) that a selector names; None stands for `*`, any type."""
    names = subscription.names["entities"]
    return {None if name == "*" else names[name] for name in _NAMES.findall(selector.type)}
