"""Connections within the egress rule: names that these tests resolve, and addresses of loopback."""

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from broker.core.egress import egress_rule
from broker.egress import Egress, EgressRefused
from tests.names import Names

HERE, DENIED = "127.0.0.1", "127.0.0.2"  # a host is at the first


class Host:
    """An HTTP server, and the names that it was asked by."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []

    async def handle(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.host.partition(":")[0])
        if request.path.startswith("/to/"):
            return web.Response(status=302, headers={"Location": f"http://{request.path[4:]}:{self.port}/"})
        return web.Response(text="here", headers={"Connection": "close"})


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """One for this test."""
    host = Host()
    runner = web.ServerRunner(web.Server(host.handle))
    await runner.setup()
    await web.TCPSite(runner, HERE, 0).start()
    host.port = runner.addresses[0][1]
    yield host
    await runner.cleanup()


@asynccontextmanager
async def asking(
    allow: Sequence[str] = (), deny: Sequence[str] = (), **names: Sequence[Sequence[str]]
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that knows these names, for a rule."""
    async with Egress(egress_rule(allow, deny), Names(**names)).session() as session:
        yield session


async def ask(session: aiohttp.ClientSession, host: Host, name: str, path: str = "/") -> str:
    """The answer of the host by this name or address."""
    async with session.get(URL(f"http://{name}:{host.port}{path}", encoded=True)) as answer:
        return await answer.text()


async def test_a_name_is_asked_only_where_it_may_be(host: Host) -> None:
    async with asking(deny=[DENIED], good=[[HERE]], bad=[[DENIED]], both=[[DENIED, HERE]]) as session:
        assert await ask(session, host, "good.example") == "here"
        assert await ask(session, host, "both.example") == "here"
        with pytest.raises(aiohttp.ClientConnectorError, match=r"127\.0\.0\.2 is refused by the egress rule"):
            await ask(session, host, "bad.example")
    assert host.asked == ["good.example", "both.example"]


async def test_a_name_that_resolves_elsewhere_later_is_refused(host: Host) -> None:
    egress = Egress(egress_rule(deny=[DENIED]), Names(turning=[[HERE], [DENIED]]))
    async with egress.session() as first, egress.session() as second:
        assert await ask(first, host, "turning.example") == "here"
        with pytest.raises(aiohttp.ClientConnectorError, match="refused by the egress rule"):
            await ask(second, host, "turning.example")
    assert host.asked == ["turning.example"]


@pytest.mark.parametrize(
    "address",
    [HERE, "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:1]", "127.1", "2130706433",
     "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001", "127.0.0.01"],
)  # fmt: skip
async def test_addresses_in_urls_are_checked_in_any_form(host: Host, address: str) -> None:
    """Those that are names to aiohttp are resolved by the system, which reads them as addresses."""
    async with Egress(egress_rule(["localhost"], [HERE])).session() as session:
        with pytest.raises((aiohttp.ClientConnectorError, aiohttp.InvalidURL)):
            await ask(session, host, address)
        assert await ask(session, host, "localhost") == "here"
    assert host.asked == ["localhost"]


async def test_redirects_are_checked_again(host: Host) -> None:
    async with asking(deny=[DENIED], bad=[[DENIED]]) as session:
        for elsewhere in ("bad.example", DENIED):
            with pytest.raises(aiohttp.ClientConnectorError, match="refused by the egress rule"):
                await ask(session, host, HERE, f"/to/{elsewhere}")
    assert host.asked == [HERE, HERE]


async def test_a_host_that_is_allowed_takes_nobody_with_it(host: Host) -> None:
    """Requests of one task, one after the other: each goes by its own name."""
    async with asking(["good.example"], ["127.0.0.0/8"], good=[[HERE]], bad=[[HERE]]) as session:
        for _ in range(2):
            assert await ask(session, host, "good.example") == "here"
            for refused in ("bad.example", HERE):
                with pytest.raises(aiohttp.ClientConnectorError, match="refused by the egress rule"):
                    await ask(session, host, refused)
    assert host.asked == ["good.example"] * 2


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "fe80::1", "64:ff9b::a9fe:a9fe", "0.0.0.0", "::", "127.1", "a.example"]
)
async def test_no_socket_is_made_for_what_is_denied(address: str) -> None:
    """What would go elsewhere if it were not refused is not tried as a request."""
    egress = Egress(egress_rule(), Names())
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(EgressRefused):
        egress._socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 80)))


async def test_the_addresses_of_a_host() -> None:
    rule = egress_rule(["good.example"], [DENIED])
    egress = Egress(rule, Names(good=[[DENIED]], both=[[DENIED, HERE, HERE]], bad=[[DENIED]]))
    assert await egress.addresses("both.example", 1883) == [HERE]
    assert await egress.addresses("good.example", 1883) == [DENIED]
    with pytest.raises(EgressRefused):
        await egress.addresses("bad.example", 1883)
    with pytest.raises(OSError, match="unknown"):
        await egress.addresses("unknown.example", 1883)


@pytest.mark.parametrize("text", [HERE, "127.1", "2130706433", "0x7f.1", "::ffff:127.0.0.1"])
async def test_the_system_reads_addresses_in_any_form(text: str) -> None:
    assert await Egress(egress_rule()).addresses(text, 1883) in (["127.0.0.1"], ["::ffff:127.0.0.1"])
    with pytest.raises(EgressRefused):
        await Egress(egress_rule(private=False)).addresses(text, 1883)
