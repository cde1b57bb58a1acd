"""/info/sourceIdentity (clause 6.33)."""

from datetime import UTC, datetime
from time import monotonic

from aiohttp import web

from broker.api import params as p
from broker.api import reply
from broker.api.call import Call
from broker.core.identity import source_identity

_STARTED = monotonic()


async def source_identity_information(call: Call) -> web.Response:
    """6.33.3.1 GET /info/sourceIdentity; of any tenant, whether it exists or not."""
    p.allow(call.params)
    _ = call.accept
    now = datetime.now(UTC).isoformat(timespec="microseconds")[:-6]
    identity = source_identity(call.broker.alias, call.tenant, round(monotonic() - _STARTED), now)
    return reply.one(call, identity, call.broker.contexts.core)
