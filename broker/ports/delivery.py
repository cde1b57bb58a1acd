"""Notifications that are due, and how they are sent."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from broker.ports.changes import Entry, Settled


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """What to load of an entity: the first `limit` of those entries with a rev above `after` that are due to
    any of these subscriptions."""

    subscriptions: Set[str]
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class Pending:
    """Entries of one entity, in order; not `is_whole`: there are more of what was wanted after these."""

    entries: Sequence[Entry]
    is_whole: bool = True


class Outbox(Protocol):
    """The entries that are pending. A call that raises Unavailable, or anything else, is made again."""

    async def load(self, tenant: str, wanted: Mapping[str, PendingRequest]) -> dict[str, Pending]:
        """The pending entries of these entities, of whatever process, in order of their revs.

        What an entity shows is no older than the call, and nothing is missing before what it shows: who
        reads in two steps reads first what entries move out of, then what they move into.
        """

    async def page(self, tenant: str, after: str, subscriptions: Set[str], limit: int) -> list[str]:
        """The next entities (or subscriptions, of reports) that have entries by this process due to any of
        these subscriptions: ascending by code points, greater than `after`."""

    async def survey(self, tenant: str, after: str, limit: int) -> list[tuple[str, set[str]]]:
        """The next entities that have entries by this process, and all that those are due to."""

    async def settle(self, tenant: str, settled: Settled) -> None:
        """Writes down what is over, wherever the entries are by now and whoever is to deliver them.

        Durable when it returns. It is idempotent but for the tallies; if it fails, a part of it may be done.
        """

    async def count(self, tenant: str) -> int:
        """How many entries there are, of all processes."""

    async def forget(self, tenant: str, subscription: str) -> None:
        """Removes what is due to a subscription that is gone."""


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
