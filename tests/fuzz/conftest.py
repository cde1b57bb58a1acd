"""What the fuzz tests share: connections to the session's broker, and a receiver that takes everything."""

import secrets
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.fuzz.wire import Wire

CONNECTIONS = 16


@pytest.fixture(scope="session")
async def wires(broker_url: str) -> AsyncIterator[list[Wire]]:
    """Connections to the broker."""
    found = [Wire(broker_url) for _ in range(CONNECTIONS)]
    yield found
    for one in found:
        await one.close()


@pytest.fixture(scope="session")
async def sink() -> AsyncIterator[str]:
    """The URL of an endpoint that takes any notification."""

    async def take(request: web.BaseRequest) -> web.Response:
        return web.Response()

    runner = web.ServerRunner(web.Server(take), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.fixture(scope="session")
def owner() -> str:
    """A tenant for requests that may do anything."""
    return f"fuzz-{secrets.token_hex(4)}"
