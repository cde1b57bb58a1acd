"""Every setting of the broker: one frozen model, read from `BROKER_*` variables or command-line flags."""

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from broker.core.errors import NgsiLdError
from broker.core.lang import collation
from broker.core.temporal.retention import parse as parse_retention

PREFIX = "BROKER_"
NONE = "none"  # how a variable or a flag says that an optional setting is off
_INDEXES = 40  # MongoDB has 64 for a collection
_DATABASE = r"^[A-Za-z0-9_]{1,20}$"  # tenants are appended, and MongoDB names end at 63 bytes


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
        default="0.0.0.0", description="Address to listen on; 127.0.0.1 keeps the broker to this machine."
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
        description="Folder of the embedded MongoDB's data; not used with a MongoDB of your own.",
    )

    mongo_uri: SecretStr | None = Field(
        default=None,
        description="MongoDB replica set (6.0 or newer) to use instead of the embedded one. "
        "Prefer the variable to the flag: other users can see a flag.",
    )
    mongod: Path | None = Field(
        default=None, description="The mongod to embed instead of the installed one, or of the one on PATH."
    )
    mongod_cache: int | None = Field(
        default=None,
        ge=256,
        le=1_048_576,
        description="MiB of cache of the embedded MongoDB; else a quarter of memory, at most 1024.",
    )
    transaction_lifetime: int | None = Field(
        default=5,
        ge=1,
        le=3600,
        description="Longest life of a transaction in the embedded MongoDB; none for MongoDB's own.",
    )
    database: str = Field(
        default="eridanus",
        pattern=_DATABASE,
        description="Name of the default tenant's database, prefix of all others.",
    )
    query_timeout: Seconds = Field(default=10.0, description="Longest time MongoDB may work on one query.")
    indexes: MaybeNames = Field(
        default=None,
        description="Attributes that queries often filter on, to be indexed in the background: names or "
        "IRIs by commas, with @ and a type for entities of that alone. What leaves the list is dropped.",
    )
    slow_query: Seconds = Field(
        default=0.1, description="Time above which a query says which indexes would help, once for each."
    )
    query_candidates: int = Field(
        default=20_000,
        ge=1,
        le=100_000,
        description="Most linked entities, or shapes to compare closely, that one query may need.",
    )

    log_level: LogLevel = Field(default="info", description="Least severe level that is logged.")
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="Form of log lines; auto is human at a terminal and JSON elsewhere."
    )
    alias: str = Field(
        default="eridanus",
        pattern=r"^[A-Za-z0-9._\-]{1,64}$",
        description="What this broker calls itself to others (contextSourceAlias).",
    )
    access_log: bool = Field(default=False, description="Log a line for every request.")

    cors_origins: MaybeNames = Field(
        default=None, description="Origins whose web pages may use the broker, by commas; * for any."
    )
    max_body_bytes: int = Field(
        default=16 * 1024**2, ge=1024, le=1024**3, description="Largest request body."
    )
    max_depth: int = Field(default=64, ge=8, le=512, description="Deepest nesting of JSON in a request.")
    default_limit: int = Field(
        default=20,
        ge=1,
        le=100_000,
        description="Entities per page when a request names no limit; max_limit where that is less.",
    )
    max_limit: int = Field(
        default=1000, ge=1, le=100_000, description="Most entities a request may ask for per page."
    )
    max_linked: int = Field(
        default=1000, ge=1, le=100_000, description="Most linked entities that one answer may join."
    )
    collation: str | None = Field(
        default=None,
        description="ICU collation of orderBy without one, such as und or de; else by code points.",
    )
    temporal_page: int = Field(
        default=1000, ge=1, le=100_000, description="Instances per attribute in one temporal answer."
    )
    delete_temporal_on_entity_delete: bool = Field(
        default=False, description="Delete an entity's history together with the entity."
    )
    unrecorded_types: Names = Field(
        default=(), description="Entity types without a history, by commas: IRIs, or plain names."
    )

    pack_after: Span | None = Field(
        default=86_400.0,
        description="Age at which history is packed, and takes a fifth of the space; none for never.",
    )
    pack_interval: Seconds = Field(default=60.0, description="Pause between two looks for history to pack.")

    retention: Names = Field(
        default=(),
        description="For how long history is kept, by commas: attribute@type=duration, attribute=…, @type=… "
        "or *=… for all, with names or IRIs, and durations such as P90D or P1Y. What says most decides.",
    )

    queue_limit: int = Field(
        default=20_000,
        ge=1,
        le=1_000_000,
        description="Writes that may wait, or be in one batch; more get 503, or 413.",
    )
    group_size: int = Field(default=256, ge=1, le=10_000, description="Most entities in one commit.")
    groups_in_flight: int = Field(
        default=2, ge=1, le=16, description="Commits of one worker under way at once."
    )
    read_batch: int = Field(
        default=128, ge=1, le=10_000, description="Most entities that retrievals fetch in one round trip."
    )

    rendering_bytes: int = Field(
        default=16 * 1024**2, ge=0, le=1024**4, description="Memory of a worker for entities as last shown."
    )
    public_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/?#\s]+$",
        description="This broker's URL for the world, such as https://city.example, in links to @contexts it "
        "hosts; else the one that a request names.",
    )
    context_timeout: Seconds = Field(
        default=5.0, description="Longest time for the download of one @context."
    )
    context_max_bytes: int = Field(
        default=1024**2, ge=1024, le=1024**3, description="Largest @context to download."
    )
    context_allowed_hosts: MaybeNames = Field(
        default=None,
        description="Hosts from which an @context may be downloaded, separated by commas; any, unless set.",
    )
    context_lifetime: Seconds = Field(
        default=86_400.0, description="Time after which an @context is fetched anew, if its host says none."
    )
    context_max_redirects: int = Field(
        default=3, ge=0, le=20, description="Redirects to follow for one @context."
    )

    notification_timeout: Seconds = Field(
        default=5.0, description="Longest time for the delivery of one notification."
    )
    notification_max_age: float = Field(
        default=86_400.0,
        gt=0,
        le=31_536_000,
        description="Age at which an undelivered notification is given up.",
    )
    notification_retry_first: Seconds = Field(
        default=0.5, description="Pause before the second attempt; it doubles from there."
    )
    notification_retry_cap: Seconds = Field(default=60.0, description="Longest pause between attempts.")
    notification_ca: Path | None = Field(
        default=None,
        description="Certificates (PEM) that receivers' are checked against, instead of the system's.",
    )
    notification_refusals: Statuses = Field(
        default=(400, 405, 410, 413, 414, 415, 422),
        description="Statuses of receivers, separated by commas, after which nothing is tried again.",
    )
    outbox_limit: int = Field(
        default=1_000_000,
        ge=1,
        le=10**9,
        description="Changes of a tenant that may wait to be told; what would be one more is answered 503.",
    )
    undelivered_age: float = Field(
        default=7 * 86_400.0,
        gt=0,
        le=31_536_000,
        description="Age at which a notification that was given up is deleted.",
    )
    undelivered_limit: int = Field(
        default=100_000, ge=0, le=10**9, description="Notifications given up that are kept for each tenant."
    )
    lane_limit: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Notifications in memory per receiver; more wait in MongoDB.",
    )
    deliveries_limit: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        description="Notifications in memory of a worker, for all receivers.",
    )
    lane_concurrency: int = Field(default=8, ge=1, le=256, description="Deliveries to one receiver at once.")

    process_lease: Seconds = Field(
        default=10.0, description="Silence after which other workers take a process for dead."
    )
    clock_bound: Seconds = Field(
        default=5.0,
        description="By how much a worker's clock may differ from MongoDB's before it says so.",
    )
    clock_offset: float = Field(
        default=0.0,
        ge=-(10**9),
        le=10**9,
        exclude=True,
        description="By how much a worker takes its clock to be ahead: for tests of wrong clocks.",
    )
    process_id: str = Field(
        default_factory=lambda: secrets.token_hex(8),
        pattern=r"^[0-9a-f]{16}$",
        description="Name of this process in MongoDB, 16 hexadecimal digits; new for every worker.",
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
        if any("" in one.split("@") or one.count("@") > 1 for one in names or ()):
            raise ValueError("should be names like temperature or temperature@Room, by commas")
        return names

    @field_validator("data_dir", "mongod", "notification_ca")
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
        """These settings as variables, from which another process reads the same ones."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {variable(name): text(value) for name, value in values}


SECTIONS = {  # the first field of each section, for help texts and documentation
    "host": "Server",
    "mongo_uri": "MongoDB",
    "log_level": "Logs",
    "cors_origins": "Requests",
    "queue_limit": "Throughput",
    "public_url": "Contexts",
    "notification_timeout": "Notifications",
    "process_lease": "Processes",
}


def variable(field: str) -> str:
    """The environment variable of a field: `data_dir` → `BROKER_DATA_DIR`."""
    return PREFIX + field.upper()


def text(value: Any) -> str:
    """A setting's value as a variable or a flag gives it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return NONE
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def complaints(error: ValidationError) -> list[str]:
    """One line for each setting that is wrong: its flag, its variable, and what it should be."""
    return [_complaint(detail) for detail in error.errors()]


def _complaint(detail: Mapping[str, Any]) -> str:
    field = str(detail["loc"][0])
    message = re.sub("^Input should", "should", str(detail["msg"]))
    return f"--{field.replace('_', '-')} ({variable(field)}) {message}"
