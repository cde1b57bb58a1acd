"""The resources /entityOperations/… (clauses 6.14 to 6.17 and 6.31)."""

import logging
from collections.abc import Callable

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call, unhurried
from broker.api.problem import details
from broker.core import Json
from broker.core.entity import parse, update
from broker.core.entity.merge import merge, patch
from broker.core.entity.sent import Form
from broker.core.entity.update import Rule
from broker.core.entity.values import Reading
from broker.core.errors import BadRequestData, InvalidRequest, NgsiLdError
from broker.core.jsonld.context import Context
from broker.core.uri import is_uri
from broker.operations import batch as operations
from broker.operations.batch import BatchResult, Item

log = logging.getLogger(__name__)
_Read = Callable[[Json, Context], Rule]


async def batch_create(call: Call) -> web.Response:
    """6.14.3.1 POST /entityOperations/create."""
    p.allow(call.params)
    items = await _items(call, lambda doc, context: update.create(parse.entity(doc, context)))
    result = await operations.batch_create(call.broker, call.tenant, items)
    return _mixed(result) if result.errors else reply.plain(201, result.created)


async def batch_upsert(call: Call) -> web.Response:
    """6.15.3.1 POST /entityOperations/upsert."""
    p.allow(call.params, ("options",))
    chosen = p.options(call.params, ("replace", "update"))
    if len(chosen) > 1:
        raise InvalidRequest("options: expected replace or update, not both")
    only_update = "update" in chosen
    items = await _items(
        call, lambda doc, context: update.upsert(parse.entity(doc, context), update=only_update)
    )
    result = await operations.batch_upsert(call.broker, call.tenant, items)
    if result.errors:
        return _mixed(result)
    return reply.plain(201, result.created) if result.created else reply.nothing()


async def batch_update(call: Call) -> web.Response:
    """6.16.3.1 POST /entityOperations/update."""
    p.allow(call.params, ("options",))
    chosen = p.options(call.params, ("noOverwrite", "update"))  # `update` changes nothing
    if len(chosen) > 1:
        raise InvalidRequest("options: expected noOverwrite or update, not both")
    overwrite = "noOverwrite" not in chosen

    def read(doc: Json, context: Context) -> Rule:
        return update.append(parse.entity_id(doc), parse.fragment(doc, Reading(context)), overwrite=overwrite)

    result = await operations.batch_update(call.broker, call.tenant, await _items(call, read))
    return _done(result)


async def batch_merge(call: Call) -> web.Response:
    """6.31.3.1 POST /entityOperations/merge."""
    p.allow(call.params)

    def read(doc: Json, context: Context) -> Rule:
        return merge(parse.entity_id(doc), patch(doc, Form(context)))

    result = await operations.batch_merge(call.broker, call.tenant, await _items(call, read))
    return _done(result)


async def batch_delete(call: Call) -> web.Response:
    """6.17.3.1 POST /entityOperations/delete."""
    p.allow(call.params)
    ids, _ = await call.bodies(plain=True)
    wrong = BadRequestData("id: expected a URI")
    items: list[Item] = [(str(id_), update.delete(id_) if is_uri(id_) else wrong) for id_ in ids]
    return _done(await operations.batch_delete(call.broker, call.tenant, items))


async def _items(call: Call, read: _Read) -> list[Item]:
    docs, contexts = await call.bodies()
    return [_item(*pair, read) async for pair in unhurried(zip(docs, contexts, strict=True))]


def _item(doc: Json, context: Context | Exception, read: _Read) -> Item:
    sent_id = doc.get("id", doc.get("@id")) if isinstance(doc, dict) else None
    entity_id = sent_id if isinstance(sent_id, str) else ""
    if isinstance(context, Exception):
        return entity_id, context
    try:
        return entity_id, read(doc, context)
    except UnicodeEncodeError as error:
        return entity_id, InvalidRequest(f"text that is not Unicode: {error.reason}")
    except Exception as error:  # the client's mistake or an internal error: it fails this item only
        return entity_id, error


def _done(result: BatchResult) -> web.Response:
    return _mixed(result) if result.errors else reply.nothing()


def _mixed(result: BatchResult) -> web.Response:
    for entity_id, error in result.errors:
        if not isinstance(error, NgsiLdError):
            log.error("an item of a batch failed", extra={"entity": entity_id}, exc_info=error)
    errors = [{"entityId": entity_id, "error": details(error)} for entity_id, error in result.errors]
    return reply.plain(207, {"success": result.success, "errors": errors})
