"""The services and limits that the operations and the HTTP interface use, in one value."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from broker.clock import Clock
from broker.ports.contexts import ContextLoader, ContextStorage
from broker.ports.entities import DiscoveryStore, EntityStore, TemporalStore
from broker.ports.sources import Registrations, Sources
from broker.ports.subscriptions import DeadLetters, SubscriptionStore


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one request, and its defaults.

    `body_bytes`: the size of a body. `batch`: the items of a batch operation. `depth`: the nesting of JSON.
    `default_page`, `page`: the default and the maximum of `limit`. `temporal_page`: the instances of one
    attribute in a temporal answer. `linked`: the linked entities that one answer may join. `collation`: the
    ICU collation of an `orderBy` without one; None: by code points. `sources_deadline`: seconds for all that
    context sources are asked for one request; `sources`: how many one request may concern.
    `purges_as_asked`: whether a purge is sent to sources as wide as the client asks for it, though less is
    registered.
    """

    body_bytes: int
    batch: int
    depth: int
    default_page: int
    page: int
    temporal_page: int
    linked: int
    collation: str | None
    sources_deadline: float = 10.0
    sources: int = 256
    purges_as_asked: bool = False


@dataclass(frozen=True, slots=True)
class Broker:
    """The services of one worker.

    `tallied(tenant, subscription)` waits, for a short time at most, until the deliveries under way to the
    subscription are in its stored tally. `ready()` returns if the database answers; Unavailable if it does
    not. `alias`: the contextSourceAlias of this broker. `public_url`: the root URL by which clients reach it;
    None: the URL that the request names.
    """

    entities: EntityStore
    discovery: DiscoveryStore
    temporal: TemporalStore
    subscriptions: SubscriptionStore
    dead_letters: DeadLetters
    registrations: Registrations
    sources: Sources
    tallied: Callable[[str, str], Awaitable[None]]
    contexts: ContextLoader
    context_storage: ContextStorage
    limits: Limits
    ready: Callable[[], Awaitable[None]]
    clock: Clock
    alias: str
    public_url: str | None = None
