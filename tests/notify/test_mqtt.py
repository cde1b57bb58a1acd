"""Notifications over MQTT, to a real server."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import orjson
import pytest
import trustme

from broker.core.egress import NO_ANSWER, egress_rule
from broker.egress import Egress
from broker.notify.mqtt import MqttSender
from broker.ports.delivery import DeliveryFailed, Message
from tests.conftest import free_port
from tests.mosquitto import PASSWORD, USER, mosquitto, needs_mosquitto, passwords
from tests.names import Names

pytestmark = [pytest.mark.clause("7.2"), needs_mosquitto]
CREDENTIALS = f"{USER}:p%40ss%3Aword@"


def message(uri: str, body: int = 1, *notifier: tuple[str, str]) -> Message:
    """A message with a number for a body."""
    headers = (("Content-Type", "application/json"), ("Authorization", "x"))
    return Message(uri, headers, str(body).encode(), notifier)


@asynccontextmanager
async def sending(
    tls: ssl.SSLContext | None = None, deny: Sequence[str] = (), **names: Sequence[Sequence[str]]
) -> AsyncIterator[MqttSender]:
    """A sender that is closed at the end; names, if there are any, resolve to these addresses."""
    egress = Egress(egress_rule(deny=deny), Names(**names) if names else None)
    sender = MqttSender(egress, tls or ssl.create_default_context())
    try:
        yield sender
    finally:
        await sender.close()


@asynccontextmanager
async def listening(
    port: int, username: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[aiomqtt.Client]:
    """A subscriber to all topics."""
    password = PASSWORD if username else None
    async with aiomqtt.Client(
        "127.0.0.1", port, username=username, password=password, tls_context=tls
    ) as client:
        await client.subscribe("#", qos=2)
        yield client


async def failure(sender: MqttSender, uri: str, seconds: float = 5) -> str:
    """Why a message does not arrive, for the log; those who may see the error learn nothing of it."""
    with pytest.raises(DeliveryFailed) as caught:
        await sender.send(message(uri), seconds)
    assert str(caught.value) == NO_ANSWER
    return caught.value.detail


async def heard(client: aiomqtt.Client, count: int = 1) -> list[aiomqtt.Message]:
    """The next messages."""
    found: list[aiomqtt.Message] = []
    async with asyncio.timeout(5):
        async for one in client.messages:
            found.append(one)
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("version", ["mqtt5.0", "mqtt3.1.1"])
@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_versions_and_qualities_of_service(tmp_path: Path, version: str, qos: int) -> None:
    async with mosquitto(tmp_path) as port, listening(port) as subscriber, sending() as sender:
        uri = f"mqtt://127.0.0.1:{port}/city/lamp"
        await sender.send(message(uri, 7, ("MQTT-QoS", str(qos)), ("MQTT-Version", version)), 5)
        [one] = await heard(subscriber)
    assert str(one.topic) == "city/lamp"
    assert one.qos == qos
    assert not one.retain
    assert isinstance(one.payload, bytes)
    metadata = {"Content-Type": "application/json", "Authorization": "x"}
    assert orjson.loads(one.payload) == {"metadata": metadata, "body": 7}


async def test_a_user_with_a_password(tmp_path: Path) -> None:
    async with (
        mosquitto(tmp_path, 0, await passwords(tmp_path)) as port,
        listening(port, USER) as subscriber,
        sending() as sender,
    ):
        await sender.send(message(f"mqtt://{CREDENTIALS}127.0.0.1:{port}/t"), 5)
        await heard(subscriber)
        for wrong in ("", "lamp@", "lamp:no@"):
            with pytest.raises(DeliveryFailed, match=r"(?i)authori[sz]ed"):
                await sender.send(message(f"mqtt://{wrong}127.0.0.1:{port}/t"), 5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_with_a_certificate_that_is_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1", "server.example")
    (tmp_path / "key.pem").write_bytes(own.private_key_pem.bytes())
    (tmp_path / "cert.pem").write_bytes(b"".join(one.bytes() for one in own.cert_chain_pems))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    tls = [f"certfile {tmp_path}/cert.pem", f"keyfile {tmp_path}/key.pem"]
    async with (
        mosquitto(tmp_path, 0, *tls) as port,
        listening(port, tls=trusting) as subscriber,
        sending(trusting, server=[["127.0.0.1"]], other=[["127.0.0.1"]]) as sender,
        sending() as wary,
    ):
        await sender.send(message(f"mqtts://server.example:{port}/t", 1, ("MQTT-QoS", "1")), 5)
        await heard(subscriber)
        assert "Hostname mismatch" in await failure(sender, f"mqtts://other.example:{port}/t")
        assert "certificate verify failed" in await failure(wary, f"mqtts://127.0.0.1:{port}/t")
    gc.collect()  # paho leaves the socket of the failed handshake to the collector, which complains


async def test_one_connection_for_all(tmp_path: Path) -> None:
    """Hundreds of messages at once, to many topics: one client at the server beside the listener."""
    async with mosquitto(tmp_path) as port, listening(port) as subscriber, sending() as sender:
        sent = [message(f"mqtt://127.0.0.1:{port}/t/{n}", n, ("MQTT-QoS", "1")) for n in range(300)]
        await asyncio.gather(*(sender.send(one, 10) for one in sent))
        found = await heard(subscriber, 300)
        await asyncio.sleep(0)
        assert len(sender._connections) == 1
    assert {str(one.topic) for one in found} == {f"t/{n}" for n in range(300)}


@pytest.mark.parametrize("qos", ["0", "1"])
async def test_a_server_that_goes_and_comes_back(tmp_path: Path, qos: str) -> None:
    port = free_port()
    one = message(f"mqtt://127.0.0.1:{port}/t", 1, ("MQTT-QoS", qos))
    async with sending() as sender:
        assert "refused" in await failure(sender, one.uri)
        for _ in range(2):
            async with mosquitto(tmp_path, port), listening(port) as subscriber:
                await sender.send(one, 5)
                await heard(subscriber)
            await asyncio.sleep(0.1)
            with pytest.raises(DeliveryFailed):
                await sender.send(one, 5)


async def test_a_server_that_says_nothing() -> None:
    """It accepts connections and that is all: the sender gives up in time, and stops in time too."""
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with asyncio.timeout(3), sending() as sender:
        assert "within 0.2 s" in await failure(sender, f"mqtt://127.0.0.1:{port}/t", 0.2)
    for writer in held:
        writer.close()
    silent.close()


async def test_a_server_that_may_not_be_reached() -> None:
    """Somebody listens, and nobody connects."""
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, sending(deny=["127.0.0.0/8"], bad=[["127.0.0.1"]]) as sender:
        assert "127.0.0.1 is refused by the egress rule" in await failure(
            sender, f"mqtt://bad.example:{port}/t"
        )
    async with server, sending(deny=["127.0.0.0/8"]) as sender:
        for address in ("127.0.0.1", "127.1", "[::ffff:127.0.0.1]"):
            assert "is refused by the egress rule" in await failure(sender, f"mqtt://{address}:{port}/t")
    assert not connected


async def test_addresses_are_tried_one_after_the_other(tmp_path: Path) -> None:
    both, last = [["127.0.0.2", "127.0.0.1"]], [["127.0.0.1", "127.0.0.2"]]
    async with (
        mosquitto(tmp_path) as port,
        listening(port) as subscriber,
        sending(both=both, last=last) as sender,
    ):
        for name in ("both", "last"):
            await sender.send(message(f"mqtt://{name}.example:{port}/t", 1, ("MQTT-QoS", "1")), 5)
            await heard(subscriber)
