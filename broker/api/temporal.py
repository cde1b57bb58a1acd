"""/temporal/entities (clauses 6.18 and 6.19)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.entities import entity_id
from broker.core.errors import InvalidRequest, OperationNotSupported
from broker.core.jsonld.context import Context
from broker.core.query import Query
from broker.core.temporal import TemporalQuery
from broker.core.temporal.page import Part
from broker.core.temporal.view import TemporalView, view
from broker.core.temporal.window import parse, parse_last_n
from broker.operations import temporal as operations

_TIME = frozenset({"timerel", "timeAt", "endTimeAt", "timeproperty", "lastN"})
_SELECTION = frozenset({"type", "id", "idPattern", "attrs"})
_REPRESENTATIONS = ("temporalValues", "aggregatedValues")


async def query_temporal(call: Call) -> web.Response:
    """6.18.3.2 GET /temporal/entities."""
    p.allow(call.params, _SELECTION, p.PAGE, p.VIEW, _TIME)
    _ = call.accept
    context = await call.context()
    shape = _view(call, required=True)
    query = _query(call, p.read_query(call.params, context, call.broker.limits), shape)
    found, part, count, more = await operations.query_temporal(call.broker, call.tenant, query)
    pages = reply.page_links(call, query.entities.limit, query.entities.offset, more)
    docs = [view(one, context, shape) for one in found]
    return _partial(reply.many(call, docs, context, count, pages), part)


async def retrieve_temporal(call: Call) -> web.Response:
    """6.19.3.1 GET /temporal/entities/{entityId}."""
    p.allow(call.params, p.VIEW, _TIME)
    _ = call.accept
    context = await call.context()
    shape = _view(call)
    query = _query(call, _projection(call, context), shape)
    found, part = await operations.retrieve_temporal(call.broker, call.tenant, entity_id(call), query)
    return _partial(reply.one(call, view(found, context, shape), context), part)


def _projection(call: Call, context: Context) -> Query:
    return Query(attrs=p.attrs(call.params, context))


def _query(call: Call, entities: Query, shape: TemporalView) -> TemporalQuery:
    last_n = parse_last_n(call.params.get("lastN"))
    return TemporalQuery(entities, shape.window, last_n, shape.sys_attrs)


def _view(call: Call, *, required: bool = False) -> TemporalView:
    """How the evolutions are to be shown, with the window that tells by which time (4.11, 6.3.12)."""
    names = ("timerel", "timeAt", "endTimeAt", "timeproperty")
    window = parse(*(call.params.get(name) for name in names), required=required)
    chosen = p.options(call.params, {"normalized", *_REPRESENTATIONS, "sysAttrs"})
    return TemporalView(_format(call.params, chosen), "sysAttrs" in chosen, window)


def _format(params: p.Params, chosen: set[str]) -> str:
    """6.3.12: `format` wins over `options`, which may name one representation only."""
    named = [one for one in _REPRESENTATIONS if one in chosen]
    name = params.get("format") or (named[0] if named else "normalized")
    if name not in ("normalized", *_REPRESENTATIONS):
        raise InvalidRequest(f"format: {name!r} is none of {', '.join(_REPRESENTATIONS)}")
    if "format" not in params and len(named) > 1:
        raise InvalidRequest(f"options: expected one of {', '.join(named)}")
    if name == "aggregatedValues":
        raise OperationNotSupported("aggregatedValues: this broker does not aggregate yet")
    return name


def _partial(answer: web.Response, part: Part | None) -> web.Response:
    """6.3.10: 206 with the range of time that it covers, if the answer had to be cut."""
    if part is not None:
        answer.set_status(206)
        answer.headers["Content-Range"] = f"date-time {part.start}-{part.end}/{part.size}"
    return answer
