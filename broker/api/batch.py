"""/entityOperations (clauses 6.14, 6.15 and 6.17)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.problem import details
from broker.core import Json
from broker.core.entity import parse
from broker.core.errors import BadRequestData, InvalidRequest, NgsiLdError
from broker.core.jsonld.context import Context
from broker.core.uri import is_uri
from broker.operations import batch as operations
from broker.operations.batch import BatchResult, Item


async def batch_create(call: Call) -> web.Response:
    """6.14.3.1 POST /entityOperations/create."""
    p.allow(call.params)
    items = await _items(call)
    result = await operations.batch_create(call.broker, call.tenant, items)
    return _mixed(result) if result.errors else reply.plain(201, result.created)


async def batch_upsert(call: Call) -> web.Response:
    """6.15.3.1 POST /entityOperations/upsert."""
    p.allow(call.params, ("options",))
    chosen = p.options(call.params, ("replace", "update"))
    if len(chosen) > 1:
        raise InvalidRequest("options: expected replace or update, not both")
    items = await _items(call)
    result = await operations.batch_upsert(call.broker, call.tenant, items, only_update="update" in chosen)
    if result.errors:
        return _mixed(result)
    return reply.plain(201, result.created) if result.created else reply.nothing()


async def batch_delete(call: Call) -> web.Response:
    """6.17.3.1 POST /entityOperations/delete."""
    p.allow(call.params)
    ids, _ = await call.bodies(plain=True)
    wrong = BadRequestData("id: expected a URI")
    marked = [(str(one), None if is_uri(one) else wrong) for one in ids]
    result = await operations.batch_delete(call.broker, call.tenant, marked)
    return _mixed(result) if result.errors else reply.nothing()


async def _items(call: Call) -> list[Item]:
    docs, contexts = await call.bodies()
    if any(doc is None for doc in docs):
        raise BadRequestData("body: expected entities, not null")
    return [_item(doc, context) for doc, context in zip(docs, contexts, strict=True)]


def _item(doc: Json, context: Context | Exception) -> Item:
    named = doc.get("id", doc.get("@id")) if isinstance(doc, dict) else None
    entity_id = named if isinstance(named, str) else ""
    if isinstance(context, Exception):
        return entity_id, context
    try:
        return entity_id, parse.entity(doc, context)
    except NgsiLdError as error:
        return entity_id, error


def _mixed(result: BatchResult) -> web.Response:
    errors = [{"entityId": one, "error": details(error)} for one, error in result.errors]
    return reply.plain(207, {"success": result.success, "errors": errors})
