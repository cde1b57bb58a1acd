"""What clients send of a registration (clause 5.2.9 and the types it is made of), validated.

Members that 5.2.9 does not have are Context Source Properties, and read like attributes of an entity.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from broker.core import Json, instant
from broker.core.entity import geometry
from broker.core.entity.downgrade import conformant
from broker.core.entity.parse import is_scope
from broker.core.errors import BadRequestData
from broker.core.federation.operations import AUXILIARY, GROUPS, NAMES
from broker.core.lang import pattern
from broker.core.members import Dataset, Member, Uri, checked
from broker.core.members import read as read_members
from broker.core.subscription_body import Attribute, HeaderText, Instant, KeyValuePair, Name, is_web_url
from broker.core.subscription_limits import url_fault
from broker.core.temporal import aggregation_periods
from broker.core.uri import is_uri

MOST = 500  # information elements of a registration, and EntityInfos of all of them together

_ALIAS = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z\[\]]+(:[0-9]*)?")  # RFC 7230: a pseudonym, or host[:port]
_JSON_MEDIA = ("application/json", "application/ld+json")


def _regular(text: str) -> str:
    try:
        pattern.compile(text)
    except BadRequestData as error:
        raise ValueError(error.detail) from error
    return text


def _lasting(text: str) -> str:
    try:
        aggregation_periods.parse(text)
    except BadRequestData as error:
        raise ValueError("expected an ISO 8601 duration such as PT5M") from error
    return text


def _source(url: str) -> str:
    if not is_web_url(url):
        raise ValueError("expected an http or https URL, the root of the source's NGSI-LD interface")
    if (fault := url_fault(url)) is not None:
        raise ValueError(f"expected {fault}")
    return url


def _placed(value: Any) -> Any:
    try:
        geometry.check(value, "")
    except BadRequestData as error:
        raise ValueError(error.detail.removeprefix(": ").removeprefix(".")) from error
    return value


Text = Annotated[str, Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(_regular)]
Duration = Annotated[str, AfterValidator(_lasting)]
Geometry = Annotated[dict[str, Any], AfterValidator(_placed)]
Scope = Annotated[str, checked(is_scope, "/level/level…, each level of letters, digits and _")]
Milliseconds = Annotated[int | float, Field(gt=0, allow_inf_nan=False)]
Operation = Annotated[
    str, checked(lambda name: name in NAMES or name in GROUPS, "the name of an operation, or group, of 4.20")
]


class EntityInfo(Member):
    """5.2.8: entities of some types, by id or a pattern of ids. Without types one of these is needed."""

    type: Name | Annotated[list[Name], Field(min_length=1)] | None = None
    id: Uri | None = None
    id_pattern: Pattern | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "EntityInfo":
        if self.type is None and self.id is None and self.id_pattern is None:
            raise ValueError("type: expected a value, and it is missing")
        return self

    @property
    def types(self) -> tuple[str, ...]:
        """The types that it names; none for any."""
        return (self.type,) if isinstance(self.type, str) else tuple(self.type or ())


class RegistrationInfo(Member):
    """5.2.10: entities, and names of attributes that the source may have of them; any of these."""

    entities: Annotated[list[EntityInfo], Field(min_length=1)] | None = None
    property_names: Annotated[list[Attribute], Field(min_length=1)] | None = None
    relationship_names: Annotated[list[Attribute], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "RegistrationInfo":
        if not (self.entities or self.attrs):
            raise ValueError("expected entities, propertyNames or relationshipNames")
        return self

    @property
    def attrs(self) -> frozenset[str]:
        """The attributes that it names; none for any."""
        return frozenset((*(self.property_names or ()), *(self.relationship_names or ())))


class TimeInterval(Member):
    """5.2.11: from an instant on, up to and with another one if that is there."""

    start_at: Instant
    end_at: Instant | None = None

    @model_validator(mode="after")
    def _is_in_order(self) -> "TimeInterval":
        if self.end_at is not None and self.end < self.start:
            raise ValueError("endAt: expected an instant that is not before startAt")
        return self

    @property
    def start(self) -> int:
        """The first microsecond."""
        return instant.micros(instant.parse(self.start_at) or "")

    @property
    def end(self) -> float:
        """The last microsecond; infinity if it is open."""
        return float("inf") if self.end_at is None else instant.micros(instant.parse(self.end_at) or "")


class RegistrationManagementInfo(Member):
    """5.2.34: how the source is to be asked; times in milliseconds."""

    cache_duration: Duration | None = None
    cooldown: Milliseconds | None = None
    local_only: bool | None = None
    timeout: Milliseconds | None = None


_RESERVED: dict[
    str, tuple[Callable[[str], bool], str]
] = {  # 4.3.6.6: keys of contextSourceInfo that mean something to the broker
    "accept": (lambda value: value in _JSON_MEDIA, " or ".join(_JSON_MEDIA)),
    "contentType": (lambda value: value in _JSON_MEDIA, " or ".join(_JSON_MEDIA)),
    "jsonldContext": (is_uri, "the URL of an @context"),
    "ngsildConformance": (lambda value: conformant(value) is not None, "a version such as 1.8"),
}


def _check_pair(pair: KeyValuePair) -> None:
    if pair.key in _RESERVED:
        is_valid, expected = _RESERVED[pair.key]
        if not is_valid(pair.value):
            raise ValueError(f"contextSourceInfo: expected the value of {pair.key} to be {expected}")


class RegistrationBody(Member):
    """The members of a CSourceRegistration that its owner may set, but for Context Source Properties."""

    id: Uri | None = None
    type: Literal["ContextSourceRegistration"]
    registration_name: Text | None = None
    description: Text | None = None
    information: Annotated[list[RegistrationInfo], Field(min_length=1)]
    endpoint: Annotated[str, AfterValidator(_source)]
    context_source_info: list[KeyValuePair] | None = None
    context_source_alias: Annotated[
        str, checked(lambda t: _ALIAS.fullmatch(t) is not None, "a pseudonym of RFC 7230, without spaces")
    ] | None = None  # fmt: skip
    tenant: Annotated[HeaderText, Field(min_length=1)] | None = None
    dataset_id: Annotated[list[Dataset], Field(min_length=1)] | None = None
    scope: Scope | Annotated[list[Scope], Field(min_length=1)] | None = None
    location: Geometry | None = None
    observation_space: Geometry | None = None
    operation_space: Geometry | None = None
    observation_interval: TimeInterval | None = None
    management_interval: TimeInterval | None = None
    mode: Literal["inclusive", "exclusive", "redirect", "auxiliary"] | None = None
    operations: Annotated[list[Operation], Field(min_length=1)] | None = None
    management: RegistrationManagementInfo | None = None
    local_only: bool | None = None  # of older versions, in place of management.localOnly
    refresh_rate: Duration | None = None
    expires_at: Instant | None = None

    @model_validator(mode="after")
    def _is_of_its_mode(self) -> "RegistrationBody":
        if self.mode == "exclusive":
            self._check_exclusive()
        if self.mode == "auxiliary" and not AUXILIARY.issuperset(self.operations or ()):
            raise ValueError(
                f"operations: expected of {', '.join(sorted(AUXILIARY))}, since mode is auxiliary"
            )
        for pair in self.context_source_info or ():
            _check_pair(pair)
        return self

    def _check_exclusive(self) -> None:
        """4.3.6.3: an exclusive registration is of named attributes of entities with an id."""
        for number, info in enumerate(self.information):
            where = f"information.{number}"
            if not info.attrs:
                raise ValueError(f"{where}: expected names of attributes, since mode is exclusive")
            if not info.entities or any(
                one.id is None or one.id_pattern is not None for one in info.entities
            ):
                raise ValueError(f"{where}.entities: expected ids and no idPattern, since mode is exclusive")


MEMBERS = frozenset(field.alias or name for name, field in RegistrationBody.model_fields.items())
# What the broker itself tells in answers (table 5.2.9-2); ignored when it comes back.
_OUTPUT = frozenset(
    "@context status timesSent timesFailed lastSuccess lastFailure createdAt modifiedAt".split()
)


TAKEN = MEMBERS | _OUTPUT  # names that no Context Source Property is shown under


def divided(doc: Json) -> tuple[dict[str, Json], dict[str, Json]]:
    """The members of 5.2.9 in a document, and the Context Source Properties. BadRequestData if it is none."""
    if not isinstance(doc, dict):
        raise BadRequestData("registration: expected a JSON object")
    members = {name: value for name, value in doc.items() if name in MEMBERS}
    return members, {name: doc[name] for name in doc if name not in MEMBERS and name not in _OUTPUT}


def read_body(members: dict[str, Json]) -> RegistrationBody:
    """The body of these members; BadRequestData, which names the member, if they are none."""
    _check_size(members.get("information"))
    return read_members(RegistrationBody, members, "registration")


def _check_size(information: Json) -> None:
    """Refuses too much before each of it is looked at."""
    infos = information if isinstance(information, list) else []
    entities = sum(len(_entities(one)) for one in infos)
    if len(infos) > MOST or entities > MOST:
        raise BadRequestData(f"information: expected at most {MOST} elements, and as many entities in them")


def _entities(info: Json) -> list[Json]:
    found = info.get("entities") if isinstance(info, dict) else None
    return found if isinstance(found, list) else []
