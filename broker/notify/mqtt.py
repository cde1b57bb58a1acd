"""Notifications over MQTT (clause 7.2).

The module `mqtt_connection` is loaded with the first notification: it needs aiomqtt, which takes 3 MB of
memory that most workers never need.
"""

import asyncio
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from broker.core.egress import NO_ANSWER
from broker.core.mqtt_endpoint import Server, endpoint
from broker.egress import Egress
from broker.ports.delivery import DeliveryFailed, Message

if TYPE_CHECKING:
    from broker.notify.mqtt_connection import Connection

_endpoint = lru_cache(10_000)(endpoint)


class MqttSender:
    """Publishes notifications. Subscribers with the same server and user share a connection.

    A connection is opened when there is something to send, and again after it broke. Lanes limit how often:
    their pauses grow with each failure.
    """

    def __init__(self, egress: Egress, tls: ssl.SSLContext) -> None:
        self._egress = egress
        self._tls = tls
        self._connections: dict[Server, Connection] = {}

    async def send(self, message: Message, seconds: float) -> None:
        """See `ports.Sender.send`. Delivered means confirmed by the server or, with QoS 0, sent to it."""
        at = _endpoint(message.uri, message.notifier)
        connection = await self._connection(at.server)
        try:
            async with asyncio.timeout(seconds):
                await connection.publish(at, _payload(message))
        except TimeoutError as error:
            reason = f"the MQTT server did not take it within {seconds:g} s"
            raise DeliveryFailed(NO_ANSWER, detail=reason) from error

    async def close(self) -> None:
        """Closes the connections."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))

    async def _connection(self, server: Server) -> "Connection":
        if server not in self._connections:
            kind = await asyncio.to_thread(_load)
            connection = kind(server, self._egress, self._tls, self._connections.pop)
            self._connections.setdefault(server, connection)
        return self._connections[server]


def _load() -> "type[Connection]":
    from broker.notify.mqtt_connection import Connection  # here, since it needs aiomqtt

    return Connection


def _payload(message: Message) -> bytes:
    """The payload of the MQTT message: its metadata are the headers (table 7.2-2)."""
    return b'{"metadata":%b,"body":%b}' % (orjson.dumps(dict(message.headers)), message.body)
