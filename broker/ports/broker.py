"""All rooms together, for those above them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from broker.clock import Clock
from broker.ports.contexts import ContextLoader, ContextStorage
from broker.ports.entities import DiscoveryStore, EntityStore, TemporalStore
from broker.ports.subscriptions import DeadLetters, SubscriptionStore


@dataclass(frozen=True, slots=True)
class Limits:
    """What a requester may ask for. `linked`: entities that one answer may join to those asked for; `batch`:
    items that one request may have; `collation`: of orders that name none, None for code points.
    """

    body_bytes: int
    batch: int
    depth: int
    default_page: int
    page: int
    temporal_page: int
    linked: int
    collation: str | None


@dataclass(frozen=True, slots=True)
class Broker:
    """The rooms, for those above them. /health/ready awaits `ready`; `alias` names this broker to others.

    `tallied`, of a tenant and a subscription, returns when what is told to it right now is written down.
    `public_url` is the root under which clients reach it; None: the one that a request names.
    """

    entities: EntityStore
    discovery: DiscoveryStore
    temporal: TemporalStore
    subscriptions: SubscriptionStore
    undelivered: DeadLetters
    tallied: Callable[[str, str], Awaitable[None]]
    contexts: ContextLoader
    context_storage: ContextStorage
    limits: Limits
    ready: Callable[[], Awaitable[None]]
    clock: Clock
    alias: str
    public_url: str | None = None
