"""Operations that change the temporal evolution of entities (clauses 5.6.11 to 5.6.16)."""

from broker.core.temporal.revision import Addition, AttributeDeletion, InstanceChange, Removal, Revision
from broker.ports.broker import Broker


async def upsert_temporal(broker: Broker, tenant: str, entity_id: str, addition: Addition) -> bool:
    """5.6.11 Create or Update Temporal Evolution of an Entity. True if it was created."""
    created: bool = await broker.entities.change(tenant, entity_id, addition)
    return created


async def add_temporal_attrs(broker: Broker, tenant: str, entity_id: str, addition: Addition) -> None:
    """5.6.12 Add Attributes to Temporal Evolution of an Entity."""
    await _revise(broker, tenant, entity_id, addition)


async def delete_temporal_attr(
    broker: Broker, tenant: str, entity_id: str, deletion: AttributeDeletion
) -> None:
    """5.6.13 Delete Attribute from Temporal Evolution of an Entity."""
    await _revise(broker, tenant, entity_id, deletion)


async def modify_instance(broker: Broker, tenant: str, entity_id: str, change: InstanceChange) -> None:
    """5.6.14 Modify Attribute instance in Temporal Evolution of an Entity."""
    await _revise(broker, tenant, entity_id, change)


async def delete_instance(broker: Broker, tenant: str, entity_id: str, change: InstanceChange) -> None:
    """5.6.15 Delete Attribute instance from Temporal Evolution of an Entity."""
    await _revise(broker, tenant, entity_id, change)


async def delete_temporal(broker: Broker, tenant: str, entity_id: str) -> None:
    """5.6.16 Delete Temporal Evolution of an Entity."""
    await _revise(broker, tenant, entity_id, Removal())


async def _revise(broker: Broker, tenant: str, entity_id: str, revision: Revision) -> None:
    """Applies a revision. ResourceNotFound if there is no evolution, attribute or instance to revise."""
    await broker.entities.known(tenant)
    await broker.entities.change(tenant, entity_id, revision)
