"""The resources /entities/{entityId}/attrs and /entities/{entityId}/attrs/{attrId} (clauses 6.6, 6.7)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.api.entities import entity_id, same_id
from broker.core.entity import parse
from broker.core.entity.update import UpdateResult
from broker.core.entity.values import Reading
from broker.core.errors import BadRequestData
from broker.core.temporal.revision import Burial
from broker.operations import entities as operations


async def append_attrs(call: Call) -> web.Response:
    """6.6.3.1 POST /entities/{entityId}/attrs/."""
    p.allow(call.params, ("options", "type"))
    overwrite = "noOverwrite" not in p.options(call.params, ("noOverwrite",))
    target = entity_id(call)
    doc, context = await call.body()
    same_id(doc, target)
    fragment, gate = parse.fragment(doc, Reading(context)), p.type_gate(call.params, context)
    result = await operations.append_attrs(
        call.broker, call.tenant, target, fragment, overwrite=overwrite, gate=gate
    )
    return _updated(result)


async def update_attrs(call: Call) -> web.Response:
    """6.6.3.2 PATCH /entities/{entityId}/attrs/."""
    p.allow(call.params, ("type",))
    target = entity_id(call)
    doc, context = await call.body()
    same_id(doc, target)
    fragment, gate = parse.fragment(doc, Reading(context, nulls=True)), p.type_gate(call.params, context)
    return _updated(await operations.update_attrs(call.broker, call.tenant, target, fragment, gate))


async def partial_update_attr(call: Call) -> web.Response:
    """6.7.3.1 PATCH /entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("type",))
    target = entity_id(call)
    doc, context = await call.body()
    if call.path[1] == "scope":
        raise BadRequestData("scope: cannot be partially updated")
    iri = parse.attribute_name(call.path[1], context)
    fragment = parse.partial(call.path[1], doc, Reading(context, nulls=True))
    gate = p.type_gate(call.params, context)
    await operations.partial_update_attr(call.broker, call.tenant, target, iri, fragment, gate)
    return reply.nothing()


async def replace_attr(call: Call) -> web.Response:
    """6.7.3.3 PUT /entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("type",))
    target = entity_id(call)
    doc, context = await call.body()
    if call.path[1] == "scope":
        raise BadRequestData("scope: cannot be replaced as an attribute")
    iri = parse.attribute_name(call.path[1], context)
    instance = parse.instance(call.path[1], doc, Reading(context))
    gate = p.type_gate(call.params, context)
    await operations.replace_attr(call.broker, call.tenant, target, iri, instance, gate)
    return reply.nothing()


async def delete_attr(call: Call) -> web.Response:
    """6.7.3.2 DELETE /entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("type", "datasetId", "deleteAll"))
    target, is_gated = entity_id(call), "type" in call.params
    context = await (call.context() if is_gated else call.context_for(call.path[1]))
    iri, dataset = parse.attribute_name(call.path[1], context), p.dataset(call.params)
    burial = Burial(iri, dataset, p.flag(call.params, "deleteAll"))
    gate = p.type_gate(call.params, context)
    await operations.delete_attr(call.broker, call.tenant, target, burial, gate)
    return reply.nothing()


def _updated(result: UpdateResult) -> web.Response:
    if not result.not_updated:
        return reply.nothing()
    failed = [{"attributeName": name, "reason": reason} for name, reason in result.not_updated]
    return reply.plain(207, {"updated": result.updated, "notUpdated": failed})
