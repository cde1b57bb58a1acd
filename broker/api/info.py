"""The resource /info/sourceIdentity (clause 6.33)."""

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.core.identity import source_identity


async def source_identity_information(call: Call) -> web.Response:
    """6.33.3.1 GET /info/sourceIdentity. The tenant need not exist."""
    p.allow(call.params)
    _ = call.accept
    clock = call.broker.clock
    identity = source_identity(call.broker.alias, call.tenant, round(clock.uptime()), clock.present())
    return reply.document(call, identity, call.broker.contexts.core)
