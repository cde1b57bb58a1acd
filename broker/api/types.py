"""The resources /types and /attributes (clauses 6.25 to 6.28)."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.core.discovery import Doc
from broker.core.jsonld.context import Context
from broker.operations import types as operations
from broker.ports.broker import Broker

_List = Callable[[Broker, str, Context], Awaitable[Doc]]
_Details = Callable[[Broker, str, Context], Awaitable[list[Doc]]]
_Information = Callable[[Broker, str, str, Context], Awaitable[Doc]]


async def retrieve_types(call: Call) -> web.Response:
    """6.25.3.1 GET /types."""
    return await _listed(
        call,
        operations.retrieve_available_entity_types,
        operations.retrieve_details_of_available_entity_types,
    )


async def retrieve_type(call: Call) -> web.Response:
    """6.26.3.1 GET /types/{type}."""
    return await _described(call, operations.retrieve_available_entity_type_information)


async def retrieve_attributes(call: Call) -> web.Response:
    """6.27.3.1 GET /attributes."""
    return await _listed(
        call, operations.retrieve_available_attributes, operations.retrieve_details_of_available_attributes
    )


async def retrieve_attribute(call: Call) -> web.Response:
    """6.28.3.1 GET /attributes/{attrId}."""
    return await _described(call, operations.retrieve_available_attribute_information)


async def _listed(call: Call, retrieve_list: _List, retrieve_details: _Details) -> web.Response:
    """The list of names, or with `details` the details of each."""
    p.allow(call.params, ("details",))
    details, _ = p.flag(call.params, "details"), call.accept
    context = await call.context()
    if details:
        docs = await retrieve_details(call.broker, call.tenant, context)
        return reply.page(call, docs, context, None)
    return reply.document(call, await retrieve_list(call.broker, call.tenant, context), context)


async def _described(call: Call, retrieve_information: _Information) -> web.Response:
    """The information on the type or attribute that the path names."""
    p.allow(call.params)
    _ = call.accept
    context = await call.context()
    iri = context.expand(call.path[0])
    return reply.document(call, await retrieve_information(call.broker, call.tenant, iri, context), context)
