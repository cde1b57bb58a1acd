"""The stores of subscriptions, of their timers, and of dead letters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from broker.core.subscription import Subscription
from broker.ports.changes import Entry, SubscriptionChanges, Tally


class SubscriptionStore(Protocol):
    """Subscriptions, each with the `Tally` of its notifications."""

    async def create(self, tenant: str, subscription: Subscription) -> None:
        """Stores a new subscription; AlreadyExists if its id is taken."""

    async def get(self, tenant: str, subscription_id: str) -> tuple[Subscription, Tally] | None:
        """A subscription and its tally; None if there is none."""

    async def find(self, tenant: str, limit: int, offset: int) -> list[tuple[Subscription, Tally]]:
        """One page of subscriptions, each with its tally."""

    async def count(self, tenant: str) -> int:
        """The number of subscriptions of the tenant."""

    async def replace(
        self, tenant: str, subscription_id: str, change: Callable[[Subscription], Subscription]
    ) -> None:
        """Replaces a subscription by `change` of it; ResourceNotFound if there is none."""

    async def delete(self, tenant: str, subscription_id: str) -> None:
        """Deletes a subscription; ResourceNotFound if there is none."""

    async def last_due(self, tenant: str, subscription_id: str) -> int | None:
        """When (µs) a throttled subscription was last notified; None if never."""

    async def current_epoch(self, tenant: str) -> tuple[int, str]:
        """The tenant's epoch, as (number of changes of its subscriptions so far, mark)."""

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SubscriptionChanges:
        """The changes after this epoch (-1: all), read from one snapshot.

        All subscriptions if the tenant never had an epoch of this number and mark, or had it too long ago.
        """


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer that expired and is claimed by this process. Times are in microseconds since 1970.

    `every`: the interval of a periodic subscription, otherwise 0. `due`: when the timer expired.
    `until`: when the claim ends. `entity`: the entity whose notification throttling suppressed; None if the
    subscription is periodic.
    """

    tenant: str
    subscription: str
    every: int
    due: int
    until: int
    entity: str | None = None


class Timers(Protocol):
    """The timers of periodic subscriptions and of throttled notifications, shared by all processes."""

    async def claim(self, now: int) -> Timer | None:
        """Claims a timer that has expired by `now` (µs); None if there is none. The claim is a lease."""

    async def fire(self, timer: Timer, due: int, entry: Entry) -> bool:
        """Sets the timer to `due` and commits the entry, in one transaction. True if the entry was committed.

        It is not if the claim was lost, or if the subscription's last entry is still pending.
        """

    async def release(self, timer: Timer, period: int, entry: Entry) -> bool:
        """Commits an entry with all that throttling suppressed for a subscription. True if it was committed.

        It is not if the throttling period (µs) is not over, or if the last notification is still pending.
        """

    async def unclear(self) -> list[Entry]:
        """Entries that were committed though the reply was lost; each once.

        This process must deliver them.
        """

    async def drop(self, timer: Timer) -> None:
        """Removes a timer whose subscription needs no more notifications."""

    async def next(self) -> int | None:
        """When (µs) the next timer expires or its claim ends; None if there is no timer."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that could not be delivered.

    `entity`: the id of its entity; None for a report of a periodic subscription. `changed_at` and
    `given_up_at` are instants: when the change happened, and when delivery was abandoned. `reason`: the last
    error.
    """

    id: str
    entity: str | None
    changed_at: str
    given_up_at: str
    reason: str


class DeadLetters(Protocol):
    """The dead letters of subscriptions. `letter_id`: the id of a dead letter; None: all of them."""

    async def find(self, tenant: str, subscription_id: str, limit: int, offset: int) -> list[DeadLetter]:
        """One page, in the order of the changes."""

    async def count(self, tenant: str, subscription_id: str) -> int:
        """The number of dead letters of a subscription."""

    async def replay(self, tenant: str, subscription_id: str, letter_id: str | None) -> int:
        """Turns dead letters into new pending entries; returns their number."""

    async def delete(self, tenant: str, subscription_id: str, letter_id: str | None) -> int:
        """Deletes dead letters; returns their number."""
