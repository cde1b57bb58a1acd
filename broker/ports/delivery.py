"""Notifications that are due, and how they are sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.ports.changes import Entry, Settled


class Outbox(Protocol):
    """What is pending, in the store."""

    async def load(self, tenant: str, entity_ids: Sequence[str]) -> dict[str, list[Entry]]:
        """All pending entries of these, of whatever process, in order, with what they tell."""

    async def page(
        self, tenant: str, after: str, subscriptions: Sequence[str] | None, limit: int
    ) -> list[str]:
        """Ids, in order and behind `after`, of what has entries by this process that are due to any of these.

        They are of entities, and of subscriptions where reports are pending. None: due to anybody.
        """

    async def settle(self, tenant: str, settled: Settled) -> None:
        """Writes down what is over, and the tallies: durable when it returns, and idempotent."""

    async def forget(self, tenant: str, subscription: str) -> None:
        """Removes what is due to a subscription that is gone."""

    async def count(self, tenant: str) -> int:
        """How many entities and reports there are that have something pending, of all processes."""


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
