"""The outbox of pending entries, and the senders of notifications."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from broker.ports.changes import Entry, Settled


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """Which pending entries of an entity to load.

    The first `limit` entries whose rev is above `after` and that are pending for any of `subscriptions`.
    """

    subscriptions: Set[str]
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class Pending:
    """Pending entries of one entity, by ascending rev. Not `is_whole`: more entries match the request."""

    entries: Sequence[Entry]
    is_whole: bool = True


class Outbox(Protocol):
    """The pending entries of all tenants. Callers repeat a call that raises, whatever it raises."""

    async def load(self, tenant: str, wanted: Mapping[str, PendingRequest]) -> dict[str, Pending]:
        """The pending entries of these entities, by entity, of all processes.

        The entries of an entity are as of a moment after the call began, and none is missing before the last
        one. Entries move from documents to the outbox, so an implementation that reads twice reads the
        documents first.
        """

    async def page(self, tenant: str, after: str, subscriptions: Set[str], limit: int) -> list[str]:
        """The next `limit` entities with entries of this process that are pending for these subscriptions.

        They ascend by code points and are greater than `after`. Reports of periodic subscriptions are listed
        by the id of their subscription.
        """

    async def survey(self, tenant: str, after: str, limit: int) -> list[tuple[str, set[str]]]:
        """The next `limit` entities above `after` with entries of this process: (entity, subscriptions)."""

    async def settle(self, tenant: str, settled: Settled) -> None:
        """Removes settled entries, adds tallies and keeps dead letters; durable when it returns.

        It finds entries in documents and in the outbox, of all processes. All but the tallies is idempotent.
        If it fails, a part may be done.
        """

    async def count(self, tenant: str) -> int:
        """The number of pending entries, of all processes."""

    async def forget(self, tenant: str, subscription: str) -> None:
        """Removes what is pending for a deleted subscription."""


@dataclass(frozen=True, slots=True)
class Message:
    """One notification, ready to send: the endpoint, headers and body; `notifier` is its `notifierInfo`."""

    uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    notifier: tuple[tuple[str, str], ...] = ()


class Sender(Protocol):
    """Sends messages to one kind of endpoint, HTTP or MQTT."""

    async def send(self, message: Message, seconds: float) -> None:
        """Delivers a message; DeliveryFailed if the endpoint does not accept it within that many seconds."""

    async def close(self) -> None:
        """Closes all connections."""


class DeliveryFailed(Exception):
    """The endpoint did not accept the notification; the message gives the reason, as clients may see it.

    `detail`: the reason for the log, if there is more to say. `is_final`: a retry is useless. `rest`: seconds
    for which the endpoint asked to be left alone.
    """

    def __init__(self, reason: str, *, detail: str = "", is_final: bool = False, rest: float = 0.0) -> None:
        super().__init__(reason)
        self.detail = detail or reason
        self.is_final = is_final
        self.rest = rest
