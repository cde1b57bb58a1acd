"""The resources /entities/{entityId}/attrs and /entities/{entityId}/attrs/{attrId} (clauses 6.6, 6.7)."""

from aiohttp import web

from broker.api import params as p
from broker.api.call import Call
from broker.api.writes import entity_id, new_write, path_attr, read_attr_write, read_write, updated
from broker.core.entity.parse import attribute_name
from broker.core.temporal.revision import Burial
from broker.operations import entity_writes as operations


async def append_attrs(call: Call) -> web.Response:
    """6.6.3.1 POST /entities/{entityId}/attrs/."""
    p.allow(call.params, ("options", "type"))
    overwrite = "noOverwrite" not in p.options(call.params, ("noOverwrite",))
    write = await read_write(call, "appendAttrs")
    return updated(await operations.append_attrs(call.broker, call.origin, write, overwrite=overwrite))


async def update_attrs(call: Call) -> web.Response:
    """6.6.3.2 PATCH /entities/{entityId}/attrs/."""
    p.allow(call.params, ("type",))
    write = await read_write(call, "updateEntity", is_path_enough=True)
    return updated(await operations.update_attrs(call.broker, call.origin, write))


async def partial_update_attr(call: Call) -> web.Response:
    """6.7.3.1 PATCH /entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("type",))
    write = await read_attr_write(call, "updateAttrs")
    return updated(await operations.partial_update_attr(call.broker, call.origin, write))


async def replace_attr(call: Call) -> web.Response:
    """6.7.3.3 PUT /entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("type",))
    write = await read_attr_write(call, "replaceAttrs")
    return updated(await operations.replace_attr(call.broker, call.origin, write))


async def delete_attr(call: Call) -> web.Response:
    """6.7.3.2 DELETE /entities/{entityId}/attrs/{attrId}."""
    p.allow(call.params, ("type", "datasetId", "deleteAll"))
    target, is_gated = entity_id(call), "type" in call.params
    context = await (call.context() if is_gated else call.context_for(call.path[1]))
    iri, dataset = attribute_name(call.path[1], context), p.dataset(call.params)
    burial = Burial(iri, dataset, p.flag(call.params, "deleteAll"))
    write = new_write(call, "deleteAttrs", target, context, attr=path_attr(call, context))
    return updated(await operations.delete_attr(call.broker, call.origin, write, burial))
