"""/temporal/entities (clauses 6.18 and 6.19)."""

from dataclasses import replace

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.entities import entity_id
from broker.core.errors import BadRequestData, InvalidRequest
from broker.core.jsonld.context import Context
from broker.core.query import Query
from broker.core.temporal import TemporalQuery
from broker.core.temporal.aggregation import Aggregation, parse_methods
from broker.core.temporal.page import Part
from broker.core.temporal.periods import parse as parse_duration
from broker.core.temporal.view import TemporalView, view
from broker.core.temporal.window import parse, parse_last_n
from broker.core.uri import is_uri
from broker.operations import temporal as operations

_TIME = frozenset({"timerel", "timeAt", "endTimeAt", "timeproperty", "lastN", "datasetId"})
_AGGREGATION = frozenset({"aggrMethods", "aggrPeriodDuration"})
_SELECTION = frozenset({"type", "id", "idPattern", "q", "attrs"})
_REPRESENTATIONS = ("temporalValues", "aggregatedValues")


async def query_temporal(call: Call) -> web.Response:
    """6.18.3.2 GET /temporal/entities."""
    p.allow(call.params, _SELECTION, p.PAGE, p.VIEW, _TIME, _AGGREGATION)
    _ = call.accept
    context = await call.context()
    shape = _view(call, required=True)
    query = _query(call, p.read_query(call.params, context, call.broker.limits), shape)
    found, part, count, more = await operations.query_temporal(call.broker, call.tenant, query)
    pages = reply.page_links(call, query.entities.limit, query.entities.offset, more)
    docs = [view(one, context, shape) for one in found]
    amended = shape.version is not None and docs != [view(one, context, _native(shape)) for one in found]
    return _partial(reply.many(call, docs, context, count, pages), part, amended=amended)


async def retrieve_temporal(call: Call) -> web.Response:
    """6.19.3.1 GET /temporal/entities/{entityId}."""
    p.allow(call.params, p.VIEW, _TIME, _AGGREGATION)
    _ = call.accept
    context = await call.context()
    shape = _view(call)
    query = _query(call, _projection(call, context), shape)
    found, part = await operations.retrieve_temporal(call.broker, call.tenant, entity_id(call), query)
    doc = view(found, context, shape)
    amended = shape.version is not None and doc != view(found, context, _native(shape))
    return _partial(reply.one(call, doc, context), part, amended=amended)


def _native(shape: TemporalView) -> TemporalView:
    return replace(shape, version=None)


def _projection(call: Call, context: Context) -> Query:
    return Query(attrs=p.attrs(call.params, context))


def _query(call: Call, entities: Query, shape: TemporalView) -> TemporalQuery:
    last_n = parse_last_n(call.params.get("lastN"))
    aggregation = None
    if shape.format == "aggregatedValues":
        duration = call.params.get("aggrPeriodDuration", "PT0S")
        aggregation = Aggregation(shape.methods, parse_duration(duration))
    return TemporalQuery(entities, shape.window, last_n, shape.sys_attrs, _datasets(call.params), aggregation)


def _datasets(params: p.Params) -> tuple[str | None, ...]:
    """4.5.5: the datasetIds asked for, None for @none."""
    if "datasetId" not in params:
        return ()
    names = [one.strip() for one in params["datasetId"].split(",")]
    if wrong := [one for one in names if one != "@none" and not is_uri(one)]:
        raise BadRequestData(f"datasetId: expected URIs or @none, and {wrong[0]!r} is neither")
    return tuple(None if one == "@none" else one for one in names)


def _view(call: Call, *, required: bool = False) -> TemporalView:
    """How the evolutions are to be shown, with the window that tells by which time (4.11, 6.3.12)."""
    names = ("timerel", "timeAt", "endTimeAt", "timeproperty")
    window = parse(*(call.params.get(name) for name in names), required=required)
    chosen = p.options(call.params, {"normalized", *_REPRESENTATIONS, "sysAttrs"})
    format = _format(call.params, chosen)
    methods = _methods(call.params) if format == "aggregatedValues" else ()
    return TemporalView(format, "sysAttrs" in chosen, window, methods, call.older)


def _methods(params: p.Params) -> tuple[str, ...]:
    if "aggrMethods" not in params:
        raise BadRequestData("aggrMethods: expected with aggregatedValues")
    return parse_methods(params["aggrMethods"].split(","))


def _format(params: p.Params, chosen: set[str]) -> str:
    """6.3.12: `format` wins over `options`, which may name one representation only."""
    named = [one for one in _REPRESENTATIONS if one in chosen]
    name = params.get("format") or (named[0] if named else "normalized")
    if name not in ("normalized", *_REPRESENTATIONS):
        raise InvalidRequest(f"format: {name!r} is none of {', '.join(_REPRESENTATIONS)}")
    if "format" not in params and len(named) > 1:
        raise InvalidRequest(f"options: expected one of {', '.join(named)}")
    return name


def _partial(answer: web.Response, part: Part | None, *, amended: bool) -> web.Response:
    """6.3.10: 206 with the range of time that it covers, if the answer had to be cut."""
    reply.amended(answer, is_amended=amended)
    if part is not None:
        answer.set_status(206)
        answer.headers["Content-Range"] = f"date-time {part.start}-{part.end}/{part.size}"
    return answer
