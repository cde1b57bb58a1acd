"""Reads of /temporal/entities and /temporal/entities/{entityId} (clauses 6.18, 6.19, 6.24)."""

from collections.abc import Sequence
from dataclasses import replace

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.accept import JSON
from broker.api.call import Call
from broker.api.evolution_request import ASPECTS, SELECTION, read_aspects
from broker.api.pages import page_links
from broker.api.writes import entity_id
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

_EMPTY = "endTimeAt: expected a time after timeAt; this window is empty"


async def query_temporal(call: Call) -> web.Response:
    """6.18.3.2 GET /temporal/entities."""
    call = call.of_list()
    p.allow(call.params, SELECTION, p.PAGE, ASPECTS)
    return await _queried(call, await call.context(), call.params)


async def query_temporal_batch(call: Call) -> web.Response:
    """6.24.3.1 POST /temporal/entityOperations/query. Query in the body; page and format in the URL."""
    call = call.of_list()
    p.allow(call.params, p.PAGE, ("options", "format"))
    doc, context = await call.query_body()
    body, params = temporal_query_body(doc)
    entities = body.entities or ()
    selectors = tuple(selector(item, context.expand) for item in entities) if len(entities) > 1 else ()
    return await _queried(call, context, params | call.params, selectors)


async def _queried(
    call: Call, context: Context, params: p.Params, selectors: tuple[Selector, ...] = ()
) -> web.Response:
    """The response to a temporal query (5.7.4)."""
    _ = call.accept  # refuses the request before any work if nothing acceptable is offered
    aspects = read_aspects(params, context, call.older, required=True)
    entities = p.check_depth(p.read_query(aspects.params, context, call.broker.limits, selectors), 0)
    query = aspects.query(entities)
    page = await operations.query_temporal(call.broker, call.tenant, query)
    check_eligible(page.evolutions, query, context.compact)
    links = page_links(call, entities.limit, entities.offset, page.more)
    docs, is_amended = _shown(page.evolutions, context, aspects.view)
    if call.accept == JSON:
        context = await call.named(context)
    answer = _partial(reply.page(call, docs, context, page.count, links), page.part, is_amended)
    if query.window is not None and query.window.is_empty:
        answer.headers["NGSILD-Warning"] = f'199 {call.broker.alias} "{_EMPTY}"'
    return answer


async def retrieve_temporal(call: Call) -> web.Response:
    """6.19.3.1 GET /temporal/entities/{entityId}.

    ResourceNotFound if there is no evolution, or if it has none of the members asked for.
    """
    p.allow(call.params, ASPECTS)
    _ = call.accept
    context = await call.context()
    aspects = read_aspects(call.params, context, call.older)
    query = aspects.query(Query(attrs=p.attrs(aspects.params, context)))
    try:
        evolution, part = await operations.retrieve_temporal(call.broker, call.tenant, entity_id(call), query)
    except ResourceNotFound as error:
        if query.window is not None and query.window.is_empty:
            raise ResourceNotFound(f"{error.detail}; {_EMPTY}") from error
        raise
    check_eligible([evolution], query, context.compact)
    docs, is_amended = _shown([evolution], context, aspects.view)
    if not docs:
        raise ResourceNotFound(f"{evolution.id} has none of the members asked for")
    return _partial(reply.document(call, docs[0], context), part, is_amended)


def _shown(
    evolutions: Sequence[Evolution], context: Context, temporal_view: TemporalView
) -> tuple[list[dict[str, Json]], bool]:
    """(documents of the evolutions without empty ones, whether an older version changed them) (4.3.6.8)."""
    docs = [doc for evolution in evolutions if (doc := view(evolution, context, temporal_view))]
    if temporal_view.version is None:
        return docs, False
    native = replace(temporal_view, version=None)
    return docs, docs != [doc for evolution in evolutions if (doc := view(evolution, context, native))]


def _partial(answer: web.Response, part: Part | None, is_amended: bool) -> web.Response:
    """6.3.10: the answer, as 206 with a Content-Range if it covers only a part of the time."""
    reply.amended(answer, is_amended=is_amended)
    if part is not None:
        answer.set_status(206)
        answer.headers["Content-Range"] = f"date-time {part.start}-{part.end}/{part.size}"
    return answer
