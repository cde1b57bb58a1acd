"""From a change to its notifications: the triggered subscriptions, and the results of the deliveries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broker.core.change import Change
from broker.core.delivery.entry import Entry as Entry
from broker.core.lang.terms import Q
from broker.core.subscription import Subscription


@dataclass(frozen=True, slots=True)
class Triggered:
    """A subscription that a change triggers. `throttling`: its period in microseconds, 0 for none.

    `shows_changes`: its notifications show the previous values, too. `condition`: the part of its query that
    looks at linked entities; the change triggers the subscription only if it holds.
    """

    subscription: str
    throttling: int = 0
    shows_changes: bool = False
    condition: Q | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionChanges:
    """The changes to a tenant's subscriptions up to `epoch`.

    `changed`: the subscriptions that were created or updated. `gone`: the ids of the deleted ones. `whole`:
    `changed` holds all subscriptions of the tenant. `mark`: the random name of the epoch; it differs where a
    restored backup reaches the same number again. `before`: the mark of the previous epoch, if this is the
    change of one subscription.
    """

    epoch: int
    changed: Sequence[Subscription]
    gone: Sequence[str] = ()
    whole: bool = False
    mark: str = ""
    before: str = ""


@dataclass(slots=True)
class Tally:
    """The delivery counters of one subscription and the instants of its last deliveries (5.2.14.2).

    In `Settled` it holds the part that is not stored yet; from `SubscriptionStore` it holds the stored
    totals.
    """

    sent: int = 0
    failed: int = 0
    last_notification: str | None = None
    last_success: str | None = None
    last_failure: str | None = None


@dataclass(slots=True)
class Settled:
    """Deliveries that are over, for one call of `Outbox.settle`.

    `finished`: by entity, the ids of entries that no subscription is waiting for any more. `partly`: by
    entity and entry id, the subscriptions whose delivery is over. Several copies of an entry may be in
    memory, so the store removes the entry once none of its subscriptions is left. `tallies`: by subscription.
    `dead_letters`: (entry, subscription, reason) of each notification that could not be delivered.
    """

    finished: dict[str, list[str]] = field(default_factory=dict)
    partly: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=dict)
    dead_letters: list[tuple[Entry, str, str]] = field(default_factory=list)


class ChangeSink(Protocol):
    """The receiver of committed changes; the notifier implements it."""

    async def at_epoch(self, tenant: str, epoch: int, mark: str = "") -> None:
        """Returns once the cached subscriptions of the tenant are at this epoch, or at a newer one.

        If the number and the mark do not continue the cached epoch, it reads all subscriptions again.
        """

    def triggered(self, tenant: str, change: Change) -> list[Triggered]:
        """The subscriptions that the change triggers (5.8.6).

        Unavailable if it triggers any, while the tenant's outbox is full.
        """

    def committed(self, entry: Entry, earlier: Sequence[Entry], is_whole: bool) -> None:
        """Takes an entry that was committed with its change. Never waits.

        `earlier`: the entries of the same entity that were pending at the commit, of all processes, by
        ascending rev; entries of the same commit are among them. They may lack their payload. Not `is_whole`:
        the store holds more entries before these. Calls for one entity come in the order of their revs.
        """
