"""Notifications that are due, and how they are sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.ports.changes import Entry, Settled


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
