"""Workers in the process of a test, on one database: what each knows can be looked at."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web

from broker.config import Settings
from broker.core import Json
from broker.core.federation.matching import Spec
from broker.main.build import build
from broker.ports.broker import Broker


class Worker:
    """A worker that listens on a port of its own."""

    def __init__(self, broker: Broker, http: aiohttp.ClientSession) -> None:
        self.broker = broker
        self._http = http

    async def __call__(self, method: str, path: str, doc: Json = None, tenant: str = "") -> int:
        """The status of the answer to a request."""
        headers = {"NGSILD-Tenant": tenant} if tenant else {}
        async with self._http.request(method, f"/ngsi-ld/v1/{path}", json=doc, headers=headers) as answer:
            await answer.read()
            return answer.status

    async def concerned(self, spec: Spec | None = None, tenant: str = "") -> list[str] | None:
        """The ids of the sources that a request concerns; None if nothing is registered."""
        registry = await self.broker.sources.of(tenant)
        now = self.broker.clock.present()
        return (
            None if registry is None else [m.source.id for m in registry.concerned(spec or Spec(), (), now)]
        )


@asynccontextmanager
async def working(uri: str, database: str, **settings: object) -> AsyncIterator[Worker]:
    """A worker while the block runs."""
    chosen = Settings.model_validate(
        {"mongo_uri": uri, "database": database, "process_id": secrets.token_hex(8), **settings}
    )
    async with AsyncExitStack() as stack:
        binding = await build(chosen, stack)
        runner = web.ServerRunner(binding.server(), shutdown_timeout=0.1)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        root = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield Worker(binding._broker, await stack.enter_async_context(aiohttp.ClientSession(root)))
