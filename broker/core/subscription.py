"""Subscriptions (clause 5.2.12 and the types it is made of): what clients send, validated.

Names inside are expanded when a subscription is read, so that nothing of it depends on a later
@context: `Subscription.names` keeps the IRIs of the names in those members that are texts of a language.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, model_validator

from broker.core import Json, instant, mqtt
from broker.core.entity.downgrade import conformant
from broker.core.entity.parse import attribute_name
from broker.core.errors import BadRequestData, OperationNotSupported
from broker.core.jsonld.context import Context
from broker.core.lang import geo, natural, projection, scope
from broker.core.lang import q as q_language
from broker.core.lang.geo import GeoQuery
from broker.core.lang.projection import Projection
from broker.core.lang.terms import Q
from broker.core.members import Dataset, Member, Texts, Uri, checked
from broker.core.members import read as read_members
from broker.core.query_body import GeoQ
from broker.core.selector import EntitySelector, selector
from broker.core.uri import NULL, is_name

Name = Annotated[str, checked(is_name, "a name of letters, digits and _, or an IRI")]
Attribute = Annotated[
    str,
    checked(
        lambda name: is_name(name) and name not in ("id", "type", "scope"),
        "a name of letters, digits and _, or an IRI; neither id, type nor scope",
    ),
]
Instant = Annotated[
    str, checked(lambda t: instant.parse(t) is not None, "a date and time such as 2026-07-01T12:00:00Z")
]
EndpointUri = Annotated[
    str,
    checked(
        lambda uri: re.match(r"https?://[^/\s]+", uri) is not None or mqtt.is_endpoint(uri),
        "an http or https URL, or mqtt[s]://[user][:password]@host[:port]/topic",
    ),
]
Version = Annotated[str, checked(lambda t: conformant(t) is not None, "a version such as 1.8")]
HeaderText = Annotated[
    str, checked(lambda t: "\r" not in t and "\n" not in t and "\x00" not in t, "one line of text")
]


# A query as it stands in a URL: some clients percent-encode it in JSON, too.
Text = Annotated[str, Field(min_length=1), AfterValidator(unquote)]
NameList = Annotated[
    str,
    checked(
        lambda t: all(is_name(one.strip()) for one in t.split(",")), "names of attributes and commas between"
    ),
]
Event = Literal[
    "entityCreated",
    "entityUpdated",
    "entityDeleted",
    "attributeCreated",
    "attributeUpdated",
    "attributeDeleted",
]

_FRAMING = frozenset({"host", "connection", "content-length", "transfer-encoding", "upgrade", "trailer"})


class KeyValuePair(Member):
    """5.2.22: a header to send along."""

    key: Annotated[
        str,
        checked(lambda t: re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", t) is not None, "a header name"),
        checked(lambda t: t.lower() not in _FRAMING, f"a header other than {', '.join(sorted(_FRAMING))}"),
    ]
    value: HeaderText


class Endpoint(Member):
    """5.2.15: where notifications go, and how."""

    uri: EndpointUri
    accept: Literal["application/json", "application/ld+json", "application/geo+json"] | None = None
    timeout: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None
    receiver_info: list[KeyValuePair] | None = None
    notifier_info: list[KeyValuePair] | None = None
    cooldown: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _can_be_notified(self) -> "Endpoint":
        if self.uri.startswith("mqtt"):
            mqtt.endpoint(self.uri, ((pair.key, pair.value) for pair in self.notifier_info or ()))
        return self


class NotificationParams(Member):
    """5.2.14: what is sent. `format` may be called keyValues as well as simplified."""

    endpoint: Endpoint
    attributes: Annotated[list[Attribute], Field(min_length=1)] | None = None
    format: Literal["normalized", "concise", "simplified", "keyValues"] | None = None
    sys_attrs: bool | None = None
    show_changes: bool | None = None
    pick: Texts | None = None
    omit: Texts | None = None
    join: Literal["flat", "inline", "@none"] | None = None
    join_level: Annotated[int, Field(ge=1, le=10)] | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> "NotificationParams":
        if self.show_changes and self.format in ("simplified", "keyValues"):
            raise ValueError(f"showChanges: not possible with format {self.format}")
        if self.attributes and (self.pick or self.omit):
            raise ValueError("attributes: not possible with pick or omit")
        return self


class SubscriptionBody(Member):
    """The members of a Subscription that its owner may set."""

    id: Uri | None = None
    type: Literal["Subscription"]
    subscription_name: str | None = None
    description: str | None = None
    entities: Annotated[list[EntitySelector], Field(min_length=1)] | None = None
    watched_attributes: Annotated[list[Name], Field(min_length=1)] | None = None
    notification_trigger: Annotated[list[Event], Field(min_length=1)] | None = None
    time_interval: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None
    q: Text | None = None
    expand_values: NameList | None = None
    json_keys: NameList | None = None
    geo_q: GeoQ | None = Field(default=None, alias="geoQ")
    scope_q: Text | None = Field(default=None, alias="scopeQ")
    notification: NotificationParams
    throttling: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None
    expires_at: Instant | None = None
    is_active: bool | None = None
    jsonld_context: Uri | None = None
    csf: Text | None = None
    lang: str | None = None
    dataset_id: Annotated[list[Dataset], Field(min_length=1)] | None = None
    ngsild_conformance: Version | None = None
    local_only: bool | None = None
    split_entities: bool | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> "SubscriptionBody":
        if self.time_interval is not None and self.watched_attributes is not None:
            raise ValueError("timeInterval: not possible with watchedAttributes")
        if self.time_interval is not None and self.throttling is not None:
            raise ValueError("timeInterval: not possible with throttling")
        if not self.entities and not self.local_only and (self.time_interval or not self.watched_attributes):
            raise ValueError("subscription: expected entities or watchedAttributes")
        return self


# Parts of the specification that are not here yet: refused, rather than ignored.
_LATER = {
    "": {"temporalQ"},
    "notification": set[str](),
    "notification.endpoint": set[str](),
}  # fmt: skip
# What the broker itself tells in answers; ignored when it comes back.
_OUTPUT = {
    "": {"@context", "status", "origin", "createdAt", "modifiedAt"},
    "notification": {"status", "timesSent", "timesFailed", "lastNotification", "lastSuccess", "lastFailure"},
    "notification.endpoint": set[str](),
}
_NAMES = re.compile(r"[^\s(),;|]+")
_MEMBERS = re.compile(r"[^\s,|;{}()\[\]\"]+")


Names = dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the broker keeps it. Names in `body` are IRIs, but in texts of a language.

    `names` holds the IRIs of the names in such texts, by the member that the text is.
    """

    id: str
    body: SubscriptionBody
    context: Json
    created_at: str
    modified_at: str
    names: Names = field(default_factory=dict)

    def status(self, now: str) -> str:
        """5.2.12: active, paused or expired, at this instant."""
        if self.body.expires_at and instant.ceiling(self.body.expires_at[:-1].replace(",", ".")) <= now:
            return "expired"
        return "paused" if self.body.is_active is False else "active"


def read(doc: Json, context: Context, new_id: str, now: str) -> Subscription:
    """A new subscription of what a client sent (5.8.1)."""
    body = _body(doc)
    subscription = _expanded(Subscription(body.id or new_id, body, context.source, now, now), context, {})
    _refuse_past(subscription, now)
    return subscription


def _refuse_past(subscription: Subscription, now: str) -> None:
    if subscription.status(now) == "expired":
        raise BadRequestData("expiresAt: expected an instant that is still to come")


def updated(old: Subscription, fragment: Json, context: Context, now: str) -> Subscription:
    """The subscription after an update (5.8.2): the members of the fragment replace its own, nulls remove."""
    if not isinstance(fragment, dict) or not fragment:
        raise BadRequestData("subscription: expected a JSON object with at least one member")
    if fragment.get("id", old.id) != old.id:
        raise BadRequestData("id: cannot be changed")
    before = shown_body(old, lambda name: name)
    merged = {**before, **fragment, "type": fragment.get("type", "Subscription"), "id": old.id}
    if _is_revived(old, fragment, now):
        merged["isActive"] = True
    kept = {member: names for member, names in old.names.items() if member.partition(".")[0] not in fragment}
    read = Subscription(old.id, _body(_without_nulls(merged)), old.context, old.created_at, now)
    new = _expanded(read, context, kept)
    if "expiresAt" in fragment:
        _refuse_past(new, now)
    return new


def _is_revived(old: Subscription, fragment: dict[str, Json], now: str) -> bool:
    """5.8.2.4: a new expiresAt alone makes an expired subscription active, even if it was paused before."""
    return "expiresAt" in fragment and "isActive" not in fragment and old.status(now) == "expired"


def _without_nulls(doc: dict[str, Json]) -> dict[str, Json]:
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in doc.items()
        if value is not None and value != NULL
    }


def shown_body(subscription: Subscription, compact: Callable[[str], str]) -> dict[str, Json]:
    """The body as JSON, in the names that `compact` gives."""
    shown: dict[str, Json] = subscription.body.model_dump(by_alias=True, exclude_none=True)
    shown["id"] = subscription.id
    names = subscription.names.get("entities", {})
    for entities in shown.get("entities", ()):
        entities["type"] = _NAMES.sub(lambda m: compact(names.get(m[0], m[0])), entities["type"])
    if "geoproperty" in shown.get("geoQ", {}):
        shown["geoQ"]["geoproperty"] = compact(subscription.names["geoQ"][shown["geoQ"]["geoproperty"]])
    for one in {"expandValues", "jsonKeys"} & shown.keys():
        shown[one] = _projected(shown[one], subscription.names["expandValues"], compact)
    for one in ("pick", "omit"):
        if one in shown["notification"]:
            names = subscription.names[f"notification.{one}"]
            texts = shown["notification"][one]
            shown["notification"][one] = [_projected(text, names, compact) for text in texts]
    if "watchedAttributes" in shown:
        shown["watchedAttributes"] = [compact(name) for name in shown["watchedAttributes"]]
    if "attributes" in shown["notification"]:
        shown["notification"]["attributes"] = [compact(name) for name in shown["notification"]["attributes"]]
    return shown


def _projected(text: str, names: dict[str, str], compact: Callable[[str], str]) -> str:
    return _MEMBERS.sub(lambda m: compact(names[m[0]]) if m[0] in names else m[0], text)


def _body(doc: Json) -> SubscriptionBody:
    if not isinstance(doc, dict):
        raise BadRequestData("subscription: expected a JSON object")
    doc = {name: value for name, value in doc.items() if not name.startswith("_")}  # no name of 4.6.2
    for path in _LATER:
        _prune(doc, path)
    return read_members(SubscriptionBody, doc, "subscription")


def _prune(doc: dict[str, Any], path: str) -> None:
    """Drops the broker's own members at this path, in copies; raises for those not supported yet."""
    inner = doc
    for step in filter(None, path.split(".")):
        if not isinstance(inner.get(step), dict):
            return
        inner[step] = inner = dict(inner[step])
    if later := sorted(_LATER[path] & inner.keys()):
        raise OperationNotSupported(f"{'.'.join(filter(None, (path, later[0])))}: not supported yet")
    for name in _OUTPUT[path] & inner.keys():
        del inner[name]


class _Expander:
    """Expands the names in each member, and remembers them by it; those in `known` as they were before."""

    def __init__(self, context: Context, known: Names) -> None:
        self._context = context
        self._known = known
        self.names: Names = {}

    def of(self, member: str) -> Callable[[str], str]:
        """Expands the names in this member."""
        known, names = self._known.get(member, {}), self.names.setdefault(member, {})

        def expand(name: str) -> str:
            names[name] = known.get(name) or self._context.expand(name)
            return names[name]

        return expand


def _expanded(read: Subscription, context: Context, known: Names) -> Subscription:
    expander, body = _Expander(context, known), read.body
    values = _expanded_values(body, expander.of("expandValues"))
    if body.q is not None:
        q_language.parse(body.q, expander.of("q"), values)
    if body.csf is not None:
        q_language.parse(body.csf, expander.of("csf"), what="csf")
    if body.geo_q is not None:
        geo.parse(body.geo_q.model_dump(exclude_none=True), expander.of("geoQ"))
    if body.scope_q is not None:
        scope.parse(body.scope_q)
    for one in body.entities or ():
        selector(one, expander.of("entities"))
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


def compiled_q(subscription: Subscription) -> Q | None:
    """The condition `q`, compiled."""
    body, names = subscription.body, subscription.names
    if body.q is None:
        return None
    values = _expanded_values(body, names.get("expandValues", {}).__getitem__)
    return q_language.parse(body.q, names["q"].__getitem__, values)


def _expanded_values(body: SubscriptionBody, expand: Callable[[str], str]) -> set[str]:
    """The attributes (IRIs) whose values in `q` are terms: those of expandValues, but for jsonKeys."""

    def names(text: str | None) -> set[str]:
        return {expand(one.strip()) for one in text.split(",")} if text is not None else set()

    return names(body.expand_values) - names(body.json_keys)


def compiled_geo_q(subscription: Subscription) -> GeoQuery | None:
    """The condition `geoQ`, compiled."""
    found = subscription.body.geo_q
    if found is None:
        return None
    return geo.parse(found.model_dump(exclude_none=True), subscription.names["geoQ"].__getitem__)


def _check_projections(params: NotificationParams, expander: _Expander, context: Context) -> None:
    def name(member: str) -> Callable[[str], str]:
        expand = expander.of(f"notification.{member}")
        return lambda text: expand(text) if attribute_name(text, context) else ""

    pick, omit = (projected(one, getattr(params, one), name(one)) for one in ("pick", "omit"))
    if pick and omit and pick.overlaps(omit):
        raise BadRequestData("notification: expected no member in both pick and omit")
    has_join = params.join in ("flat", "inline")
    depth = max((one.depth for one in (pick, omit) if one is not None), default=0)
    if depth > ((params.join_level or 1) if has_join else 0):
        raise BadRequestData("notification: braces need join, and a joinLevel of at least their depth")


def projected(member: str, texts: list[str] | None, name: Callable[[str], str]) -> Projection | None:
    """The projection (4.21) of a `pick` or `omit` of a subscription; `name` gives the IRIs of names."""
    return None if texts is None else projection.parse(member, ",".join(texts), name)


def selected_types(subscription: Subscription, selector: EntitySelector) -> set[str | None]:
    """The types (IRIs) that a selection names; None for any type at all."""
    names = subscription.names["entities"]
    return {None if name == "*" else names[name] for name in _NAMES.findall(selector.type)}
