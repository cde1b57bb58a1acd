"""What follows from a change: to whom it is due, and what becomes of that."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.core.change import Change
from broker.core.delivery.entry import Entry as Entry
from broker.core.lang.terms import Q
from broker.core.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Triggered:
    """A subscription that a change is due to; `throttling` in microseconds, 0 for none.

    `shows_changes`: it is told of what was before, too. `condition`: it is due only if this holds, which
    looks at linked entities.
    """

    subscription: str
    throttling: int = 0
    shows_changes: bool = False
    condition: Q | None = None


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
    """Deliveries that are over, for one write: by entity and entry, and the tallies by subscription.

    `finished` are over for all that they were due to; `partly` for these subscriptions, and if nobody is left
    then (there may be several copies of an entry in memory), for all. `dead_letters`: those that were not
    delivered, with the subscription and the reason.
    """

    finished: dict[str, list[str]] = field(default_factory=dict)
    partly: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    dead_letters: list[tuple[Entry, str, str]] = field(default_factory=list)


class ChangeSink(Protocol):
    """Who is told of changes: the notifier."""

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """Returns when the subscriptions known are those of this epoch of the tenant, or newer.

        If the tenant is no more in an epoch that was known, all of them are read again.
        """

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """The subscriptions that the change triggers (5.8.6); Unavailable if there is no room for more."""

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Takes an entry that was committed with its change. Never waits.

        `earlier`: what was pending of its entity when it was committed, of whatever process, in order, and
        entries of the same commit too. These need no payload. Not `is_whole`: the store holds still earlier
        ones. Entries of one entity come in the order of their revs.
        """
