"""What follows from a change: to whom it is due, and what becomes of that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.core import Attributes, Entity
from broker.core.change import Change
from broker.core.lang.terms import Q
from broker.core.subscription import Subscription


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

    `stamp`, the revision of the entity, orders its entries; `time` (µs, the server's) is when it became due.
    `foreign`: the entity was last written by another process,
    which may still be telling of that. The entity is as `core.change.told` has it; `previous` holds the
    attribute instances before the change, where somebody wants to know. `is_report`: it is no change, but
    the time of a periodic subscription, whose id stands for the entity's; what there is to tell is read
    when it is sent. `suppressed`: the newest states of the entities, each with its previous attributes, that
    throttling suppressed for one subscription, whose id stands for the entity's then, too.
    `has_waited`: for another process, as others are likely to wait for it. `cut`: what is missing, and why.
    """

    id: str
    tenant: str
    stamp: int
    entity: Entity
    due: set[str]
    foreign: bool = False
    previous: Attributes | None = None
    is_report: bool = False
    suppressed: Sequence[tuple[Entity, Attributes | None]] = ()
    has_waited: bool = False
    cut: str = ""
    time: int = 0

    def states(self) -> Sequence[tuple[Entity, Attributes | None]]:
        """The entities that it tells of, each with its attributes before; a report has its own besides."""
        return self.suppressed or ((self.entity, self.previous),)


@dataclass(frozen=True, slots=True)
class SubscriptionChanges:
    """Subscriptions that changed, and the ids of those deleted; `whole`: these are all there are.

    `mark` is the random name of the epoch, which tells it from another of its number, as there may be after a
    backup was restored; `before` the mark of the epoch that one change was made in.
    """

    epoch: int
    changed: Sequence[Subscription]
    gone: Sequence[str] = ()
    whole: bool = False
    mark: str = ""
    before: str = ""


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

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """Returns when the subscriptions known are those of this epoch of the tenant, or newer.

        If the tenant is no more in an epoch that was known, all of them are read again.
        """

    def due(self, tenant: str, change: Change) -> list[Due]:
        """The subscriptions that the change triggers (5.8.6); Unavailable if there is no room for more."""

    def committed(self, entries: Sequence[Entry]) -> None:
        """Takes the entries that were committed with their changes. Never waits."""
