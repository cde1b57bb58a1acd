"""Operations on registrations of context sources (clauses 5.9.2 to 5.9.4, 5.10.1 and 5.10.2)."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from broker.core.errors import Conflict, ResourceNotFound
from broker.core.federation.conflicts import collisions
from broker.core.federation.matching import Spec, matching_infos
from broker.core.federation.registration import Registration
from broker.core.federation.source_tally import SourceTally
from broker.core.lang.geo import load_geometries
from broker.ports.broker import Broker
from broker.ports.sources import Approve

Tallied = tuple[Registration, SourceTally]


async def register_context_source(broker: Broker, tenant: str, registration: Registration) -> None:
    """5.9.2 Register Context Source."""
    await broker.registrations.create(tenant, registration, _approval(broker, tenant))


async def update_registration(
    broker: Broker, tenant: str, registration_id: str, change: Callable[[Registration], Registration]
) -> None:
    """5.9.3 Update Context Source Registration."""
    await broker.registrations.replace(tenant, registration_id, change, _approval(broker, tenant))


async def delete_registration(broker: Broker, tenant: str, registration_id: str) -> None:
    """5.9.4 Delete Context Source Registration."""
    await broker.registrations.delete(tenant, registration_id)


async def retrieve_registration(broker: Broker, tenant: str, registration_id: str) -> Tallied:
    """5.10.1 Retrieve Context Source Registration. ResourceNotFound if there is none."""
    found = await broker.registrations.get(tenant, registration_id)
    if found is None:
        raise ResourceNotFound(f"there is no registration {registration_id}")
    return (await _with_tallies(broker, tenant, [found]))[0]


async def query_registrations(
    broker: Broker, tenant: str, spec: Spec, limit: int, offset: int, *, counted: bool
) -> tuple[list[Tallied], int | None, bool]:
    """5.10.2 Query Context Source Registrations: one page, the full count if asked for, and whether
    there is more.
    """
    if spec.geo is not None:
        await asyncio.to_thread(load_geometries)
    page: list[Registration] = []
    number = 0
    async with aclosing(broker.registrations.find(tenant, spec.type_names)) as registrations:
        async for one in registrations:
            if matching_infos(one, spec):
                page += [one] if offset <= number < offset + limit else []
                number += 1
                if not counted and number > offset + limit:
                    break
    tallied = await _with_tallies(broker, tenant, page)
    return tallied, number if counted else None, number > offset + limit


async def _with_tallies(broker: Broker, tenant: str, registrations: list[Registration]) -> list[Tallied]:
    ids = [registration.id for registration in registrations]
    tallies = await broker.sources.tallies(tenant, ids) if ids else {}
    return [(registration, tallies.get(registration.id, SourceTally())) for registration in registrations]


def _approval(broker: Broker, tenant: str) -> Approve:
    async def approve(registration: Registration) -> None:
        """Conflict if an entity is here that a proxied registration says to be elsewhere."""
        for query in collisions(registration):
            if found := (await broker.entities.find(tenant, query)).items:
                raise Conflict(
                    f"information: {found[0]['id']} is stored here, and a registration of mode "
                    f"{registration.mode} says that it, or an attribute of it, is not"
                )

    return approve
