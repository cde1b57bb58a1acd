"""The HTTP port: reserved by the parent, listened on by the workers."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 2.0  # seconds
# Wildcard addresses, and the loopback address that reaches each.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class PortError(Exception):
    """The broker cannot listen on the HTTP port; the message gives the reason."""


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Reserves `port` of `host` for the workers and yields its number; 0 reserves a free one.

    PortError if the port is in use. The socket is bound but does not listen: it gets no connections, and
    other programs cannot take the port.
    """
    if port:
        with _bound(host, port, socket.SO_REUSEADDR):
            pass  # proves that nobody listens: SO_REUSEPORT would also succeed on the port of another broker
    with _bound(host, port, socket.SO_REUSEPORT) as held:
        yield held.getsockname()[1]


def _bound(host: str, port: int, option: int) -> socket.socket:
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise PortError(_reason(host, port, error)) from error
    return held


def _reason(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use by another program: stop it, or choose another port with --port"
    return f"cannot listen on {host} port {port}: {error.strerror}"


def url(host: str, port: int) -> str:
    """The URL to show to people, with the loopback address in place of a wildcard address."""
    shown = _ANY.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


async def is_ready(host: str, port: int) -> bool:
    """Whether a worker answers GET /health/ready with 200."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _status(_ANY.get(host, host), port) == b"200"
    except (OSError, TimeoutError):
        return False


async def _status(host: str, port: int) -> bytes:
    """The status code of the response; empty if there is none."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline())[9:12]
    finally:
        writer.close()
