"""Operations on stored @contexts (clauses 5.13.2 to 5.13.5)."""

from collections.abc import Sequence

from broker.core import Json
from broker.core.errors import BadRequestData, OperationNotSupported, ResourceNotFound
from broker.core.jsonld.core_context import is_core
from broker.ports.broker import Broker
from broker.ports.contexts import CACHED, HOSTED, StoredContext


async def add_context(broker: Broker, tenant: str, source: Json) -> str:
    """5.13.2 Add @context. Returns its local identifier; BadRequestData if it is no valid @context."""
    return await broker.context_storage.add(tenant, source)


async def list_contexts(broker: Broker, tenant: str, kind: str | None) -> Sequence[StoredContext]:
    """5.13.3 List @contexts; `kind` limits them to one kind."""
    return await broker.context_storage.list(tenant, kind)


async def serve_context(broker: Broker, tenant: str, name: str, *, details: bool) -> StoredContext:
    """5.13.4 Serve @context. `details`: the caller shows its metadata and not its content.

    ResourceNotFound if there is none; OperationNotSupported for the content of a Cached one. It counts a hit
    for Cached and ImplicitlyCreated @contexts, as the ETSI suite expects.
    """
    context = await broker.context_storage.find(tenant, name)
    if context is None:
        raise _missing(name)
    if context.kind == CACHED and not details:
        raise OperationNotSupported(f"{name}: a Cached @context is not served, only its details=true")
    if context.kind != HOSTED:
        broker.context_storage.note(context)
    return context


async def delete_context(broker: Broker, tenant: str, name: str) -> None:
    """5.13.5 Delete and Reload @context, without reload.

    ResourceNotFound if there is none; BadRequestData for the core @context.
    """
    context = await broker.context_storage.find(tenant, name)
    if context is None:
        raise _missing(name)
    if is_core(context.url):
        raise BadRequestData("contextId: the core @context cannot be deleted")
    if not await broker.context_storage.remove(context):
        raise _missing(name)


async def reload_context(broker: Broker, tenant: str, name: str) -> None:
    """5.13.5 Delete and Reload @context, with reload.

    BadRequestData if there is no such Cached @context; LdContextNotAvailable if it cannot be fetched.
    """
    context = await broker.context_storage.find(tenant, name)
    if context is None or context.kind != CACHED:
        raise BadRequestData(f"reload: expected the URL or identifier of a Cached @context, not {name}")
    await broker.context_storage.reload(context)


def _missing(name: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no @context {name}")
