"""The body of a subscription as clients send it (clause 5.2.12 and its data types), validated."""

import re
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, Field, model_validator

from broker.core import Json, instant, mqtt_endpoint
from broker.core.entity.downgrade import conformant
from broker.core.errors import BadRequestData
from broker.core.members import Dataset, Member, Texts, Uri, checked
from broker.core.members import read as read_members
from broker.core.query_body import GeoQ
from broker.core.selector import EntitySelector
from broker.core.uri import is_name, is_uri

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
        lambda uri: re.match(r"https?://[^/\s]+", uri) is not None or mqtt_endpoint.is_endpoint(uri),
        "an http or https URL, or mqtt[s]://[user][:password]@host[:port]/topic",
    ),
]
Version = Annotated[str, checked(lambda t: conformant(t) is not None, "a version such as 1.8")]
HeaderText = Annotated[
    str, checked(lambda t: "\r" not in t and "\n" not in t and "\x00" not in t, "one line of text")
]


def encoded(text: str) -> str:
    """A text that `unquote` turns into the given one: percent signs that look like a code are encoded."""
    return re.sub("%(?=[0-9A-Fa-f]{2})", "%25", text)


# A query text. Some clients percent-encode it in JSON as in a URL, so it is decoded when it is read. Percent
# signs of its own stay encoded, so that reading it again changes nothing; `unquote` gives its meaning.
Text = Annotated[str, Field(min_length=1), AfterValidator(lambda text: encoded(unquote(text)))]


def is_web_url(url: object) -> bool:
    """Whether this is an http or https URL."""
    return is_uri(url) and re.match("https?://[^/]", str(url)) is not None


ContextUrl = Annotated[str, checked(is_web_url, "an http or https URL, where an @context is")]
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
    """5.2.22: a header of the notification."""

    key: Annotated[
        str,
        checked(lambda t: re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", t) is not None, "a header name"),
        checked(lambda t: t.lower() not in _FRAMING, f"a header other than {', '.join(sorted(_FRAMING))}"),
    ]
    value: HeaderText


class Endpoint(Member):
    """5.2.15: where and how notifications are sent. `timeout` and `cooldown` in ms."""

    uri: EndpointUri
    accept: Literal["application/json", "application/ld+json", "application/geo+json"] | None = None
    timeout: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None
    receiver_info: list[KeyValuePair] | None = None
    notifier_info: list[KeyValuePair] | None = None
    cooldown: Annotated[int | float, Field(gt=0, allow_inf_nan=False)] | None = None

    @model_validator(mode="after")
    def _can_be_notified(self) -> "Endpoint":
        if self.uri.startswith("mqtt"):
            mqtt_endpoint.endpoint(self.uri, ((pair.key, pair.value) for pair in self.notifier_info or ()))
        return self


class NotificationParams(Member):
    """5.2.14: what a notification holds. The format keyValues is another name of simplified."""

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
    jsonld_context: ContextUrl | None = None
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


# Members that only the broker sets, by the path of their object. They are ignored when a client sends them.
_OUTPUT = {
    "": {"@context", "status", "origin", "createdAt", "modifiedAt"},
    "notification": {"status", "timesSent", "timesFailed", "lastNotification", "lastSuccess", "lastFailure"},
}


def read_body(doc: Json) -> SubscriptionBody:
    """The body in a document, without members that only the broker sets. BadRequestData if it is invalid."""
    if not isinstance(doc, dict):
        raise BadRequestData("subscription: expected a JSON object")
    doc = {name: value for name, value in doc.items() if not name.startswith("_")}  # not a name (4.6.2)
    for path in _OUTPUT:
        _prune(doc, path)
    return read_members(SubscriptionBody, doc, "subscription")


def _prune(doc: dict[str, Json], path: str) -> None:
    """Drops the members that only the broker sets at this path; nested objects are copied first."""
    inner = doc
    for step in filter(None, path.split(".")):
        if not isinstance(inner.get(step), dict):
            return
        inner[step] = inner = dict(inner[step])
    for name in _OUTPUT[path] & inner.keys():
        del inner[name]
