"""The settings of the broker: one frozen model, read from `BROKER_*` variables or command-line flags."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from broker.core.egress import egress_rule
from broker.core.errors import NgsiLdError
from broker.core.lang import collation
from broker.core.temporal.retention import parse as parse_retention

PREFIX = "BROKER_"
NONE = "none"  # the value of a variable or flag that switches an optional setting off
_INDEXES = 40  # MongoDB allows 64 for a collection, and the broker needs some itself
_DATABASE = r"^[A-Za-z0-9_]{1,20}$"  # the tenant is appended, and MongoDB allows 63 bytes


def _split(value: object) -> object:
    return (
        tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
    )


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
MaybeNames = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_split)]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"], BeforeValidator(lambda level: str(level).lower())
]
Statuses = Annotated[
    tuple[Annotated[int, Field(ge=300, le=599)], ...] | None, NoDecode, BeforeValidator(_split)
]
Span = Annotated[float, Field(ge=0, le=3_153_600_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Settings(BaseSettings):
    """The settings of one broker; sizes are bytes and times seconds unless a description says otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    host: str = Field(
        default="0.0.0.0", description="Address to listen on; with 127.0.0.1 only this machine can connect."
    )
    port: int = Field(
        default=1026, ge=0, le=65_535, description="TCP port to listen on; 0 chooses a free one."
    )
    workers: int = Field(
        default=1, ge=1, le=256, description="Processes that share the port; about one per core."
    )
    data_dir: Path = Field(
        default=Path("~/.local/share/eridanus"),
        validate_default=True,
        description="Folder of the embedded MongoDB's data; not used with an external MongoDB.",
    )

    mongo_uri: SecretStr | None = Field(
        default=None,
        description="MongoDB replica set (6.0 or newer) to use instead of the embedded one. "
        "Prefer the variable to the flag: other users can see a flag.",
    )
    mongod: Path | None = Field(
        default=None,
        description="Path of the mongod to embed; otherwise the installed one, or the one on PATH.",
    )
    mongod_cache: int | None = Field(
        default=None,
        ge=256,
        le=1_048_576,
        description="Cache of the embedded MongoDB in MiB; by default a quarter of memory, at most 1024.",
    )
    transaction_lifetime: int | None = Field(
        default=5,
        ge=1,
        le=3600,
        description="Maximum lifetime of a transaction in the embedded MongoDB; none for MongoDB's default.",
    )
    database: str = Field(
        default="eridanus",
        pattern=_DATABASE,
        description="Name of the default tenant's database, and prefix of the names of all other databases.",
    )
    query_timeout: Seconds = Field(
        default=10.0, description="Maximum time that MongoDB may work on one query."
    )
    indexes: MaybeNames = Field(
        default=None,
        description="Attributes to index, for queries that filter on them: names or IRIs, by commas; "
        "attribute@type for entities of one type only. Indexes that are no longer listed are dropped.",
    )
    slow_query: Seconds = Field(
        default=0.1, description="Time above which the log names indexes that would help a query, each once."
    )
    query_candidates: int = Field(
        default=20_000,
        ge=1,
        le=100_000,
        description="Maximum number of linked entities, or of geometries to compare exactly, for one query.",
    )

    log_level: LogLevel = Field(default="info", description="Lowest level that is logged.")
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="Format of log lines; auto is human at a terminal and json elsewhere."
    )
    alias: str = Field(
        default="eridanus",
        pattern=r"^[A-Za-z0-9._\-]{1,64}$",
        description="Name of this broker for other brokers (contextSourceAlias).",
    )
    access_log: bool = Field(default=False, description="Log a line for each request.")

    cors_origins: MaybeNames = Field(
        default=None,
        description="Origins whose web pages may use the broker (CORS), separated by commas; * for any.",
    )
    max_body_bytes: int = Field(
        default=16 * 1024**2, ge=1024, le=1024**3, description="Maximum size of a request body."
    )
    max_depth: int = Field(default=64, ge=8, le=512, description="Maximum nesting of JSON in a request.")
    default_limit: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Page size of requests without a limit; max_limit if that is smaller.",
    )
    max_limit: int = Field(
        default=1000, ge=1, le=100_000, description="Maximum page size that a request may ask for."
    )
    max_linked: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Maximum number of linked entities that one answer may join.",
    )
    collation: str | None = Field(
        default=None,
        description="Default ICU collation of orderBy, such as und or de; if not set, by code points.",
    )
    temporal_page: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Maximum number of instances per attribute in one temporal answer.",
    )
    delete_temporal_on_entity_delete: bool = Field(
        default=False, description="Delete an entity's history together with the entity."
    )
    unrecorded_types: Names = Field(
        default=(),
        description="Entity types whose history is not recorded: names or IRIs, separated by commas.",
    )

    pack_after: Span | None = Field(
        default=86_400.0,
        description="Age at which history is packed, into about a fifth of the space; none for never.",
    )
    pack_interval: Seconds = Field(
        default=60.0, description="Interval at which the packer looks for history to pack."
    )

    retention: Names = Field(
        default=(),
        description="How long history is kept: rules, by commas: attribute@type=duration, attribute=…, "
        "@type=… or *=… for all; names or IRIs, durations such as P90D. The most specific rule applies.",
    )

    queue_limit: int = Field(
        default=20_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of queued writes (else 503), and of items in a batch request (else 413).",
    )
    group_size: int = Field(
        default=256, ge=1, le=10_000, description="Maximum number of entities in one commit."
    )
    groups_in_flight: int = Field(
        default=2, ge=1, le=16, description="Maximum number of concurrent commits of a worker."
    )
    read_batch: int = Field(
        default=128,
        ge=1,
        le=10_000,
        description="Maximum number of entities that one round trip reads by id.",
    )

    rendering_bytes: int = Field(
        default=16 * 1024**2,
        ge=0,
        le=1024**4,
        description="Size of a worker's cache of renderings (entities as sent to clients).",
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+$",
        description="Public root URL of this broker, such as https://city.example, for links to @contexts "
        "that it hosts; if not set, the root URL of each request.",
    )
    context_timeout: Seconds = Field(
        default=5.0, description="Maximum time for the download of one @context."
    )
    context_max_bytes: int = Field(
        default=1024**2, ge=1024, le=1024**3, description="Maximum size of an @context to download."
    )
    context_allowed_hosts: MaybeNames = Field(
        default=None,
        description="Hosts from which @contexts may be downloaded, separated by commas; if not set, any.",
    )
    context_lifetime: Seconds = Field(
        default=86_400.0,
        description="Time after which an @context is fetched again, unless its host specifies one.",
    )
    context_max_redirects: int = Field(
        default=3, ge=0, le=20, description="Maximum number of redirects for one @context."
    )

    egress_private: bool = Field(
        default=True,
        description="Whether requests to other hosts (for @contexts, notifications, context sources) may go "
        "to loopback and private addresses; false where strangers may name hosts.",
    )
    egress_deny: Names = Field(
        default=(),
        description="Networks that such requests may not go to, by commas, beside link-local, unspecified, "
        "multicast and broadcast addresses and the metadata services of clouds, which are denied anyway.",
    )
    egress_allow: Names = Field(
        default=(),
        description="Hosts and networks that such requests may go to, whatever is denied: "
        "names and networks, separated by commas, such as receiver.example, 10.1.0.0/16.",
    )

    notification_timeout: Seconds = Field(
        default=5.0, description="Timeout of one attempt to deliver a notification."
    )
    notification_max_age: float = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        description="Age at which a pending notification becomes a dead letter.",
    )
    notification_retry_first: Seconds = Field(
        default=0.5, description="Pause before the first retry; it doubles with each further one."
    )
    notification_retry_cap: Seconds = Field(default=60.0, description="Maximum pause between retries.")
    notification_ca: Path | None = Field(
        default=None,
        description="CA certificates (PEM) to verify receivers with, instead of the system's.",
    )
    notification_refusals: Statuses = Field(
        default=(400, 405, 410, 413, 414, 415, 422),
        description="HTTP statuses of receivers, separated by commas, after which there is no retry.",
    )
    outbox_limit: int = Field(
        default=1_000_000,
        ge=1,
        le=10**9,
        description="Maximum number of pending entries of a tenant; further writes that notify get 503.",
    )
    undelivered_age: float = Field(
        default=7 * 86_400.0,
        gt=0,
        le=31_536_000,
        description="Age at which a dead letter is deleted.",
    )
    undelivered_limit: int = Field(
        default=100_000, ge=0, le=10**9, description="Maximum number of dead letters kept for each tenant."
    )
    lane_limit: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Maximum number of notifications in memory per receiver; more wait in MongoDB.",
    )
    deliveries_limit: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of notifications in a worker's memory, for all receivers.",
    )
    lane_concurrency: int = Field(
        default=8, ge=1, le=256, description="Maximum number of concurrent deliveries to one receiver."
    )

    federation_timeout: Seconds = Field(
        default=5.0,
        description="Maximum time for one request to a context source; a registration may set a shorter one.",
    )
    federation_deadline: Seconds = Field(
        default=10.0,
        description="Maximum time that one request of a client may wait for all context sources together.",
    )
    federation_max_bytes: int = Field(
        default=16 * 1024**2,
        ge=1024,
        le=1024**3,
        description="Maximum size of one answer of a context source; a larger one is not used.",
    )
    federation_fanout: int = Field(
        default=16,
        ge=1,
        le=256,
        description="Maximum number of context sources that one request of a client asks at the same time.",
    )
    federation_sources: int = Field(
        default=256,
        ge=1,
        le=10_000,
        description="Maximum number of context sources that one request may concern; for more it gets 403.",
    )
    federation_purge: Literal["narrowed", "as_asked"] = Field(
        default="narrowed",
        description="How a purge is sent to a context source of which only some attributes are registered: "
        "narrowed to these, or as it came, which deletes more than is registered.",
    )
    registrations_limit: int = Field(
        default=100_000,
        ge=1,
        le=10_000_000,
        description="Maximum number of registrations of a tenant, about; what would add to them gets 403.",
    )
    federation_ca: Path | None = Field(
        default=None,
        description="CA certificates (PEM) to verify context sources with, instead of the system's.",
    )

    process_lease: Seconds = Field(
        default=10.0,
        description="Lease of a process; a worker that does not renew it in time is taken for dead.",
    )
    clock_bound: Seconds = Field(
        default=5.0,
        description="Maximum difference of a worker's clock from MongoDB's without a warning.",
    )
    clock_offset: float = Field(
        default=0.0,
        ge=-(10**9),
        le=10**9,
        exclude=True,
        description="Time added to a worker's clock, for tests of wrong clocks.",
    )
    process_id: str = Field(
        default_factory=lambda: secrets.token_hex(8),
        pattern=r"^[0-9a-f]{16}$",
        description="Id of this process in MongoDB, 16 hexadecimal digits; new for each worker.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        return None if value == NONE else value

    @field_validator("retention")
    @classmethod
    def _rules(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_retention(texts, str)
        except NgsiLdError as error:
            raise ValueError(error.detail) from None
        return texts

    @field_validator("indexes")
    @classmethod
    def _attributes(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if len(names or ()) > _INDEXES:
            raise ValueError(f"should name {_INDEXES} attributes at most")
        if any("" in name.split("@") or name.count("@") > 1 for name in names or ()):
            raise ValueError("should be names like temperature or temperature@Room, separated by commas")
        return names

    @field_validator("egress_deny")
    @classmethod
    def _networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        egress_rule(deny=texts)
        return texts

    @field_validator("egress_allow")
    @classmethod
    def _hosts(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        egress_rule(allow=texts)
        return texts

    @field_validator("data_dir", "mongod", "notification_ca", "federation_ca")
    @classmethod
    def _home(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else None

    @field_validator("collation")
    @classmethod
    def _ordered(cls, name: str | None) -> str | None:
        try:
            if name is not None:
                collation.parse(name)
        except NgsiLdError as error:
            raise ValueError(error.detail) from error
        return name

    def environment(self) -> dict[str, str]:
        """These settings as environment variables, for another process to read."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {variable(name): text(value) for name, value in values}


SECTIONS = {  # the first field of each section, for help texts and documentation
    "host": "Server",
    "mongo_uri": "MongoDB",
    "log_level": "Logs",
    "cors_origins": "Requests",
    "queue_limit": "Throughput",
    "public_url": "Contexts",
    "egress_private": "Egress",
    "notification_timeout": "Notifications",
    "federation_timeout": "Federation",
    "process_lease": "Processes",
}


def variable(field: str) -> str:
    """The environment variable of a field: `data_dir` → `BROKER_DATA_DIR`."""
    return PREFIX + field.upper()


def text(value: Any) -> str:
    """A setting's value as text, as variables and flags have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return NONE
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def complaints(error: ValidationError) -> list[str]:
    """A line for each wrong setting: its flag, its variable, and the expected value."""
    return [_complaint(detail) for detail in error.errors()]


def _complaint(detail: Mapping[str, Any]) -> str:
    field = str(detail["loc"][0])
    message = re.sub("^(Input (?=should)|Value error, )", "", str(detail["msg"]))
    return f"--{field.replace('_', '-')} ({variable(field)}) {message}"
