"""A connection to an MQTT server, as one user."""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import aiomqtt

from broker.core.egress import NO_ANSWER
from broker.core.mqtt_endpoint import MqttEndpoint, Server
from broker.egress import Egress
from broker.ports.delivery import DeliveryFailed

log = logging.getLogger(__name__)
_PROTOCOLS = {"mqtt5.0": aiomqtt.ProtocolVersion.V5, "mqtt3.1.1": aiomqtt.ProtocolVersion.V311}
_IDLE = 60.0  # seconds after which an unused connection is closed
_CONNECT = 5.0  # seconds that a server has to accept a connection, and to close one
_ALIVE = 20  # seconds between keep-alive messages
_IN_FLIGHT = 64  # unconfirmed messages on one connection


class Connection:
    """A connection to a server, opened when it is needed and shared by all publishers.

    `forget(server, None)` is called when nobody uses this object any more.
    """

    def __init__(
        self,
        server: Server,
        egress: Egress,
        tls: ssl.SSLContext,
        forget: Callable[[Server, None], object],
    ) -> None:
        self._server = server
        self._egress = egress
        self._tls = _TlsByName(tls, server.host) if server.is_secure else None
        self._forget = forget
        self._holding: asyncio.Task[None] | None = None
        self._client: asyncio.Future[aiomqtt.Client]
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self._users = 0
        self._used = 0.0

    async def publish(self, at: MqttEndpoint, payload: bytes) -> None:
        """Publishes a message. DeliveryFailed or TimeoutError if the server does not take it."""
        self._users += 1
        try:
            async with self._slots:
                if self._holding is None:
                    self._client = asyncio.get_running_loop().create_future()
                    self._holding = asyncio.create_task(self._hold(self._client))
                client = await asyncio.shield(self._client)
                await self._publish(client, self._holding, at, payload)
        except TimeoutError:
            raise
        except aiomqtt.MqttCodeError as error:  # an answer
            raise DeliveryFailed(f"MQTT: {error}") from error
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise DeliveryFailed(NO_ANSWER, detail=f"MQTT: {error}") from error
        finally:
            self._users -= 1
            self._used = asyncio.get_running_loop().time()
            self._forget_if_idle()

    async def close(self) -> None:
        """Closes the connection, if it is open."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.gather(self._holding, return_exceptions=True)

    async def _publish(
        self, client: aiomqtt.Client, holding: asyncio.Task[None], at: MqttEndpoint, payload: bytes
    ) -> None:
        """Publishes, and waits for the confirmation. MqttError if the connection ends before it comes."""
        publishing = asyncio.create_task(client.publish(at.topic, payload, at.qos, timeout=float("inf")))
        try:
            await asyncio.wait((publishing, holding), return_when=asyncio.FIRST_COMPLETED)
            if not publishing.done():
                raise aiomqtt.MqttError("the connection broke before it was confirmed")
            publishing.result()
        finally:
            publishing.cancel()

    async def _hold(self, client: asyncio.Future[aiomqtt.Client]) -> None:
        """Opens the connection, sets the result of `client`, and keeps it open until it breaks or is idle."""
        try:
            async with self._connected() as connected:
                client.set_result(connected)
                await self._until_idle(connected)
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            if client.done():
                log.info("a connection broke", extra={"server": self._server.host, "reason": str(error)})
            else:
                client.set_exception(error)
                client.exception()  # marks it as seen: perhaps nobody waits for it any more
        finally:
            if not client.done():
                client.set_exception(aiomqtt.MqttError("the connection was closed"))
                client.exception()
            self._holding = None
            self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if not self._users and self._holding is None:
            self._forget(self._server, None)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiomqtt.Client]:
        """A client that is connected to the first address of the server where somebody answers."""
        addresses = await self._egress.addresses(self._server.host, self._server.port)
        async with AsyncExitStack() as stack:
            yield await self._connect(stack, addresses)

    async def _connect(self, stack: AsyncExitStack, addresses: list[str]) -> aiomqtt.Client:
        for address in addresses[:-1]:
            try:
                return await stack.enter_async_context(self._new_client(address))
            except aiomqtt.MqttCodeError:
                raise
            except aiomqtt.MqttError as error:
                reason = {"server": self._server.host, "address": address, "reason": str(error)}
                log.info("an address does not answer", extra=reason)
        return await stack.enter_async_context(self._new_client(addresses[-1]))

    def _new_client(self, address: str) -> aiomqtt.Client:
        server = self._server
        client = aiomqtt.Client(
            address,
            server.port,
            username=server.username,
            password=server.password,
            protocol=_PROTOCOLS[server.version],
            timeout=_CONNECT,
            keepalive=_ALIVE,
            max_inflight_messages=_IN_FLIGHT,
            tls_context=cast(ssl.SSLContext | None, self._tls),
        )
        client.pending_calls_threshold = _IN_FLIGHT
        return client

    async def _until_idle(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        self._used = loop.time()
        while self._users or loop.time() < self._used + _IDLE:
            try:
                async with asyncio.timeout(_IDLE):
                    async for _ in client.messages:  # none come, but this raises when the connection breaks
                        continue
            except TimeoutError:
                continue


class _TlsByName:
    """A TLS context, as paho uses it: the connection is to an address, and the host's name is verified."""

    check_hostname = True  # paho leaves it to the context

    def __init__(self, tls: ssl.SSLContext, name: str) -> None:
        self._tls = tls
        self._name = name

    def wrap_socket(self, connected: socket.socket, **options: Any) -> ssl.SSLSocket:
        """A TLS connection over a connected socket, for this name."""
        return self._tls.wrap_socket(connected, **{**options, "server_hostname": self._name})
