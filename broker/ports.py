"""Where the rooms meet: what each offers the others, as protocols and the values that travel.

`operations`, `store`, `notify` and `contexts` do not know each other; `main` hands each what it needs.
"""

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from broker.core import Attributes, Entity, Json
from broker.core.change import Change
from broker.core.discovery import Shape
from broker.core.entity.update import Rule
from broker.core.jsonld.context import Context
from broker.core.lang.terms import Q
from broker.core.query import Query
from broker.core.subscription import Subscription
from broker.core.temporal import Evolution, TemporalQuery
from broker.core.temporal.revision import Revision

Item = TypeVar("Item")

# Microseconds since 1970, each call more than the last one and not less than what is asked for.
Clock = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Due:
    """A subscription that a change is due to; `throttling` in microseconds, 0 for none.

    `shows_changes`: it is told of what was before, too. `condition`: it is due only if this holds, which
    looks at linked entities.
    """

    subscription: str
    throttling: int = 0
    shows_changes: bool = False
    condition: Q | None = None


@dataclass(slots=True)
class Entry:
    """One change in the outbox, and the subscriptions that have not been told of it yet.

    `stamp` orders the entries of an entity. `foreign`: the entity was last written by another process,
    which may still be telling of that. The entity is as `core.change.told` has it; `previous` holds the
    attribute instances before the change, where somebody wants to know. `is_report`: it is no change, but
    the time of a periodic subscription, whose id stands for the entity's; what there is to tell is read
    when it is sent. `has_waited`: for another process, as others are likely to wait for it.
    """

    id: str
    tenant: str
    stamp: int
    entity: Entity
    due: set[str]
    foreign: bool = False
    previous: Attributes | None = None
    is_report: bool = False
    has_waited: bool = False


@dataclass(frozen=True, slots=True)
class SubscriptionChanges:
    """Subscriptions that changed, and the ids of those deleted; `whole`: these are all there are."""

    epoch: int
    changed: Sequence[Subscription]
    gone: Sequence[str] = ()
    whole: bool = False


@dataclass(slots=True)
class Tally:
    """What happened to one subscription's notifications since it was last written down (5.2.14.2)."""

    sent: int = 0
    failed: int = 0
    last_notification: str | None = None
    last_success: str | None = None
    last_failure: str | None = None


@dataclass(slots=True)
class Settled:
    """Deliveries that are over, for one write to the outbox: entry id → subscriptions, and the tallies.

    `names` are all of them, by entry id and subscription.
    """

    names: list[tuple[str, str]] = field(default_factory=list)
    told: dict[str, list[str]] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    tallies: dict[str, Tally] = field(default_factory=dict)
    given_up: list[tuple[Entry, str, str]] = field(default_factory=list)


class ChangeSink(Protocol):
    """Who is told of changes: the notifier."""

    async def at_epoch(self, tenant: str, epoch: int) -> None:
        """Returns when the subscriptions known are those of this epoch of the tenant, or newer."""

    def due(self, tenant: str, change: Change) -> list[Due]:
        """The subscriptions that the change triggers (5.8.6); Unavailable if there is no room for more."""

    def throttled(self, tenant: str, subscription: str, last: int) -> None:
        """Tells when (µs) a throttled subscription was last due, whoever found it so."""

    def committed(self, entries: Sequence[Entry]) -> None:
        """Takes the entries that were committed with their changes. Never waits."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """How entities are shown, as bytes: none if nothing is to be shown.

    Two renderers of one `key` make the same of the same entity.
    """

    key: Hashable
    render: Callable[[Entity], bytes]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a query. If there is `more`, `after` is its key, which has the next one begin behind it.

    There is none where it would be longer than a URL may be.
    """

    items: Sequence[Item]
    more: bool = False
    after: str | None = None


class EntityStore(Protocol):
    """Entities, and every write to them."""

    async def get(self, tenant: str, entity_id: str) -> Entity | None: ...

    async def show(self, tenant: str, entity_id: str, renderer: Renderer) -> bytes | None:
        """An entity as the renderer shows it."""

    async def show_page(self, tenant: str, query: Query, renderer: Renderer) -> Page[bytes]:
        """One page as the renderer shows it, without what it does not show."""

    async def find(self, tenant: str, query: Query) -> Page[Entity]:
        """One page. BadRequestData if `query.after` is no page's key."""

    async def count(self, tenant: str, query: Query) -> int: ...

    async def known(self, tenant: str) -> None:
        """NonexistentTenant if nothing was ever written for this tenant."""

    async def change(self, tenant: str, entity_id: str, rule: Rule | Revision) -> Any:
        """Applies the rule and returns its answer once change, history and what is due are durable.

        A revision changes the history of the entity and nothing else.
        """

    async def change_many(self, tenant: str, changes: Sequence[tuple[str, Rule | Revision]]) -> list[Any]:
        """Applies each rule, in order; for each its answer or the exception it failed with."""


class DiscoveryStore(Protocol):
    """What entities there are, by what they have in common."""

    async def shapes(self, tenant: str) -> list[Shape]:
        """Every shape that an entity has now."""

    async def count(self, tenant: str, shapes: Collection[int]) -> int:
        """How many entities are of these shapes, by their ids."""


class TemporalStore(Protocol):
    """The history of entities."""

    async def evolution(self, tenant: str, entity_id: str, query: TemporalQuery) -> Evolution | None: ...

    async def evolutions(self, tenant: str, query: TemporalQuery) -> list[Evolution]: ...

    async def count(self, tenant: str, query: TemporalQuery) -> int: ...


class SubscriptionStore(Protocol):
    """Subscriptions and what became of their notifications."""

    async def create(self, tenant: str, subscription: Subscription) -> None: ...

    async def get(self, tenant: str, subscription_id: str) -> tuple[Subscription, Tally] | None: ...

    async def find(self, tenant: str, limit: int, offset: int) -> list[tuple[Subscription, Tally]]: ...

    async def count(self, tenant: str) -> int: ...

    async def replace(
        self, tenant: str, subscription_id: str, change: Callable[[Subscription], Subscription]
    ) -> None:
        """Changes a subscription; ResourceNotFound if there is none."""

    async def delete(self, tenant: str, subscription_id: str) -> None: ...

    async def last_due(self, tenant: str, subscription_id: str) -> int | None:
        """When (µs) a throttled subscription was last due."""

    async def current_epoch(self, tenant: str) -> int:
        """The tenant's epoch: how often its subscriptions have changed."""

    async def since(self, tenant: str, epoch: int) -> SubscriptionChanges:
        """What changed after this epoch (-1: nothing is known yet), as of one moment."""


@dataclass(frozen=True, slots=True)
class Timer:
    """A periodic subscription that is due, claimed by this process. Times in microseconds."""

    tenant: str
    subscription: str
    every: int
    due: int
    until: int


class Timers(Protocol):
    """When periodic subscriptions are due: one time for all processes."""

    async def claim(self, now: int) -> Timer | None:
        """One that is due at this time, for this process to see to before the claim runs out."""

    async def fire(self, timer: Timer, due: int, entry: Entry) -> bool:
        """Sets when it is due next and commits the entry, at once; False if there is no entry to deliver.

        There is none if the claim was lost, or the last one has not been told yet.
        """

    async def drop(self, timer: Timer) -> None:
        """Removes a timer whose subscription is not to be told any more."""

    async def next(self) -> int | None:
        """When the next one is to be looked at; None if there is none."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A notification that was given up: of which entity, as of when, and when and why that was (instants).

    `entity` is None if it was of all that a periodic subscription tells of.
    """

    id: str
    entity: str | None
    changed_at: str
    given_up_at: str
    reason: str


class Undelivered(Protocol):
    """The notifications that were given up, by subscription. `failure_id`: one of them; None for all."""

    async def find(self, tenant: str, subscription_id: str, limit: int, offset: int) -> list[Failure]:
        """One page, in the order in which they were due."""

    async def count(self, tenant: str, subscription_id: str) -> int: ...

    async def replay(self, tenant: str, subscription_id: str, failure_id: str | None) -> int:
        """Makes them due once more, as if they were new; how many there were."""

    async def delete(self, tenant: str, subscription_id: str, failure_id: str | None) -> int:
        """Forgets them; how many there were."""


class Outbox(Protocol):
    """The notifications that are due."""

    async def blocked(self, tenant: str, entries: Sequence[Entry]) -> set[str]:
        """Which of these entries (ids) have to wait for another process to tell of an earlier change."""

    async def settle(self, tenant: str, settled: Settled) -> None:
        """Writes down what was told, and the tallies."""

    async def count(self, tenant: str) -> int:
        """How many entries there are, of all processes."""

    async def forget(self, tenant: str, subscription: str) -> None:
        """Removes what is due to a subscription that is gone from this process's entries."""

    async def mine(self, tenant: str, after: str, subscriptions: Sequence[str], limit: int) -> list[Entry]:
        """This process's entries due to these subscriptions, with ids from `after` on, in order."""


class ContextLoader(Protocol):
    """@contexts, compiled."""

    async def resolve(self, source: Json, tenant: str = "") -> Context:
        """The context of an @context value; LdContextNotAvailable or BadRequestData if it cannot be had."""

    @property
    def core(self) -> Context:
        """The core context alone."""


CACHED, HOSTED, IMPLICIT = "Cached", "Hosted", "ImplicitlyCreated"
CONTEXT_KINDS = (CACHED, HOSTED, IMPLICIT)
ContextKey = tuple[str, str]  # the tenant of a stored @context, and its URL or local identifier


@dataclass(frozen=True, slots=True)
class StoredContext:
    """An @context in the storage (5.13.1), and the JSON object that holds it; times in seconds since 1970.

    A Cached one is of no tenant, and has the `url` that it was fetched from.
    """

    id: str
    kind: str
    document: Json
    created: float
    tenant: str = ""
    url: str | None = None
    expires: float | None = None
    hits: int = 0
    used: float | None = None

    @property
    def key(self) -> ContextKey:
        """What it is found by."""
        return self.tenant, self.url or self.id


class ContextStorage(Protocol):
    """The @contexts that the broker stores (5.13). What is changed here, every worker knows at once."""

    async def add(self, tenant: str, source: Json) -> str:
        """Stores a Hosted one; its local identifier. BadRequestData if it is no @context."""

    async def url(self, tenant: str, source: Json, root: str) -> str:
        """A URL that stands for this @context, under which this broker serves it if nobody else does.

        That of a single URL is itself; otherwise an ImplicitlyCreated one is stored, once for each content.
        `root` is the broker's own URL, such as http://localhost:1026.
        """

    async def find(self, tenant: str, name: str) -> StoredContext | None:
        """The one of this local identifier, or of this URL if it is Cached."""

    async def list(self, tenant: str, kind: str | None) -> Sequence[StoredContext]:
        """All that this tenant sees, of one kind if that is given."""

    def note(self, one: StoredContext) -> None:
        """Counts a hit."""

    async def remove(self, one: StoredContext) -> bool:
        """Removes one; False if it is gone already."""

    async def reload(self, one: StoredContext) -> None:
        """Fetches a Cached one anew; LdContextNotAvailable if that fails, and all stays as it was."""


@dataclass(frozen=True, slots=True)
class Message:
    """One notification on its way: where to, with which headers and body, and how (`notifierInfo`)."""

    uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    notifier: tuple[tuple[str, str], ...] = ()


class Sender(Protocol):
    """Delivers a message to one kind of endpoint; raises `DeliveryFailed` if it isn't taken in time."""

    async def send(self, message: Message, seconds: float) -> None: ...

    async def close(self) -> None: ...


class DeliveryFailed(Exception):
    """The endpoint did not take the notification; says why.

    `is_final`: it will not take it, however often it is tried. `rest`: seconds for which the endpoint wants
    to be left alone.
    """

    def __init__(self, reason: str, *, is_final: bool = False, rest: float = 0.0) -> None:
        super().__init__(reason)
        self.is_final = is_final
        self.rest = rest


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
    undelivered: Undelivered
    tallied: Callable[[str, str], Awaitable[None]]
    contexts: ContextLoader
    context_storage: ContextStorage
    limits: Limits
    ready: Callable[[], Awaitable[None]]
    alias: str
    public_url: str | None = None
