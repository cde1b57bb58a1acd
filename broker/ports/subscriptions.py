"""Subscriptions, when the periodic ones are due, and what could not be delivered."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from broker.core.subscription import Subscription
from broker.ports.changes import Entry, SubscriptionChanges, Tally


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

    async def current_epoch(self, tenant: str) -> tuple[int, str]:
        """The tenant's epoch, which is how often its subscriptions have changed, and its mark."""

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SubscriptionChanges:
        """What changed after this epoch (-1: nothing is known yet), as of one moment.

        All there is if the tenant was never in an epoch of this number and mark, or was so long ago.
        """


@dataclass(frozen=True, slots=True)
class Timer:
    """A subscription that is due, claimed by this process. Times in microseconds.

    `entity`: the entity whose state throttling suppressed; None if the subscription is periodic.
    """

    tenant: str
    subscription: str
    every: int
    due: int
    until: int
    entity: str | None = None


class Timers(Protocol):
    """When periodic subscriptions, and what throttling suppressed, are due: one time for all processes."""

    async def claim(self, now: int) -> Timer | None:
        """One that is due at this time, for this process to see to before the claim runs out."""

    async def fire(self, timer: Timer, due: int, entry: Entry) -> bool:
        """Sets when it is due next and commits the entry, at once; False if there is no entry to deliver.

        There is none if the claim was lost, or the last one has not been told yet.
        """

    async def release(self, timer: Timer, period: int, entry: Entry) -> bool:
        """Commits the entry with all that was suppressed of a subscription; False if there is no entry.

        There is none yet if the throttling period (µs) is not over, or the last notification still pending.
        """

    async def unclear(self) -> list[Entry]:
        """Entries that were committed though this process was not told so, for it to deliver; each once."""

    async def drop(self, timer: Timer) -> None:
        """Removes a timer whose subscription is not to be told any more."""

    async def next(self) -> int | None:
        """When the next one is to be looked at; None if there is none."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A notification that was given up: of which entity, as of when, and when and why that was (instants).

    `entity` is None if it was of all that a periodic subscription tells of.
    """

    id: str
    entity: str | None
    changed_at: str
    given_up_at: str
    reason: str


class DeadLetters(Protocol):
    """The notifications that were given up, by subscription. `failure_id`: one of them; None for all."""

    async def find(self, tenant: str, subscription_id: str, limit: int, offset: int) -> list[DeadLetter]:
        """One page, in the order in which they were due."""

    async def count(self, tenant: str, subscription_id: str) -> int: ...

    async def replay(self, tenant: str, subscription_id: str, failure_id: str | None) -> int:
        """Makes them due once more, as if they were new; how many there were."""

    async def delete(self, tenant: str, subscription_id: str, failure_id: str | None) -> int:
        """Forgets them; how many there were."""
