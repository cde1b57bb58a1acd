"""/temporal/entities (clauses 6.18 and 6.19)."""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.accept import JSON
from broker.api.call import Call
from broker.api.entities import entity_id
from broker.api.evolutions import ASPECTS, SELECTION, read_aspects
from broker.api.pages import page_links
from broker.core import Json
from broker.core.errors import ResourceNotFound
from broker.core.jsonld.context import Context
from broker.core.query import Query
from broker.core.selector import Selector, selector
from broker.core.temporal import Evolution
from broker.core.temporal.eligibility import check_eligible
from broker.core.temporal.evolution_view import TemporalView, view
from broker.core.temporal.page import Part
from broker.core.temporal.temporal_query_body import temporal_query_body
from broker.operations import temporal as operations

_EMPTY = "endTimeAt: expected a time after timeAt, for in this window there is none"


async def query_temporal(call: Call) -> web.Response:
    """6.18.3.2 GET /temporal/entities."""
    call = call.of_list()
    p.allow(call.params, SELECTION, p.PAGE, ASPECTS)
    return await _queried(call, await call.context(), call.params)


async def query_temporal_batch(call: Call) -> web.Response:
    """6.24.3.1 POST /temporal/entityOperations/query: a query in the body; page and format are in the URL."""
    call = call.of_list()
    p.allow(call.params, p.PAGE, ("options", "format"))
    doc, context = await call.query_body()
    body, params = temporal_query_body(doc)
    entities = body.entities or ()
    selectors = tuple(selector(one, context.expand) for one in entities) if len(entities) > 1 else ()
    return await _queried(call, context, params | call.params, selectors)


async def _queried(
    call: Call, context: Context, params: p.Params, selectors: tuple[Selector, ...] = ()
) -> web.Response:
    """The answer to a query (5.7.4)."""
    _ = call.accept
    aspects = read_aspects(params, context, call.older, required=True)
    entities = p.check_depth(p.read_query(aspects.params, context, call.broker.limits, selectors), 0)
    query = aspects.query(entities)
    found, part, count, more = await operations.query_temporal(call.broker, call.tenant, query)
    check_eligible(found, query, context.compact)
    pages = page_links(call, entities.limit, entities.offset, more)
    docs, is_amended = _shown(found, context, aspects.view)
    if call.accept == JSON:
        context = await call.named(context)
    answer = _partial(reply.many(call, docs, context, count, pages), part, is_amended)
    if query.window is not None and query.window.is_empty:
        answer.headers["NGSILD-Warning"] = f'199 {call.broker.alias} "{_EMPTY}"'
    return answer


async def retrieve_temporal(call: Call) -> web.Response:
    """6.19.3.1 GET /temporal/entities/{entityId}."""
    p.allow(call.params, ASPECTS)
    _ = call.accept
    context = await call.context()
    aspects = read_aspects(call.params, context, call.older)
    query = aspects.query(Query(attrs=p.attrs(aspects.params, context)))
    try:
        found, part = await operations.retrieve_temporal(call.broker, call.tenant, entity_id(call), query)
    except ResourceNotFound as error:
        if query.window is not None and query.window.is_empty:
            raise ResourceNotFound(f"{error.detail}; {_EMPTY}") from error
        raise
    check_eligible([found], query, context.compact)
    docs, is_amended = _shown([found], context, aspects.view)
    if not docs:
        raise ResourceNotFound(f"{found.id} has none of the members asked for")
    return _partial(reply.one(call, docs[0], context), part, is_amended)


def _shown(
    found: Sequence[Evolution], context: Context, representation: TemporalView
) -> tuple[list[dict[str, Json]], bool]:
    """What is shown of evolutions, and whether that had to be amended for an older version (4.3.6.8)."""
    docs = [doc for one in found if (doc := view(one, context, representation))]
    if representation.version is None:
        return docs, False
    native = replace(representation, version=None)
    return docs, docs != [doc for one in found if (doc := view(one, context, native))]


def _partial(answer: web.Response, part: Part | None, is_amended: bool) -> web.Response:
    """6.3.10: 206 with the range of time that it covers, if the answer had to be cut."""
    reply.amended(answer, is_amended=is_amended)
    if part is not None:
        answer.set_status(206)
        answer.headers["Content-Range"] = f"date-time {part.start}-{part.end}/{part.size}"
    return answer
