"""Writes to /temporal/entities: revisions of the history (clauses 6.18 to 6.22)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.problem import HttpError
from broker.api.writes import entity_id, same_id
from broker.core.entity import parse
from broker.core.errors import BadRequestData
from broker.core.temporal.revision import AttributeDeletion, InstanceChange, addition, replacement
from broker.core.uri import is_uri
from broker.operations import history as operations


async def upsert_temporal(call: Call) -> web.Response:
    """6.18.3.1 POST /temporal/entities."""
    p.allow(call.params)
    doc, context = await call.body()
    target, added = parse.entity_id(doc), addition(doc, context)
    is_new = await operations.upsert_temporal(call.broker, call.tenant, target, added)
    return reply.created("temporal/entities", target) if is_new else reply.nothing()


async def delete_temporal(call: Call) -> web.Response:
    """6.19.3.2 DELETE /temporal/entities/{entityId}."""
    p.allow(call.params)
    await operations.delete_temporal(call.broker, call.tenant, entity_id(call))
    return reply.nothing()


async def add_temporal_attrs(call: Call) -> web.Response:
    """6.20.3.1 POST /temporal/entities/{entityId}/attrs/."""
    p.allow(call.params)
    target = entity_id(call)
    doc, context = await call.body()
    same_id(doc, target)
    added = addition(doc, context, required=True)
    await operations.add_temporal_attrs(call.broker, call.tenant, target, added)
    return reply.nothing()


async def delete_temporal_attr(call: Call) -> web.Response:
    """6.21.3.1 DELETE /temporal/entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("datasetId", "deleteAll"))
    target, context = entity_id(call), await call.context_for(call.path[1])
    iri = parse.attribute_name(call.path[1], context)
    deletion = AttributeDeletion(iri, p.dataset(call.params), p.flag(call.params, "deleteAll"))
    await operations.delete_temporal_attr(call.broker, call.tenant, target, deletion)
    return reply.nothing()


async def modify_instance(call: Call) -> web.Response:
    """6.22.3.1 PATCH /temporal/entities/{entityId}/attrs/{attrId}/{instanceId}.

    BadRequestData if the instanceId is no URI; HttpError 405 without a name of an attribute.
    """
    p.allow(call.params)
    target, (_, name, instance_id) = entity_id(call), call.path
    if not name:  # the ETSI suite expects 405 here, though 400 for DELETE without a name
        raise HttpError(405, {"Allow": "DELETE"})
    doc, context = await call.body()
    iri = parse.attribute_name(name, context)
    change = InstanceChange(iri, _instance_id(instance_id), replacement(name, doc, context))
    await operations.modify_instance(call.broker, call.tenant, target, change)
    return reply.nothing()


async def delete_instance(call: Call) -> web.Response:
    """6.22.3.2 DELETE /temporal/entities/{entityId}/attrs/{attrId}/{instanceId}.

    BadRequestData if the instanceId is no URI.
    """
    p.allow(call.params)
    target, context = entity_id(call), await call.context_for(call.path[1])
    change = InstanceChange(parse.attribute_name(call.path[1], context), _instance_id(call.path[2]))
    await operations.delete_instance(call.broker, call.tenant, target, change)
    return reply.nothing()


def _instance_id(text: str) -> str:
    if not is_uri(text):
        raise BadRequestData("instanceId: expected a URI in the path")
    return text
