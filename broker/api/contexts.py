"""The resources /jsonldContexts and /jsonldContexts/{contextId} (clauses 6.29 and 6.30)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call, content_type, read_json
from broker.core import Json, instant
from broker.core.errors import BadRequestData, InvalidRequest
from broker.operations import contexts as operations
from broker.ports.contexts import CACHED, CONTEXT_KINDS, StoredContext

COLLECTION = "jsonldContexts"


async def add_context(call: Call) -> web.Response:
    """6.29.3.1 POST /jsonldContexts. InvalidRequest if the body has no @context."""
    p.allow(call.params)
    content_type(call.http)
    doc = await read_json(call.http, call.broker.limits)
    if not isinstance(doc, dict) or "@context" not in doc:
        raise InvalidRequest("body: expected a JSON object with @context")
    return reply.created(COLLECTION, await operations.add_context(call.broker, call.tenant, doc["@context"]))


async def list_contexts(call: Call) -> web.Response:
    """6.29.3.2 GET /jsonldContexts. BadRequestData if there is no such `kind`."""
    p.allow(call.params, ("details", "kind"))
    details, kind = p.flag(call.params, "details"), call.params.get("kind")
    if kind is not None and kind not in CONTEXT_KINDS:
        raise BadRequestData(f"kind: expected one of {', '.join(CONTEXT_KINDS)}")
    stored = await operations.list_contexts(call.broker, call.tenant, kind)
    show = _details if details else _url
    return reply.plain(200, [show(call, context) for context in stored])


async def serve_context(call: Call) -> web.Response:
    """6.30.3.1 GET /jsonldContexts/{contextId}."""
    p.allow(call.params, ("details",))
    details = p.flag(call.params, "details")
    context = await operations.serve_context(call.broker, call.tenant, call.path[0], details=details)
    return reply.served(call, _details(call, context) if details else context.document)


async def delete_context(call: Call) -> web.Response:
    """6.30.3.2 DELETE /jsonldContexts/{contextId}."""
    p.allow(call.params, ("reload",))
    operate = operations.reload_context if p.flag(call.params, "reload") else operations.delete_context
    await operate(call.broker, call.tenant, call.path[0])
    return reply.nothing()


def _url(call: Call, context: StoredContext) -> str:
    return context.url or call.root + reply.location(COLLECTION, context.id)


def _details(call: Call, context: StoredContext) -> dict[str, Json]:
    """The metadata of a stored @context (5.13.3.5)."""
    details: dict[str, Json] = {
        "URL": _url(call, context),
        "localId": context.id,
        "kind": context.kind,
        "createdAt": _instant(context.created),
        "numberOfHits": context.hits,
    }
    if context.used is not None:
        details["lastUsage"] = _instant(context.used)
    if context.kind == CACHED and context.expires is not None:
        details["expiresAt"] = _instant(context.expires)
    return details


def _instant(seconds: float) -> str:
    return instant.show(instant.of_micros(round(seconds * 1_000_000)))
