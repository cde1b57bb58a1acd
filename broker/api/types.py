"""The resources /types and /attributes (clauses 6.25 to 6.28)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.operations import types as operations


async def retrieve_types(call: Call) -> web.Response:
    """6.25.3.1 GET /types."""
    p.allow(call.params, ("details",))
    details, _ = p.flag(call.params, "details"), call.accept
    context = await call.context()
    if details:
        docs = await operations.retrieve_details_of_available_entity_types(call.broker, call.tenant, context)
        return reply.many(call, docs, context, None)
    doc = await operations.retrieve_available_entity_types(call.broker, call.tenant, context)
    return reply.one(call, doc, context)


async def retrieve_type(call: Call) -> web.Response:
    """6.26.3.1 GET /types/{type}."""
    p.allow(call.params)
    _ = call.accept
    context = await call.context()
    doc = await operations.retrieve_available_entity_type_information(
        call.broker, call.tenant, context.expand(call.path[0]), context
    )
    return reply.one(call, doc, context)


async def retrieve_attributes(call: Call) -> web.Response:
    """6.27.3.1 GET /attributes."""
    p.allow(call.params, ("details",))
    details, _ = p.flag(call.params, "details"), call.accept
    context = await call.context()
    if details:
        docs = await operations.retrieve_details_of_available_attributes(call.broker, call.tenant, context)
        return reply.many(call, docs, context, None)
    doc = await operations.retrieve_available_attributes(call.broker, call.tenant, context)
    return reply.one(call, doc, context)


async def retrieve_attribute(call: Call) -> web.Response:
    """6.28.3.1 GET /attributes/{attrId}."""
    p.allow(call.params)
    _ = call.accept
    context = await call.context()
    doc = await operations.retrieve_available_attribute_information(
        call.broker, call.tenant, context.expand(call.path[0]), context
    )
    return reply.one(call, doc, context)
