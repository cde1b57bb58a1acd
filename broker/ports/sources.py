"""Registrations of context sources."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

from broker.core.federation.registration import Registration

Approve = Callable[[Registration], Awaitable[None]]


class Registrations(Protocol):
    """The registrations of each tenant. Those that have expired are gone."""

    async def create(self, tenant: str, registration: Registration, approve: Approve) -> None:
        """Stores a new one. AlreadyExists if its id is taken, Conflict if it clashes with another one.

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
