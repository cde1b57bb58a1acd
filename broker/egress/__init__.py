"""Connections to hosts that clients name: of @contexts, of receivers, of context sources.

The egress rule is applied to the address of each connection at the moment when it is opened: to each address
that a name resolves to, each time, and to addresses in URLs in any form. So no name, redirect or spelling
leads past it, and a name that resolves elsewhere later is checked again.
"""

import errno
import socket
import ssl
from contextvars import ContextVar
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from broker.core.egress import EgressRule

_host: ContextVar[str] = ContextVar("host", default="")  # that of the request for which a task connects


class EgressRefused(OSError):
    """The egress rule does not permit a connection to this address."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, f"{address} is refused by the egress rule")


class Egress:
    """Makes sessions and finds addresses, within the egress rule. It needs a running event loop.

    `resolver`: resolves the names of hosts; that of the system, by default.
    """

    def __init__(self, rule: EgressRule, resolver: AbstractResolver | None = None) -> None:
        self._rule = rule
        self._resolver = resolver or aiohttp.DefaultResolver()

    def session(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        connections: int = 100,
        keep_alive: float = 15.0,
        **options: Any,
    ) -> aiohttp.ClientSession:
        """A session for HTTP requests, which the caller closes; `options` are those of aiohttp's sessions.

        A refused connection is an aiohttp.ClientConnectorError, like any that fails. `tls`: whom to trust, if
        not whom the system trusts. `connections`: how many at once, 0 for any number. `keep_alive`: seconds
        for which an unused one stays open. There is no proxy: it would be asked instead of the host.
        """
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=self._socket,
            ssl=True if tls is None else tls,
            limit=connections,
            keepalive_timeout=keep_alive,
        )
        return aiohttp.ClientSession(
            connector=connector, middlewares=(_note_host,), trust_env=False, **options
        )

    async def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be connected to, at least one.

        EgressRefused if there are others only; OSError if the name cannot be resolved.
        """
        resolved = await self._resolver.resolve(host, port, socket.AF_UNSPEC)
        addresses = list(dict.fromkeys(each["host"] for each in resolved))
        permitted = [address for address in addresses if self._rule.permits(host, address)]
        if not permitted:
            raise EgressRefused(", ".join(addresses))
        return permitted

    async def close(self) -> None:
        """Ends the work of the resolver."""
        await self._resolver.close()

    def _socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """A socket that aiohttp connects to this address. EgressRefused if it must not."""
        family, kind, protocol, _, (address, *_) = info
        if not self._rule.permits(_host.get(), address):
            raise EgressRefused(address)
        return socket.socket(family, kind, protocol)


async def _note_host(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Notes whom the current task asks, for `Egress._socket`, which is told but the address."""
    token = _host.set(request.url.raw_host or "")
    try:
        return await handler(request)
    finally:
        _host.reset(token)
