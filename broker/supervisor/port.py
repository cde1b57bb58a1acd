"""The HTTP port: reserved by the parent, listened on by the workers."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 2.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class PortError(Exception):
    """The HTTP port cannot be listened on; the message says why in one sentence."""


@contextmanager
def reserved_port(host: str, port: int) -> Iterator[int]:
    """Hold `port` of `host` for our workers; 0 becomes a free one. Raises PortError when it is taken.

    The socket is bound but does not listen, so no connection ever lands on it, while another program
    that asks for the port is told that it is in use.
    """
    if port:
        with _bound(host, port, socket.SO_REUSEADDR):
            pass  # nobody listens: had we asked with SO_REUSEPORT, another broker's port would be given to us
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
    """Where a person reaches the broker: a wildcard address is shown as this machine's loopback."""
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
    """The status code of the answer, empty when there is none."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET /health/ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline())[9:12]
    finally:
        writer.close()
