"""Registrations of context sources, and the sources as they are asked."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.core.federation.matching import Spec
from broker.core.federation.origin import Origin
from broker.core.federation.registration import Registration
from broker.core.federation.source import Match, Source
from broker.core.federation.source_tally import SourceTally
from broker.core.federation.step import Reply, Step

Approve = Callable[[Registration], Awaitable[None]]


class Registrations(Protocol):
    """The registrations of each tenant. Those that have expired are gone."""

    async def create(self, tenant: str, registration: Registration, approve: Approve) -> None:
        """Stores a new one. AlreadyExists if its id is taken, Conflict if it clashes with another one.

        TooManyResults if the tenant has as many as it may have.

        What `approve` raises keeps it from being stored, too.
        """

    async def replace(
        self,
        tenant: str,
        registration_id: str,
        change: Callable[[Registration], Registration],
        approve: Approve,
    ) -> None:
        """Changes one; ResourceNotFound if there is none, else errors as when it is created."""

    async def delete(self, tenant: str, registration_id: str) -> None:
        """ResourceNotFound if there is none."""

    async def get(self, tenant: str, registration_id: str) -> Registration | None: ...

    def find(self, tenant: str, types: frozenset[str] | None) -> AsyncGenerator[Registration, None]:
        """Those that may be of entities of any of these types, or all, in the order of their ids."""


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """The changes to a tenant's sources up to `epoch`; its parts are as those of `SubscriptionChanges`."""

    epoch: int
    changed: Sequence[Source] = ()
    gone: Sequence[str] = ()
    whole: bool = False
    mark: str = ""


class SourceLog(Protocol):
    """What changed in the registrations of each tenant."""

    async def since(self, tenant: str, epoch: int, mark: str = "") -> SourceChanges:
        """The changes after an epoch; all sources for epoch -1, or if the mark is of another history.

        NonexistentTenant if there is no such tenant.
        """


class SourceTallyStore(Protocol):
    """The stored tallies of registrations that are there."""

    async def add_tallies(self, tenant: str, tallies: Mapping[str, SourceTally]) -> None:
        """Adds to the stored tallies, by registration id."""

    async def tallies(self, tenant: str, registration_ids: Collection[str]) -> Mapping[str, SourceTally]:
        """The stored tallies by registration id, of those that were asked."""


class Registry(Protocol):
    """The context sources of one tenant."""

    def concerned(self, spec: Spec, via: Collection[str], now: str) -> list[Match]:
        """The sources that a request concerns, in the order of their ids (5.12).

        Not those that have expired, nor those whose alias is a pseudonym in `via`. Modes and operations are
        for the caller to judge.
        """


class Sources(Protocol):
    """The context sources of all tenants, and how they are asked."""

    async def of(self, tenant: str) -> Registry | None:
        """The sources of a tenant; None if nothing is registered. Only its first use waits."""

    async def ask(self, origin: Origin, steps: Sequence[Step]) -> list[Reply]:
        """Carries out all steps, at the same time; their replies in the order of the steps.

        It never raises because of a source, and returns by the deadline.
        """

    async def tallies(self, tenant: str, registration_ids: Collection[str]) -> Mapping[str, SourceTally]:
        """How sources were asked so far, by registration id, without those that never were.

        The requests of other processes are a second behind, at most.
        """
