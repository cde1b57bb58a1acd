"""/csourceRegistrations (clauses 6.8 and 6.9)."""

from uuid import uuid4

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.accept import LD_JSON
from broker.api.call import Call
from broker.api.pages import page_links
from broker.api.representation import projections
from broker.core.errors import BadRequestData
from broker.core.federation import registration as rules
from broker.core.federation.matching import Spec, spec_of_query
from broker.core.jsonld.context import Context
from broker.core.lang import natural
from broker.core.temporal import window
from broker.core.uri import is_name
from broker.operations import registrations as operations

_PATH = "csourceRegistrations"
_SELECTION = p.SELECTION - {"expandValues", "jsonKeys"}
_TIME = frozenset({"timerel", "timeAt", "endTimeAt", "timeproperty"})
_VIEW = frozenset({"pick", "omit", "lang", "geometryProperty", "options"})


async def create_registration(call: Call) -> web.Response:
    """6.8.3.1 POST /csourceRegistrations."""
    p.allow(call.params)
    doc, context = await call.query_body()
    new_id = f"urn:ngsi-ld:ContextSourceRegistration:{uuid4()}"
    registration = rules.read(doc, context, new_id, call.broker.clock.present())
    await operations.register_context_source(call.broker, call.tenant, registration)
    return reply.created(_PATH, registration.id)


async def query_registrations(call: Call) -> web.Response:
    """6.8.3.2 GET /csourceRegistrations. BadRequestData if the query is too wide."""
    call = call.of_list()
    p.allow(call.params, _SELECTION, _TIME, _VIEW, p.PAGE)
    _ = call.accept
    sys_attrs = "sysAttrs" in p.options(call.params, ("sysAttrs",))
    context = await call.context()
    limit, offset, counted = p.read_page(call.params, call.broker.limits)
    spec = _spec(call, context)
    found, count, more = await operations.query_registrations(
        call.broker, call.tenant, spec, limit, offset, counted=counted
    )
    docs = [rules.shown_body(one, context, sys_attrs=sys_attrs) | tally.shown() for one, tally in found]
    links = page_links(call, limit, offset, more)
    return reply.page(call, docs, context, count, links, page_media=LD_JSON)  # 037_11; doubt 95


async def retrieve_registration(call: Call) -> web.Response:
    """6.9.3.1 GET /csourceRegistrations/{registrationId}."""
    p.allow(call.params, ("options",))
    _ = call.accept
    sys_attrs = "sysAttrs" in p.options(call.params, ("sysAttrs",))
    context = await call.context()
    found, tally = await operations.retrieve_registration(
        call.broker, call.tenant, call.path_uri("registrationId")
    )
    return reply.document(
        call, rules.shown_body(found, context, sys_attrs=sys_attrs) | tally.shown(), context
    )


async def update_registration(call: Call) -> web.Response:
    """6.9.3.2 PATCH /csourceRegistrations/{registrationId}."""
    p.allow(call.params)
    registration_id = call.path_uri("registrationId")
    doc, context = await call.query_body()
    now = call.broker.clock.present()
    await operations.update_registration(
        call.broker, call.tenant, registration_id, lambda old: rules.updated(old, doc, context, now)
    )
    return reply.nothing()


async def delete_registration(call: Call) -> web.Response:
    """6.9.3.3 DELETE /csourceRegistrations/{registrationId}."""
    p.allow(call.params)
    await operations.delete_registration(call.broker, call.tenant, call.path_uri("registrationId"))
    return reply.nothing()


def _spec(call: Call, context: Context) -> Spec:
    """What is asked for; BadRequestData if that is too wide (5.10.2.4)."""
    params = call.params
    query = p.read_selection(params, context, call.broker.limits)
    picked = _picked(params, context)
    if query.is_too_wide and not (query.attrs or picked or query.ids):
        raise BadRequestData("query: too wide; expected type, attrs, q, georel or id")
    return spec_of_query(query, picked, window=_window(params))


def _picked(params: p.Params, context: Context) -> frozenset[str]:
    """The attributes that pick names. How entities would be shown changes nothing in registrations."""
    if "lang" in params:
        natural.parse(params["lang"])
    if not is_name(params.get("geometryProperty", "location")):
        raise BadRequestData("geometryProperty: expected the name of a GeoProperty")
    pick, _ = projections(params, context)
    return pick.names if pick is not None else frozenset()


def _window(params: p.Params) -> window.Window | None:
    found = window.parse(*(params.get(name) for name in ("timerel", "timeAt", "endTimeAt", "timeproperty")))
    return None if found is None or found.timerel is None else found
