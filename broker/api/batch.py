"""The resources /entityOperations/… (clauses 6.14 to 6.17 and 6.31)."""

import logging

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call, unhurried
from broker.api.problem import batch_error
from broker.core import Json
from broker.core.entity import parse, update
from broker.core.entity.merge import merge, patch
from broker.core.entity.sent import Form
from broker.core.entity.update import Rule
from broker.core.entity.values import ParseOptions
from broker.core.errors import BadRequestData, InvalidRequest, NgsiLdError
from broker.core.jsonld.context import Context
from broker.core.uri import is_uri
from broker.operations import batch as operations
from broker.operations.batch import Batch, BatchResult, Item
from broker.operations.distributed_batch import ReadRule

log = logging.getLogger(__name__)


async def batch_create(call: Call) -> web.Response:
    """6.14.3.1 POST /entityOperations/create."""
    p.allow(call.params)
    batch = await _batch(call, lambda doc, context: update.create(parse.entity(doc, context)))
    result = await operations.batch_create(call.broker, call.origin, batch)
    return _mixed(result) if result.errors else reply.plain(201, result.created)


async def batch_upsert(call: Call) -> web.Response:
    """6.15.3.1 POST /entityOperations/upsert. InvalidRequest for both of the options, replace and update."""
    p.allow(call.params, ("options",))
    chosen = p.options(call.params, ("replace", "update"))
    if len(chosen) > 1:
        raise InvalidRequest("options: expected replace or update, not both")
    only_update = "update" in chosen
    batch = await _batch(
        call,
        lambda doc, context: update.upsert(parse.entity(doc, context), update=only_update),
        "".join(chosen),
    )
    result = await operations.batch_upsert(call.broker, call.origin, batch)
    if result.errors:
        return _mixed(result)
    return reply.plain(201, result.created) if result.created else reply.nothing()


async def batch_update(call: Call) -> web.Response:
    """6.16.3.1 POST /entityOperations/update. InvalidRequest for both of the options."""
    p.allow(call.params, ("options",))
    chosen = p.options(call.params, ("noOverwrite", "update"))  # `update` changes nothing
    if len(chosen) > 1:
        raise InvalidRequest("options: expected noOverwrite or update, not both")
    overwrite = "noOverwrite" not in chosen

    def read(doc: Json, context: Context) -> Rule:
        return update.append(
            parse.entity_id(doc), parse.fragment(doc, ParseOptions(context)), overwrite=overwrite
        )

    batch = await _batch(call, read, "" if overwrite else "noOverwrite")
    return _done(await operations.batch_update(call.broker, call.origin, batch))


async def batch_merge(call: Call) -> web.Response:
    """6.31.3.1 POST /entityOperations/merge."""
    p.allow(call.params)

    def read(doc: Json, context: Context) -> Rule:
        return merge(parse.entity_id(doc), patch(doc, Form(context)))

    return _done(await operations.batch_merge(call.broker, call.origin, await _batch(call, read)))


async def batch_delete(call: Call) -> web.Response:
    """6.17.3.1 POST /entityOperations/delete."""
    p.allow(call.params)
    ids, _ = await call.bodies(plain=True)
    wrong, context = BadRequestData("id: expected a URI"), await call.context_for(None)
    items = [Item(str(id_), update.delete(id_) if is_uri(id_) else wrong, context) for id_ in ids]
    batch = Batch(items, lambda doc, _: update.delete(doc))
    return _done(await operations.batch_delete(call.broker, call.origin, batch))


async def _batch(call: Call, read: ReadRule, option: str = "") -> Batch:
    docs, contexts = await call.bodies()
    core = call.broker.contexts.core
    items = [_item(*pair, read, core) async for pair in unhurried(zip(docs, contexts, strict=True))]
    return Batch(items, read, option)


def _item(doc: Json, context: Context | Exception, read: ReadRule, core: Context) -> Item:
    sent_id = doc.get("id", doc.get("@id")) if isinstance(doc, dict) else None
    entity_id = sent_id if isinstance(sent_id, str) else ""
    if isinstance(context, Exception):
        return Item(entity_id, context, core)
    try:
        return Item(entity_id, read(doc, context), context, doc)
    except UnicodeEncodeError as error:
        return Item(entity_id, InvalidRequest(f"text that is not Unicode: {error.reason}"), core)
    except Exception as error:  # the client's mistake or an internal error: it fails this item only
        return Item(entity_id, error, core)


def _done(result: BatchResult) -> web.Response:
    return _mixed(result) if result.errors else reply.nothing()


def _mixed(result: BatchResult) -> web.Response:
    """207 with a BatchOperationResult (5.2.16)."""
    return reply.plain(207, {"success": result.success, "errors": [*map(_error, result.errors)]})


def _error(failed: tuple[str, Exception, str | None]) -> dict[str, Json]:
    entity_id, error, registration = failed
    if not isinstance(error, NgsiLdError):
        log.error("an item of a batch failed", extra={"entity": entity_id}, exc_info=error)
    return batch_error(error, entity_id, registration)
