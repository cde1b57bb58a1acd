"""What clients learn when the broker may not reach a host, or does not: nothing that tells the two apart."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from broker.core.egress import NO_ANSWER
from tests.api.conftest import LD_JSON, Api, Receiver, linked, room
from tests.api.test_subscriptions import patch, subscribe
from tests.conftest import free_port, running

SPEED = {"@context": {"speed": "https://ex.org/speed"}}


@dataclass(frozen=True, slots=True)
class Hosts:
    """URLs of @contexts on loopback, and which of them somebody asked for."""

    root: str
    asked: list[str]

    @property
    def denied(self) -> str:
        """The same host by a name that may not be reached."""
        return self.root.replace("localhost", "127.0.0.1")


@pytest.fixture(scope="module")
async def wary_url(mongo_uri: str) -> AsyncIterator[str]:
    """A broker that may reach no private address but localhost, by this name."""
    port = free_port()
    settings = {
        "egress_private": "false",
        "egress_allow": "localhost",
        "context_timeout": 0.3,
        "notification_timeout": 0.3,
        "notification_max_age": 0.2,
        "notification_retry_first": 0.05,
    }
    async with running(port, mongo_uri=mongo_uri, database="egress", **settings):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def api(wary_url: str) -> AsyncIterator[Api]:
    """A client of this broker, with a tenant of its own."""
    async with aiohttp.ClientSession() as http:
        yield Api(http, wary_url, {"NGSILD-Tenant": f"t{secrets.token_hex(6)}"})


@asynccontextmanager
async def _serving(asked: list[str]) -> AsyncIterator[str]:
    async def handle(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        if request.path == "/slow":
            await asyncio.sleep(1)
        if request.path == "/moved":
            target = f"http://127.0.0.1:{request.url.port}/speed"
            return web.Response(status=302, headers={"Location": target})
        return web.json_response(SPEED)

    runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://localhost:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def hosts() -> AsyncIterator[Hosts]:
    """A host for this test."""
    asked: list[str] = []
    async with _serving(asked) as root:
        yield Hosts(root, asked)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken, and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.clause("5.5.6")
async def test_a_context_that_may_not_be_fetched(api: Api, hosts: Hosts, silent: int) -> None:
    urls = [
        f"{hosts.denied}/speed",
        f"{hosts.root}/moved",
        f"http://[::ffff:127.0.0.1]:{hosts.root.rpartition(':')[2]}/speed",
        f"http://localhost:{free_port()}/",
        f"http://127.0.0.1:{free_port()}/",
        f"http://localhost:{silent}/",
        f"http://0.0.0.0:{hosts.root.rpartition(':')[2]}/speed",
    ]
    for url in urls:
        answer = await api("GET", "entities?type=T", headers=linked(url))
        assert answer.is_problem(504, "LdContextNotAvailable")
        assert answer.doc["detail"] == f"{url}: {NO_ANSWER}"
    assert hosts.asked == ["/moved"]
    created = await api(
        "POST", "entities", room(speed=1) | {"@context": f"{hosts.root}/speed"}, media=LD_JSON
    )
    assert created.status == 201
    assert hosts.asked == ["/moved", "/speed"]


@pytest.mark.clause("5.5.6")
async def test_a_context_that_does_not_come_in_time(api: Api, hosts: Hosts) -> None:
    answer = await api("GET", "entities?type=T", headers=linked(f"{hosts.root}/slow"))
    assert answer.is_problem(504, "LdContextNotAvailable")
    assert answer.doc["detail"] == f"{hosts.root}/slow: {NO_ANSWER}"


@pytest.mark.clause("5.8.6")
async def test_a_receiver_that_may_not_be_reached(api: Api, receiver: Receiver, silent: int) -> None:
    """Its notifications become dead letters, as those do that nobody takes; others are delivered."""
    await api.make(room(heat=0))
    denied = receiver.root
    receiver.root = denied.replace("127.0.0.1", "localhost")
    allowed = await subscribe(api, receiver)
    endpoints = [
        denied,
        f"http://localhost:{free_port()}/",
        f"http://localhost:{silent}/",
        f"mqtt://127.0.0.1:{silent}/t",
        f"mqtt://localhost:{free_port()}/t",
        denied.replace("127.0.0.1", "0.0.0.0"),
    ]
    paths = [await subscribe(api, receiver, endpoint={"uri": uri}) for uri in endpoints]
    await patch(api, heat=1)
    for path in paths:
        assert await _dead_letter(api, path) == NO_ANSWER
        shown = await api.get(path)
        assert shown["notification"]["status"] == "failed"
        assert shown["notification"].keys() == {
            "endpoint", "status", "timesSent", "timesFailed", "lastNotification", "lastFailure",
        }  # fmt: skip
    assert [received.doc["subscriptionId"] for received in await receiver.only(1)] == [
        allowed.partition("/")[2]
    ]
    assert len(receiver.attempts) == 1


async def _dead_letter(api: Api, path: str) -> str:
    """The reason of the dead letter of a subscription, once it has one."""
    letters: list[Any] = []
    async with asyncio.timeout(30):
        while not letters:
            letters = await api.get(f"/eridanus/v1/{path}/deliveries")
            await asyncio.sleep(0.05)
    (letter,) = letters
    return str(letter["reason"])
