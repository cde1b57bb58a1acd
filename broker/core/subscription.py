"""Subscriptions (clause 5.2.12 and the types it is made of): what clients send, validated.

Names inside are expanded when a subscription is read, so that nothing of it depends on a later
@context: `Subscription.names` keeps the IRI of every name that its `q` and type selections use.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from broker.core import Json, instant, mqtt
from broker.core.errors import BadRequestData, OperationNotSupported
from broker.core.jsonld.context import Context
from broker.core.lang import pattern
from broker.core.lang import q as q_language
from broker.core.lang import types as type_language
from broker.core.uri import is_name, is_uri


def _checked(is_valid: Callable[[str], bool], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if not is_valid(value):
            raise ValueError(f"expected {expected}")
        return value

    return AfterValidator(check)


Uri = Annotated[str, _checked(is_uri, "a URI")]
Name = Annotated[str, _checked(is_name, "a name of letters, digits and _, or an IRI")]
Instant = Annotated[
    str, _checked(lambda t: instant.parse(t) is not None, "a date and time such as 2026-07-01T12:00:00Z")
]
EndpointUri = Annotated[
    str,
    _checked(
        lambda uri: re.match(r"https?://[^/\s]+", uri) is not None or mqtt.is_endpoint(uri),
        "an http or https URL, or mqtt[s]://[user][:password]@host[:port]/topic",
    ),
]
HeaderText = Annotated[
    str, _checked(lambda t: "\r" not in t and "\n" not in t and "\x00" not in t, "one line of text")
]


class _Member(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, strict=True
    )


class EntitySelector(_Member):
    """5.2.33: entities by type selection, and by id or a pattern of ids."""

    type: str
    id: Uri | list[Uri] | None = None
    id_pattern: str | None = None


class KeyValuePair(_Member):
    """5.2.22: a header to send along."""

    key: Annotated[
        str, _checked(lambda t: re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", t) is not None, "a header name")
    ]
    value: HeaderText


class Endpoint(_Member):
    """5.2.15: where notifications go, and how."""

    uri: EndpointUri
    accept: Literal["application/json", "application/ld+json"] = "application/json"
    timeout: Annotated[float, Field(gt=0)] | None = None
    receiver_info: list[KeyValuePair] | None = None
    notifier_info: list[KeyValuePair] | None = None
    cooldown: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _can_be_notified(self) -> "Endpoint":
        if self.uri.startswith("mqtt"):
            mqtt.endpoint(self.uri, ((pair.key, pair.value) for pair in self.notifier_info or ()))
        return self


class NotificationParams(_Member):
    """5.2.14: what is sent. `format` may be called keyValues as well as simplified."""

    endpoint: Endpoint
    attributes: Annotated[list[Name], Field(min_length=1)] | None = None
    format: Literal["normalized", "concise", "simplified", "keyValues"] = "normalized"
    sys_attrs: bool = False


class SubscriptionBody(_Member):
    """The members of a Subscription that its owner may set."""

    id: Uri | None = None
    type: Literal["Subscription"]
    subscription_name: str | None = None
    description: str | None = None
    entities: Annotated[list[EntitySelector], Field(min_length=1)] | None = None
    watched_attributes: Annotated[list[Name], Field(min_length=1)] | None = None
    q: Annotated[str, Field(min_length=1)] | None = None
    notification: NotificationParams
    throttling: Annotated[float, Field(gt=0)] | None = None
    expires_at: Instant | None = None
    is_active: bool | None = None
    jsonld_context: Uri | None = None


# Parts of the specification that are not here yet: refused, rather than ignored.
_LATER = {
    "": {"notificationTrigger", "geoQ", "scopeQ", "csf", "temporalQ", "timeInterval", "lang", "datasetId",
         "expandValues", "jsonKeys", "ngsildConformance", "localOnly", "splitEntities"},
    "notification": {"pick", "omit", "join", "joinLevel", "showChanges", "lang", "datasetId"},
    "notification.endpoint": set[str](),
}  # fmt: skip
# What the broker itself tells in answers; ignored when it comes back.
_OUTPUT = {
    "": {"@context", "status", "origin", "createdAt", "modifiedAt"},
    "notification": {"status", "timesSent", "timesFailed", "lastNotification", "lastSuccess", "lastFailure"},
    "notification.endpoint": set[str](),
}
_NAMES = re.compile(r"[^\s(),;|]+")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as the broker keeps it. Names in `body` are IRIs, but for `q` and type selections."""

    id: str
    body: SubscriptionBody
    context: Json
    created_at: str
    modified_at: str
    names: dict[str, str] = field(default_factory=dict)

    def status(self, now: str) -> str:
        """5.2.12: active, paused or expired, at this instant."""
        if self.body.expires_at and instant.ceiling(self.body.expires_at[:-1].replace(",", ".")) <= now:
            return "expired"
        return "paused" if self.body.is_active is False else "active"


def read(doc: Json, context: Context, new_id: str, now: str) -> Subscription:
    """A new subscription of what a client sent (5.8.1)."""
    subscription = _read(doc, context, new_id, now)
    _refuse_past(subscription, now)
    return subscription


def _read(doc: Json, context: Context, new_id: str, now: str) -> Subscription:
    body = _body(doc)
    if not body.entities and not body.watched_attributes:
        raise BadRequestData("subscription: expected entities or watchedAttributes")
    return _expanded(Subscription(body.id or new_id, body, context.source, now, now), context)


def _refuse_past(subscription: Subscription, now: str) -> None:
    if subscription.status(now) == "expired":
        raise BadRequestData("expiresAt: expected an instant that is still to come")


def updated(old: Subscription, fragment: Json, context: Context, now: str) -> Subscription:
    """The subscription after an update (5.8.2): the members of the fragment replace its own."""
    if not isinstance(fragment, dict) or not fragment:
        raise BadRequestData("subscription: expected a JSON object with at least one member")
    if fragment.get("id", old.id) != old.id:
        raise BadRequestData("id: cannot be changed")
    before = shown_body(old, lambda name: name)
    merged = {**before, **fragment, "type": fragment.get("type", "Subscription"), "id": old.id}
    if isinstance(fragment.get("notification"), dict):
        merged["notification"] = {**before["notification"], **fragment["notification"]}
    nulls = {k for k, v in merged.items() if v is None or v == "urn:ngsi-ld:null"}
    new = _read({k: v for k, v in merged.items() if k not in nulls}, _Remembering(old, context), old.id, now)
    if "expiresAt" in fragment:
        _refuse_past(new, now)
    return Subscription(old.id, new.body, old.context, old.created_at, now, {**old.names, **new.names})


def shown_body(subscription: Subscription, compact: Callable[[str], str]) -> dict[str, Json]:
    """The body as JSON, in the names that `compact` gives."""
    shown: dict[str, Json] = subscription.body.model_dump(by_alias=True, exclude_none=True)
    shown["id"] = subscription.id
    names = subscription.names
    for selector in shown.get("entities", ()):
        selector["type"] = _NAMES.sub(lambda m: compact(names.get(m[0], m[0])), selector["type"])
    if "watchedAttributes" in shown:
        shown["watchedAttributes"] = [compact(name) for name in shown["watchedAttributes"]]
    if "attributes" in shown["notification"]:
        shown["notification"]["attributes"] = [compact(name) for name in shown["notification"]["attributes"]]
    return shown


class _Remembering(Context):
    """The context of an update, which leaves alone the IRIs that the subscription has already."""

    def __init__(self, old: Subscription, context: Context) -> None:
        super().__init__(context.source, {}, {}, "")
        self._old, self._context = old.names, context

    def expand(self, name: str) -> str:
        return self._old.get(name) or self._context.expand(name)


def _body(doc: Json) -> SubscriptionBody:
    if not isinstance(doc, dict):
        raise BadRequestData("subscription: expected a JSON object")
    doc = dict(doc)
    for path in _LATER:
        _prune(doc, path)
    try:
        return SubscriptionBody.model_validate(doc)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadRequestData(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


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


def _expanded(read: Subscription, context: Context) -> Subscription:
    names: dict[str, str] = {}

    def expand(name: str) -> str:
        names[name] = context.expand(name)
        return names[name]

    body = read.body
    if body.q is not None:
        q_language.parse(body.q, expand)
    for selector in body.entities or ():
        type_language.parse(selector.type, expand)
        if selector.id_pattern is not None:
            pattern.compile(selector.id_pattern)
    changes: dict[str, Any] = {"id": read.id}
    if body.watched_attributes:
        changes["watched_attributes"] = [context.expand(name) for name in body.watched_attributes]
    if body.notification.attributes:
        expanded = [context.expand(name) for name in body.notification.attributes]
        changes["notification"] = body.notification.model_copy(update={"attributes": expanded})
    return Subscription(
        read.id, body.model_copy(update=changes), read.context, read.created_at, read.modified_at, names
    )


def selected_types(subscription: Subscription, selector: EntitySelector) -> set[str | None]:
    """The types (IRIs) that a selection names; None for any type at all."""
    return {None if name == "*" else subscription.names[name] for name in _NAMES.findall(selector.type)}
