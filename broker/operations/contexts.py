"""Operations on stored @contexts (clauses 5.13.2 to 5.13.5)."""

from collections.abc import Sequence

from broker.core import Json
from broker.core.errors import BadRequestData, OperationNotSupported, ResourceNotFound
from broker.core.jsonld.core_context import is_core
from broker.ports.broker import Broker
from broker.ports.contexts import CACHED, HOSTED, StoredContext


async def add_context(broker: Broker, tenant: str, source: Json) -> str:
    """5.13.2 Add @context: its local identifier."""
    return await broker.context_storage.add(tenant, source)


async def list_contexts(broker: Broker, tenant: str, kind: str | None) -> Sequence[StoredContext]:
    """5.13.3 List @contexts, of one kind if that is given."""
    return await broker.context_storage.list(tenant, kind)


async def serve_context(broker: Broker, tenant: str, name: str, *, details: bool) -> StoredContext:
    """5.13.4 Serve @context: its content, which a Cached one doesn't give, or what is known of it.

    Counts as a hit of what the broker stored by itself, as the ETSI suite has it.
    """
    found = await broker.context_storage.find(tenant, name)
    if found is None:
        raise _missing(name)
    if found.kind == CACHED and not details:
        raise OperationNotSupported(f"{name}: only a copy of what is elsewhere; details=true tells of it")
    if found.kind != HOSTED:
        broker.context_storage.note(found)
    return found


async def delete_context(broker: Broker, tenant: str, name: str) -> None:
    """5.13.5 Delete and Reload @context, without reload."""
    found = await broker.context_storage.find(tenant, name)
    if found is None:
        raise _missing(name)
    if is_core(found.url):
        raise BadRequestData("contextId: the core @context cannot be deleted")
    if not await broker.context_storage.remove(found):
        raise _missing(name)


async def reload_context(broker: Broker, tenant: str, name: str) -> None:
    """5.13.5 Delete and Reload @context, with reload."""
    found = await broker.context_storage.find(tenant, name)
    if found is None or found.kind != CACHED:
        raise BadRequestData(
            f"reload: expected the URL or identifier of a Cached @context, and {name} is none"
        )
    await broker.context_storage.reload(found)


def _missing(name: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no @context {name}")
